"""A shard put into SRAM: its arrays copied there, its kernel and its ports bound to the arena's views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models import formats, kernels
from models.compute.bound_calls import nothing
from models.compute.sums import adding, forgetting
from models.network import Array, ModelError, check_trace
from models.numerics import payload_bytes
from models.shard import Shard, ShardPort
from models.transfers import HOST, NOBODY, OTHER_DRAM, OWN_DRAM
from pe.layout import HEARD, PortPlace, heard_field, place_ports, prefix, size_of
from pe.tick_records import Exchange, Listener, Resident, Slot


def resident_of(
    shard: Shard, views: Mapping[str, Array], copies: int, probes: Sequence[str] = (), heard: set[tuple[int, int]] | None = None
) -> Resident:
    """Put a shard into SRAM and return it as a tick meets it; ModelError where it is no shard of its model.

    `copies` is how many each of its events becomes; `probes` names fields of its kernel that ride behind the ledger. `heard` are
    the sources and delays whose events ports of other shards on the PE put into the vector that all early ports share; its own
    are added.
    """
    kernel, head = kernels.named(shard.kernel), prefix(shard.population)
    silent = {name for name, spec in kernel.PORTS.items() if spec.may_be_silent}
    for what, have, need in (
        ("ports", {port.name for port in shard.ports} | silent, set(kernel.PORTS)),
        ("vectors", set(shard.vectors), set(kernel.VECTORS)),
    ):
        if have != need:
            raise ModelError(f"shard of population {shard.population}: {what} {sorted(have)}; needs {sorted(need)}")
    for name, vector in (*shard.vectors.items(), ("units", shard.units)):
        views[head + name][...] = vector
    listeners, begun, heard = [], set[str](), set() if heard is None else heard
    for port, place in zip(shard.ports, place_ports(size_of(shard)), strict=True):
        fills = (port.source, port.delay) not in heard
        listeners.append(_listener(shard, port, place, views, first=port.name not in begun, fills=fills))
        begun.add(port.name)
        if port.shape.early:
            heard.add((port.source, port.delay))
    own = {name.removeprefix(head): view for name, view in views.items() if name.startswith(head)}
    own["counts"] = own["ledger"][1 : 1 + len(kernel.COUNTS)]
    told = [own[name] for name in (*(name for name in ("exchanged", "exchange_counts") if name in own), *probes)]
    if (together := int(getattr(kernel, "TOGETHER", 1))) > 1:
        _check_together(shard, together)
    stepper = kernel.stepper(own, shard.width, {**kernel.DEFAULTS, **shard.params})
    return Resident(
        population=shard.population, trigger=shard.trigger, wait=shard.wait, ticks=shard.ticks, lanes=shard.lanes, copies=copies,
        reset=stepper.reset, step=stepper.step, listeners=listeners, send_keys=own.get("send_keys"),
        send_values=own.get("send_values"), ledger=own["ledger"], probes=told,
        headers=own.get("headers"), marks=own.get("marks"), exchange=stepper.exchange,
    )  # fmt: skip


def exchange_of(
    who: str, shard: Shard, resident: Resident, views: Mapping[str, Array], peers: Sequence[Sequence[Any]], clock: int
) -> Exchange:
    """Return the transfers of a shard on PE `who`, which is in SRAM; ModelError where they do not go with its kernel. `peers` and
    `clock` as in `Load`.
    """
    spec, head = kernels.transfers_of(shard.kernel), prefix(shard.population)
    if spec is None or resident.exchange is None or len(peers) > spec.most_peers:
        most = spec.most_peers if spec else 0
        raise ModelError(
            f"shard of population {shard.population}: {len(peers)} peers; neuron model {shard.kernel!r} has at most {most}"
        )
    others = {-1: OWN_DRAM, -2: HOST, -3: OTHER_DRAM}
    views[f"{head}peers"][:] = NOBODY
    views[f"{head}peers"][: len(peers)] = [others.get(population, population) for _, population in peers]
    inbox_data, outbox_data = (views[f"{head}{spec.memory or f'{box}_data'}"] for box in ("inbox", "outbox"))
    return Exchange(
        step=resident.exchange, inbox=views[f"{head}inbox"], inbox_data=inbox_data, outbox=views[f"{head}outbox"],
        outbox_data=outbox_data, exchanged=views[f"{head}exchanged"], own=who, peers=[name for name, _ in peers], clock=clock,
        sent_bytes=spec.bytes_out if spec.memory else spec.most_out * spec.bytes_out, lands=bool(spec.memory),
    )  # fmt: skip


def _listener(shard: Shard, port: ShardPort, place: PortPlace, views: Mapping[str, Array], *, first: bool, fills: bool) -> Listener:
    """Put a port's weights into SRAM and bind its slots; `first`: its port's sums begin with its own. `fills`: if it shares a
    vector, no other port fills that with the same events.
    """
    form, shape = formats.named(shard.format), port.shape
    check_trace(f"shard of population {shard.population}: port {port.name!r}", port.trace)
    if port.trace and port.delay:
        raise ModelError(f"shard of population {shard.population}: port {port.name!r} hears a trace late; needs delay 0")
    rows = kernels.named(shard.kernel).PORTS[port.name].rows * len(shard.units)
    if shape.rows != rows or shape.lanes != shard.lanes or min(shape.slots, shape.phases) < 1:
        have = f"{shape.rows} rows, {shape.lanes} lanes, {shape.slots} slots, {shape.phases} phases"
        need = f"{rows}, {shard.lanes}, 1, 1"
        raise ModelError(f"shard of population {shard.population}: port {port.name!r} has {have}; needs {need}")
    weights = {item.name for item in form.fields(shape) if item.role == "weights"}
    if port.arrays.keys() != weights:
        raise ModelError(f"shard of population {shard.population}: weights {sorted(port.arrays)}; needs {sorted(weights)}")
    for name, array in port.arrays.items():
        views[f"{place.head}.{name}"][...] = array
    if hasattr(form, "check"):
        form.check({name: views[f"{place.head}.{name}"] for name in weights}, shape)
    arrays = {name.rpartition(".")[2]: view for name, view in views.items() if name.rpartition(".")[0] == place.head}
    shared = heard_field(shard.format, shape)
    if shared is not None:
        arrays["vector"] = views[HEARD][: shared.size_bytes].view(shared.dtype).reshape(shared.shape)
    several = place.rings > 1 or shape.phases > 1 or shape.early
    slots, bound, closes = [], None, False
    for number in range(shape.slots):
        mem = dict(arrays)
        sums_slot = number if place.rings > 1 else 0
        lanes = slice(sums_slot * shape.lanes, (sums_slot + 1) * shape.lanes)
        mem["sums"], mem["counts"] = views[place.sums][lanes], views[f"{place.head}.counts"][lanes]
        if "vector" in mem and place.vectors > 1:
            mem["vector"] = mem["vector"][number * shape.lanes : (number + 1) * shape.lanes]
        bound = form.port(mem, shape, port.trace)
        if shared is not None and not fills:
            bound = bound._replace(clear=nothing, receive=nothing)
        add = nothing
        if place.adds:
            add = adding(mem["sums"], views[f"{prefix(shard.population)}{port.name}.sums"], first)
        closes = (several or bound.closes) and bound.product is not nothing
        silence = forgetting(mem["sums"], mem["counts"]) if closes else bound.forget
        slots.append(Slot(
            clear=bound.clear, receive=bound.receive, product=bound.product, forget=silence, more=bound.more, add=add,
            counts=mem["counts"],
        ))  # fmt: skip
    assert bound is not None, "a port has a slot"
    return Listener(
        population=port.source, delay=port.delay, keys=shape.lanes * shape.source_units, item_bytes=payload_bytes(shape.payload),
        dense=shape.dense, lanes=shape.lanes, closes=closes, adds=place.adds,
        restart=bound.restart, slots=slots,
    )  # fmt: skip


def _check_together(shard: Shard, together: int) -> None:
    """Raise ModelError where units are split that a neuron model wants on one PE."""
    first = shard.units[::together]
    whole = [int(unit) + more for unit in first for more in range(together)]
    if any(int(unit) % together for unit in first) or whole != shard.units.tolist():
        need = f"neuron model {shard.kernel!r} needs {together} units together"
        raise ModelError(f"population {shard.population}: {need}; a deal splits them")
