"""Traffic by which the price of a network on chip is judged: each case as the price has it, and as a flit simulation does.

Two sets, which share no network: `SETTING`, from which the constants of `host/cost/transit.py` were chosen, and `JUDGED`. What
a PE sends when follows from the constants of the cost table alone: a DMA engine starts a message when it is done with the one
before, and begins with the PE behind its own; a core writes a packet at a time, what is for other chips first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from host.cost.cost_table import CostTable, apply_settings, load_table
from host.cost.cycles import SEND, TRANSFERS
from host.cost.ledger import BYTES, MESSAGES, READ_BYTES, READS, Ledger
from host.cost.price import price_positions
from models.numerics import payload_bytes
from models.seeded import seeded_egru
from noc.chip import PeId, load_chip
from noc.mesh_routes import load_table as load_routes
from tests.tools.flit_simulation import Mesh, Send
from tests.tools.ledgers import DVS, destinations, heard_by, invented, placed

CHIP = load_chip()
NO_LIMIT = 10**9  # a FIFO's depth that is none
NETWORKS = {
    "300 > 600 > 300": ((64, (300, 600, 300), 0.1), 120, "csr"),
    "900": ((64, (900,), 0.1), 90, "csr"),
    "480": ((64, (480,), 0.1), 120, "csr"),
    "paper's language model": ((), 150, "csr"),
    "paper's gesture model": ((*DVS, 1.0), 128, "dense"),
}
SETTING, JUDGED = ("300 > 600 > 300", "900"), ("paper's language model", "paper's gesture model")
LOADS = (
    ("unicast", "light", ("messages=dma", "payload=events"), 0.02),
    ("unicast", "full", ("messages=dma",), 0.2),
    ("qpe", "light", ("messages=qpe", "payload=events"), 0.02),
    ("qpe", "full", ("messages=qpe",), 0.2),
    ("multicast", "light", ("messages=multicast",), 0.02),
    ("multicast", "full", ("messages=multicast",), 1.0),
)
"""Traffic, load, settings of a price and activity: light is events at 2 % activity; full, in multicast, an event of each unit, in
other modes the whole slice of every sender, the price's default."""


class Tiles(NamedTuple):
    """Transfers on the PEs of a network: each PE sends to the one `step` places on; all read DRAM, or a `few`; and by load, bytes
    of a tile and tiles of a PE.
    """

    network: str
    step: int
    few: int
    loads: tuple[tuple[str, int, int], ...]


SETTING_TILES = Tiles("480", 49, 12, (("light", 128, 1), ("full", 2048, 12)))
JUDGED_TILES = Tiles("900", 37, 8, (("light", 64, 1), ("full", 4096, 8)))


@dataclass(frozen=True)
class Case:
    """What `layers` (their numbers) of a ledger send at a position, none of them: its input over links; `side_by_side` where
    they do at the same time.
    """

    traffic: str
    load: str
    where: str
    ledger: Ledger
    sets: tuple[str, ...]
    layers: tuple[int, ...]
    side_by_side: bool = False

    def table(self, *more: str) -> CostTable:
        """Return the cost table of the case, as shipped but for its settings and `more`."""
        return apply_settings(load_table(), [*self.sets, *more])[0]


# ---- cases


