"""A run's first positions as a timeline for Perfetto's viewer (ui.perfetto.dev): `trace.json.gz`, in Chrome's trace event format.

Everything on the time axis is *modelled* time: a process is a chip, a thread is a PE. A PE has one slice for each position
of each layer it runs (and for each tick, where its step takes several), named after the layer, from when it begins (with the
wait for DRAM, where it hears an input) until the layer's last message has arrived, and within it its stages, ended by the wait
for the slower PEs (and, on several chips, for `links`). Between two such slices other layers have their turn. Arrows lead from
the broadcast of a layer's slowest PE to the slowest PE of each layer that hears it at the same position. Counters: events of
each layer as they arrive, flits on the busiest link or port, and power. Of a network that a scheduler runs, a position is a
layer: its slices have the layer's name, `DMA` is what a PE moves, and each chip's DRAM has slices of its own. The emulator's wall
time is on no axis; it is in the file's `otherData`.

Times are microseconds in eighths: those are exact in binary and in the three decimals that readers keep, so that no
rounding, here or there, makes slices overlap that touch. Slices that round to nothing are left out. Process and thread
numbers begin at 1: trace viewers keep 0 for themselves. The text depends on the arguments alone. Units and single packets
are not in it, because no ledger holds them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from isal import igzip

from host.cost.cost_table import CostTable
from host.cost.cycles import LINKS, SEND, TRANSFERS, UNITS, WAIT
from host.cost.ledger import MACS, Ledger, RunLedger
from host.cost.priced import Priced, PricedPositions
from host.cost.timeline import Timeline, layer_exchange_of, timeline, timer
from host.cost.twins import twin
from host.cost.windows import Window, windows
from host.show.dram_slices import busy_slices, thread_names
from models.network import F64, I64, U32
from noc.chip import PES_PER_QPE, QPES, ChipSpec, PeId

FILE = "trace.json.gz"
_PARTS = 8  # of a microsecond
_BETWEEN = b",\n"  # entries
_STAGES = {TRANSFERS: "DMA", UNITS: "array and core"}  # of a network that a scheduler runs
_SITES = {site: number for number, site in enumerate(QPES)}


def write_trace(
    path: Path, run: RunLedger, priced: Priced, chip: ChipSpec, table: CostTable, positions: int, wall: Mapping[str, Any],
    names: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write the first `positions` positions of a priced run, some at a time; `wall` has the emulator's own times. `names`: of the
    positions in turn, where a slice has that in place of its population's.
    """
    positions = min(positions, run.positions)
    about = {
        "generator": "gennaker",
        "time": "modelled, in microseconds since the run began",
        "positions": f"{positions} of {run.positions}",
        "settings": dict(priced.settings),
        "wall_time": dict(wall),
    }
    with path.open("wb") as raw, igzip.IGzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(f'{{"displayTimeUnit":"ns","otherData":{_json(about)},"traceEvents":[\n'.encode())
        file.write(_join_entries(_names(run) + thread_names(run)))
        for window in windows(run, chip, table, positions):
            for entries in filter(None, _events(window, priced, chip, table, names)):
                file.write(_BETWEEN + entries)
        file.write(b"\n]}\n")


def _process_and_thread(pe: PeId) -> tuple[int, int]:
    """Return the process and thread number of a PE."""
    return pe.chip + 1, 1 + PES_PER_QPE * _SITES[pe.x, pe.y] + pe.p


def _events(
    window: Window, run: Priced, chip: ChipSpec, table: CostTable, position_names: Sequence[str]
) -> Iterator[bytes]:  # fmt: skip
    """Yield the entries of a window's own positions; its neighbours say where slices end that touch theirs."""
    own, (ledger, priced) = window.own, window[:2]
    line = timeline(ledger, priced)
    edges, ends = _slice_edges(ledger, line)
    timers = timer(line, float(chip.facts["timer_hz"].value or 0))
    over_links = _eighths(line.links_s)[:, layer_exchange_of(ledger)]
    for turn in range(edges.shape[1]):
        yield from _slices(
            window, turn, line.stages, edges[own, turn], ends[own, turn], over_links[own, turn], timers[own, turn], position_names
        )  # fmt: skip
    for pid, tid, began, ended, size in busy_slices(window, chip):
        at, until = _eighths(began), _eighths(ended)
        for number, name in enumerate(position_names or ("bytes",)):
            here = (window.first + np.arange(own.start, own.stop)) % max(len(position_names), 1) == number
            here &= until > at
            columns = {"ts": at[here] / _PARTS, "dur": (until - at)[here] / _PARTS}
            yield _rows(f'"ph":"X","pid":{pid},"tid":{tid},"name":{_json(name)},', columns, {"bytes": size[here]})
    yield _join_entries(_arrows(window, line.stages, edges[own]))
    yield from _counters(window, run, chip, table, line)


def _names(run: RunLedger) -> list[str]:
    lines = []
    for chip in sorted({pe.chip for pe in run.pes}):
        lines.append(_meta("process_name", chip + 1, 0, name=f"chip {chip} (modelled time)"))
        lines.append(_meta("process_sort_index", chip + 1, 0, sort_index=chip))
    for number, pe in enumerate(run.pes):
        pid, tid = _process_and_thread(pe)
        runs = "+".join(run.populations[n].name for n in np.unique(run.shards["population"][run.shards["pe"] == number]))
        lines.append(_meta("thread_name", pid, tid, name=f"{pe} {runs}"))
        lines.append(_meta("thread_sort_index", pid, tid, sort_index=tid))
    return lines


def _meta(kind: str, pid: int, tid: int, **content: Any) -> str:
    return _json({"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": content})


def _slice_edges(ledger: Ledger, line: Timeline) -> tuple[I64, I64]:
    """Return the stages' edges, (positions, turns, stages + 1), and the ends of the slices, (positions, turns), in eighths.

    A slice ends with the layer's messages, or where the PE's next shard begins. Sums that are equal on paper differ in
    their last bit and may round apart, so an edge behind that next beginning is moved to it.
    """
    edges = _eighths(line.edges_s)
    ends = np.maximum(_eighths(line.arrived_s)[:, layer_exchange_of(ledger)], edges[:, :, -1])
    turn_pe = ledger.shards["pe"][ledger.turns.shard]
    for pe in range(len(ledger.pes)):
        turns = np.flatnonzero(turn_pe == pe)
        began = edges[:, turns, 0].ravel()
        order = np.argsort(began, kind="stable")
        following = np.full(len(order), np.iinfo(np.int64).max)
        following[order[:-1]] = began[order[1:]]
        limits = following.reshape(len(edges), len(turns))
        ends[:, turns] = np.minimum(ends[:, turns], limits)
        edges[:, turns] = np.minimum(edges[:, turns], limits[:, :, None])
    return edges, ends


def _slices(
    window: Window, turn: int, stages: Sequence[str], edges: I64, ends: I64, over_links: I64, timers: U32,
    position_names: Sequence[str],
) -> Iterator[bytes]:  # fmt: skip
    """Yield a turn's slices: those of the positions first, with what the paper's timer shows at the stages' edges
    (positions, stages + 1), then what lies within them; the end of the wait, while messages cross links, has a slice of its own.
    """
    ledger, own = window.ledger, window.own
    shard = int(ledger.turns.shard[turn])
    pid, tid = _process_and_thread(ledger.pes[ledger.shards["pe"][shard]])
    macs = ledger.port_counts[own, ledger.ports["shard"] == shard, MACS].sum(axis=1, dtype=np.int64)
    if ledger.turns.phase[turn]:
        macs = np.zeros_like(macs)  # products come before the first tick

    def entries(name: str, start: I64, end: I64, **more: npt.NDArray[Any]) -> bytes:
        lasting = end > start
        columns = {"ts": start[lasting] / _PARTS, "dur": (end - start)[lasting] / _PARTS}
        inner = {key: column[lasting] for key, column in more.items()}
        return _rows(f'"ph":"X","pid":{pid},"tid":{tid},"name":{_json(name)},', columns, inner)

    positions = window.first + np.arange(own.start, own.stop)
    events = ledger.events[own, turn]
    layer = ledger.populations[ledger.shards["population"][shard]].name
    columns = {"position": positions, "events": events, "macs": macs, "timer": timers}
    for number, name in enumerate(position_names or (layer,)):
        here = positions % max(len(position_names), 1) == number
        yield entries(name, edges[here, 0], ends[here], **{key: column[here] for key, column in columns.items()})
    for i, stage in enumerate(stages):
        yield entries(_STAGES.get(stage, stage) if position_names else stage, edges[:, i], edges[:, i + 1])
    left = np.maximum(edges[:, -1], ends - over_links)
    yield entries(WAIT, edges[:, -1], left)
    yield entries(LINKS, left, ends)