@cache
def ledger_of(network: str, activity: float, positions: int = 1, chips: int = 1) -> Ledger:
    """Return a position of a network of `NETWORKS`, with so much activity drawn at random; on several chips in blocks of PEs."""
    sizes, pes, form = NETWORKS[network]
    ledger = invented(placed(seeded_egru(*sizes[:2], density=sizes[2]) if sizes else seeded_egru(), pes, form), 1, activity)
    ledger = replace(
        ledger, events=np.repeat(ledger.events, positions, axis=0), input_events=np.repeat(ledger.input_events, positions, axis=0),
        port_counts=np.repeat(ledger.port_counts, positions, axis=0), stepped=np.repeat(ledger.stepped, positions, axis=0),
        by_turn={name: np.repeat(counts, positions, axis=0) for name, counts in ledger.by_turn.items()},
    )  # fmt: skip
    if chips == 1:
        return ledger
    # PEs change chips in turn, so that every layer is on all of them.
    spots = [(at % chips, at // chips) for at in range(pes)]
    names = [PeId(chip, *ledger.pes[at][1:]) for chip, at in spots]
    order = sorted(range(pes), key=lambda at: names[at])
    number = np.argsort(order)
    return replace(
        ledger, pes=tuple(names[at] for at in order), chips=chips, shards={**ledger.shards, "pe": number[ledger.shards["pe"]]}
    )


def event_cases(networks: Sequence[str], loads: Sequence[tuple] = LOADS, layers: Sequence[int] | None = None) -> Iterator[Case]:
    """Yield each layer of networks under each load."""
    for network in networks:
        for traffic, load, sets, activity in loads:
            ledger = ledger_of(network, activity)
            for layer in layers or range(1, len(ledger.layers) + 1):
                yield Case(traffic, load, f"{network}, layer {layer}", ledger, sets, (layer,))


def pipeline_cases(network: str, loads: Sequence[tuple] = LOADS) -> Iterator[Case]:
    """Yield all layers of a network at the same time."""
    for traffic, load, sets, activity in loads:
        ledger = ledger_of(network, activity, positions=3)
        layers = tuple(range(1, len(ledger.layers) + 1))
        yield Case(traffic, load, f"{network}, all layers at once", ledger, (*sets, "schedule=pipelined"), layers, True)


def chips_cases(network: str, loads: Sequence[tuple] = LOADS) -> Iterator[Case]:
    """Yield the first layer of a network on two chips."""
    for traffic, load, sets, activity in loads:
        yield Case(f"two chips, {traffic}", load, f"{network}, layer 1", ledger_of(network, activity, chips=2), sets, (1,))


def input_cases(loads: Sequence[tuple] = LOADS[4:]) -> Iterator[Case]:
    """Yield the input of each judged network, from the host's chip to the PEs of another: packets in every mode, so `loads`
    only say how many events there are.
    """
    for network, (_, load, _, activity) in product(JUDGED, loads):
        ledger = ledger_of(network, activity, chips=2)
        ledger = replace(ledger, input_events=np.maximum(1, ledger.input_events * activity).astype(np.uint32))
        yield Case("input to another chip", load, network, ledger, (), ())


def transfer_cases(of: Tiles = JUDGED_TILES) -> Iterator[Case]:
    """Yield transfers of tiles: from PE to PE, from one PE to all, from all to one, and with the DRAM."""
    pes, ledger = NETWORKS[of.network][1], ledger_of(of.network, 0.0)
    for load, size, tiles in of.loads:
        for where, rows in (
            (f"each PE to the one {of.step} places on", [(pe, (pe + of.step) % pes) for pe in range(pes)]),
            (f"one PE to {pes - 1}", [(0, pe) for pe in range(1, pes)]),
            (f"{pes - 1} PEs to one", [(pe, 0) for pe in range(1, pes)]),
        ):
            yield transfer_case(ledger, "tiles", load, where, rows, size, tiles)
        for kind, number in (("read", pes), ("read", of.few), ("written", pes)):
            rows = [(pe, -1) for pe in range(number)]
            yield transfer_case(ledger, "DRAM", load, f"{kind} by {number} PEs", rows, size, tiles, reads=kind == "read")


def transfer_case(
    ledger: Ledger, traffic: str, load: str, where: str, rows: list[tuple[int, int]], size: int, tiles: int, *, reads: bool = False
) -> Case:
    """Return a case in which PEs of a ledger send others (-1: the DRAM) so many tiles of so many bytes, or read them, and nothing
    else.
    """
    heard = np.flatnonzero(ledger.ports["source"] == 0)  # nobody listens to the layer
    counts = np.zeros((1, len(rows), 4), np.uint32)
    counts[..., [READS, READ_BYTES] if reads else [MESSAGES, BYTES]] = tiles, tiles * size
    shard_of = {pe: shard for shard, pe in enumerate(ledger.shards["pe"].tolist())}
    peers = {
        "shard": np.array([shard_of[pe] for pe, _ in rows]), "pe": np.array([to for _, to in rows]),
        "chip": np.zeros(len(rows), np.int64),
    }  # fmt: skip
    ports = {name: column[heard] for name, column in ledger.ports.items()}
    ledger = replace(ledger, ports=ports, port_counts=ledger.port_counts[:, heard], peers=peers, transfers=counts)
    return Case(traffic, load, where, ledger, ("dram=prefetched",), (1,))


# ---- the price


def predicted(case: Case, nearest: bool, *more: str, fifo_flits: int = 0) -> float:
    """Return NoC cycles from the first send of a case to its last arrival, by one of the route tables, with FIFOs of
    `fifo_flits` (0: without a limit).
    """
    table = case.table(f"nearest_routes_share={int(nearest)}", *more)
    chip = replace(CHIP, noc_fifo_flits=fifo_flits or NO_LIMIT)
    priced = price_positions(case.ledger, chip, table, bands=False)
    if not case.layers:
        return float(priced.input_links_s[0].max()) * CHIP.noc_clock_hz
    at, longest = case.ledger.positions // 2 if case.side_by_side else 0, 0.0
    for layer in case.layers:
        of_layer = np.flatnonzero(case.ledger.shards["population"] == layer)
        stages = [priced.stages.index(name) for name in (SEND, TRANSFERS) if name in priced.stages]
        sender_s = priced.shard_cycles[at, of_layer][:, stages].sum(axis=1).max() / CHIP.pe_clock_hz
        parts = (priced.transit_s, priced.links_s, *([priced.wait_s] if case.ledger.has_transfers else []))
        under_way_s = sum(float(one[at, layer - 1]) for one in parts)
        longest = max(longest, sender_s + under_way_s)
    return longest * CHIP.noc_clock_hz


BANDED = ("noc_blocking_flits", "noc_form_ratio")
"""What a simulation does not know: what FIFOs cost, whatever depth they have, and the closed form's own error."""


def band(case: Case, nearest: bool, names: Sequence[str] = BANDED) -> tuple[float, float]:
    """Return the NoC cycles of a case with constants and the depth of FIFOs at their low ends and at their high ones; all else is
    as the simulation has it.
    """
    constants, depth = load_table().constants, CHIP.facts["noc_fifo_flits"]
    low, high = ([f"{name}={getattr(constants[name], end)}" for name in names] for end in ("low", "high"))
    return predicted(case, nearest, *low, fifo_flits=int(depth.high)), predicted(case, nearest, *high, fifo_flits=int(depth.low))


# ---- the simulation


class Traffic(NamedTuple):
    """What is sent on a mesh, and the NoC cycle in which the last sender is done with its last message."""

    mesh: Mesh
    sends: list[Send]
    sent: float

    def cycles(self, fifo_flits: int = 0) -> int:
        """Return the NoC cycles from the first send until all has arrived and all senders are done."""
        return max(self.mesh.run(self.sends, fifo_flits).cycles, round(self.sent))


def simulated(case: Case, nearest: bool, fifo_flits: int = 0) -> int:
    """Return the NoC cycles that the flit simulation makes of a case."""
    return traffic_of(case, nearest).cycles(fifo_flits)


def traffic_of(case: Case, nearest: bool) -> Traffic:
    """Return the mesh of a case by one of the route tables, and what is sent on it."""
    table, pe_cycle = case.table(), CHIP.noc_clock_hz / CHIP.pe_clock_hz
    routes, frame = load_routes("nearest" if nearest else "balanced"), CHIP.link_onboard_frame_s * CHIP.noc_clock_hz
    way = round(frame + 2 * table["link_router_cycles"] / CHIP.router_clock_hz * CHIP.noc_clock_hz)
    chips = case.ledger.chips
    mesh = Mesh(
        lambda site, to: routes[site][to], CHIP.hop_cycles, max(1.0, table["port_flit_cycles"] * pe_cycle), chips=chips,
        dram_cycles=16 / (CHIP.dram_sustained_bytes_per_s / 2) * CHIP.noc_clock_hz,
        links={(a, b): (frame, way) for a in range(chips) for b in range(chips) if a != b},
    )  # fmt: skip
    if not case.layers:
        return Traffic(mesh, _input_sends(case), 0)
    cores: list[_Core] = []
    if case.ledger.has_transfers:
        sends = _transfer_sends(case, table, pe_cycle, cores)
    else:
        sends = [send for layer in case.layers for send in _event_sends(case, table, layer, pe_cycle, cores)]
    return Traffic(mesh, sends, max(core.now for core in cores))


def _event_sends(case: Case, table: CostTable, layer: int, pe_cycle: float, cores: list[_Core]) -> Iterator[Send]:
    """Yield what the PEs of a layer send; they are added to `cores`."""
    ledger, mode = case.ledger, table.settings["messages"]
    port = max(1.0, table["port_flit_cycles"] * pe_cycle)
    for place, shard in enumerate(np.flatnonzero(ledger.shards["population"] == layer).tolist()):
        own = ledger.pes[ledger.shards["pe"][shard]]
        events, units = int(ledger.events[0, shard]), int(ledger.shards["units"][shard])
        to = sorted(destinations(ledger, shard), key=lambda pe: (pe <= own, pe))  # begins behind itself
        here, away = [pe for pe in to if pe.chip == own.chip], [pe for pe in to if pe.chip != own.chip]
        writer = _Core(own, pe_cycle, table)
        cores.append(writer)
        if mode == "multicast":
            yield from writer.write([tuple(to)] * events)
            yield from writer.write([tuple(here)], begins=not events)
            yield from writer.write([tuple(away)] if away and not place else [], begins=False)
            continue
        if away:  # a chip's first sender says "done" to others; places of one layer take turns between chips
            yield from writer.write([tuple(away)] * (events + (place < ledger.chips)))
        size = events * 8 if table.settings["payload"] == "events" else units * 4
        flits = max(1, -(-size // 16))
        groups: dict[object, list[PeId]] = {}
        for pe in here:
            groups.setdefault((pe.x, pe.y) if mode == "qpe" else pe, []).append(pe)
        for group in groups.values():
            if mode == "dma":
                yield writer.dma(tuple(group), flits, port)
            else:
                yield from writer.write([tuple(group)] * flits)


def _input_sends(case: Case) -> list[Send]:
    ledger, (number,) = case.ledger, case.ledger.inputs
    one, events = ledger.populations[number], int(ledger.input_events[0, 0])
    packets = -(-one.units * ledger.lanes * payload_bytes(one.payload) // 4) if one.dense else events
    heard = [ledger.pes[ledger.shards["pe"][shard]] for shard in sorted(heard_by(ledger, number))]
    away = tuple(sorted({pe for pe in heard if pe.chip}))
    return [Send(0, ("router", 0), away, packets + 1)]


class _Core:
    """What a PE sends one after another: the cycle at which it is done with the last."""

    def __init__(self, pe: PeId, pe_cycle: float, table: CostTable) -> None:
        self.pe, self._pe_cycle, self._table, self.now = pe, pe_cycle, table, 0.0

    def write(self, packets: Sequence[tuple[PeId, ...]], begins: bool = True) -> Iterator[Send]:
        """Write packets, each with its destinations, as one message; not `begins`: as a part of the last."""
        if packets and begins:
            self.now += self._table["packet_setup_cycles"] * self._pe_cycle
        for to in packets:
            self.now += self._table["packet_cycles"] * self._pe_cycle
            if to:
                yield Send(round(self.now), self.pe, to)

    def dma(self, to: tuple, flits: int, port: float, source: object = None) -> Send:
        """Let the DMA engine send, or fetch from a `source`, and wait for it."""
        self.now += CHIP.dma_setup_cycles * self._pe_cycle
        send = Send(round(self.now), source or self.pe, to, flits)
        self.now += flits * port + self._table["dma_wait_noc_cycles"]
        return send


def _transfer_sends(case: Case, table: CostTable, pe_cycle: float, cores: list[_Core]) -> list[Send]:
    """Return the transfers of PEs, which are added to `cores`."""
    ledger, port = case.ledger, max(1.0, table["port_flit_cycles"] * pe_cycle)
    of_pe: dict[PeId, _Core] = {}
    sends: list[Send] = []
    for row, (shard, to) in enumerate(zip(ledger.peers["shard"].tolist(), ledger.peers["pe"].tolist(), strict=True)):
        pe = ledger.pes[ledger.shards["pe"][shard]]
        core = of_pe.setdefault(pe, _Core(pe, pe_cycle, table))
        sent, size, reads, read_size = ledger.transfers[0, row].tolist()
        for _ in range(sent + reads):
            flits = -(-(size + read_size) // (sent + reads) // 16)
            if to >= 0:
                sends.append(core.dma((ledger.pes[to],), flits, port))
                continue
            one = core.dma((pe,), flits, port)  # both interfaces have a half
            for dram in (0, 1):
                half = (flits + 1 - dram) // 2
                ends = (("dram", 0, dram), (pe,)) if reads else (pe, (("dram", 0, dram),))
                sends += [Send(one.cycle, *ends, half)] if half else []
    cores += of_pe.values()
    return sorted(sends, key=lambda send: send.cycle)