def _arrows(window: Window, stages: Sequence[str], edges: I64) -> list[str]:
    """Return a flow for each position and pair of layers of which one hears the other at the same position, from slowest PE to
    slowest PE, unless both are one PE.
    """
    ledger, first_position = window.ledger, window.first + window.own.start
    population, turns = ledger.shards["population"][ledger.turns.shard], ledger.turns
    prompt = ledger.ports["delay"] == 0
    layers = ledger.shards["population"][ledger.ports["shard"][prompt]].tolist()
    edges_between = set(zip(ledger.ports["source"][prompt].tolist(), layers, strict=True))
    pairs = sorted(pair for pair in edges_between if pair[0] in ledger.layers)
    turn_pe = ledger.shards["pe"][turns.shard]
    lines = []
    for n, (source, sink) in enumerate(pairs):
        last = np.flatnonzero((population == source) & (turns.phase == ledger.populations[source].ticks - 1))
        first = np.flatnonzero((population == sink) & (turns.phase == 0))
        send, hear = stages.index(SEND), stages.index(_stage_of(ledger, source, sink))
        slowest = [of_layer[np.argmax(edges[:, of_layer, -1], axis=1)].tolist() for of_layer in (last, first)]
        for position, (sender, hearer) in enumerate(zip(*slowest, strict=True)):
            if turn_pe[sender] == turn_pe[hearer]:
                continue
            number = (first_position + position) * len(pairs) + n
            for phase, turn, stage in (("s", sender, send), ("f", hearer, hear)):
                pid, tid = _process_and_thread(ledger.pes[turn_pe[turn]])
                start, end = edges[position, turn, stage : stage + 2].tolist()
                # Just inside: at its very start a reader may still see the slice before.
                ts = min(start + 1, max(start, end - 1)) / _PARTS
                bind = ',"bp":"e"' if phase == "f" else ""
                lines.append(
                    f'{{"ph":"{phase}"{bind},"pid":{pid},"tid":{tid},"name":"messages","cat":"messages","id":{number},"ts":{ts}}}'
                )
    return lines


def _stage_of(ledger: Ledger, source: int, sink: int) -> str:
    """Return the stage in which a layer works on what it hears of another at the same position."""
    ports = ledger.ports
    port = np.flatnonzero(
        (ports["source"] == source) & (ports["delay"] == 0) & (ledger.shards["population"][ports["shard"]] == sink)
    )[0]
    return str(twin("kernels", ledger.populations[sink].kernel).PORT_STAGES[ledger.port_names[ports["name"][port]]])


def _exchange_name(ledger: Ledger, exchange: int) -> str:
    """Return the name of a layer, with the number of the tick where its step takes several."""
    one = ledger.populations[ledger.exchanges.population[exchange]]
    return one.name if one.ticks == 1 else f"{one.name} tick {ledger.exchanges.phase[exchange]}"


def _counters(window: Window, run: Priced, chip: ChipSpec, table: CostTable, line: Timeline) -> Iterator[bytes]:
    ledger, priced, own = window.ledger, window.priced, window.own
    pid = ledger.pes[0].chip + 1
    for n, exchange in enumerate(ledger.exchanges.layers.tolist()):
        events = ledger.events[own, ledger.turns.exchange == exchange].sum(axis=1, dtype=np.int64)
        yield _counter(pid, f"events {_exchange_name(ledger, exchange)}", "events", _eighths(line.arrived_s[own, n]), events)
    starts, power = power_w(ledger, priced, chip, table, run)
    flits = np.zeros(len(starts), np.int64)
    busiest = priced.traffic.peak_flits(priced.settings["schedule"] != "sequential")
    np.maximum.at(flits, np.searchsorted(starts, priced.began_s.ravel()), busiest.ravel())
    # Of a pipeline what the window's last positions do in ticks of those behind it is theirs, but at the trace's end.
    traced = starts <= line.began_s[own].max(initial=0.0)
    if own.start:
        traced &= starts > line.began_s[: own.start].max()
    at = _eighths(starts[traced])
    yield _counter(pid, "busiest link or port", "flits", at, flits[traced])
    yield _counter(pid, "power", "mW", at, np.round(1e3 * power[traced], 3))


def power_w(
    ledger: Ledger, priced: PricedPositions, chip: ChipSpec, table: CostTable, run: Priced | None = None
) -> tuple[F64, F64]:
    """Return when the layers' turns (or the ticks of a pipeline) begin, in s, and the chips' mean power during each, in W.

    What links draw is spread over the whole run: `run`, or where it is None these positions. Where positions follow, the last
    turn's power is not known.
    """
    run = run or priced
    starts = np.unique(priced.began_s)
    busy = np.zeros(len(starts))
    seconds = priced.shard_cycles.sum(axis=2) / chip.pe_clock_hz
    at = np.searchsorted(starts, priced.began_s[:, layer_exchange_of(ledger)])
    np.add.at(busy, at.ravel(), seconds.ravel())
    lasts = np.diff(starts, append=run.time_s)
    computing = np.divide(busy, lasts, out=np.zeros_like(busy), where=lasts > 0)
    above = computing + table["waiting_power_share"] * (len(ledger.pes) - computing)
    idle_w = chip.power_off_w + chip.pe_sleep_w * table["powered_pes"]
    links_w = run.energy_parts_j.get(LINKS, 0.0) / run.time_s if run.time_s else 0.0
    return starts, (ledger.chips - len(ledger.down_chips)) * idle_w + chip.pe_active_w * above + links_w


def _counter(pid: int, name: str, unit: str, at: I64, values: npt.NDArray[Any]) -> bytes:
    return _rows(f'"ph":"C","pid":{pid},"name":{_json(name)},', {"ts": at / _PARTS}, {unit: values})


def _eighths(seconds: F64) -> I64:
    return np.rint(seconds * (1e6 * _PARTS)).astype(np.int64)


def _rows(head: str, columns: Mapping[str, npt.NDArray[Any]], args: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return one entry for each element of the columns: a trace has a thousand a position, too many for a loop over them."""
    if len(columns) == 2 and not args:
        first, second = columns
        return _rows_of_two(head, first, second, np.column_stack([columns[first], columns[second]]))
    parts: list[Iterable[bytes]] = []
    before = "{" + head
    for place, (key, column) in enumerate((*columns.items(), *args.items())):
        before += '"args":{' if place == len(columns) else ""
        parts += [repeat(f'{before}"{key}":'.encode()), _texts(column)]
        before = ","
    close = b"}}" if args else b"}"
    return b"".join(chain.from_iterable(zip(*parts, repeat(close + _BETWEEN), strict=False)))[: -len(_BETWEEN)]


def _rows_of_two(head: str, first: str, second: str, numbers: F64) -> bytes:
    """Return what `_rows` does for two columns, as most entries have: the text of all numbers is edited as a whole."""
    text = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2]
    if not text:
        return b""
    begin = f'{{{head}"{first}":'.encode()
    rows = text.replace(b"],[", b"\n").replace(b",", f',"{second}":'.encode())
    return begin + rows.replace(b"\n", b"}" + _BETWEEN + begin) + b"}"


def _texts(numbers: npt.NDArray[Any]) -> list[bytes]:
    """Return each number, or each row of numbers, as the shortest text that reads back as it."""
    text = orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    if not text:
        return []
    return text.replace(b"],[", b"]\n[").split(b"\n") if numbers.ndim > 1 else text.split(b",")


def _join_entries(lines: list[str]) -> bytes:
    return ",\n".join(lines).encode()


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
