"""Third pass of a price: cycles become seconds on the critical PE of each layer, and layers follow the price's schedule.

One after another (`sequential`), a layer begins when all that it hears of the same position has been heard, and when the layers
before it on its PEs are done; a position takes the longest path, and the next one begins behind it. Side by side (`pipelined`),
positions enter as many ticks apart as the network's own schedule says, and each tick lasts as long as its slowest PE.

With several chips a layer's events also take links, until the last of them has arrived on the last chip: all chips wait
for that. Layers that lie beside each other work while their messages travel (`host/cost/beside.py`). Inputs wait in the host
chip's DRAM and cross links before the first layer that hears them begins; with `dram=prefetched` they do so unseen. A layer
whose step takes several ticks pays as many exchanges.
"""

from __future__ import annotations

import numpy as np

from host.cost.beside import groups_of, overlap
from host.cost.cost_table import CostTable
from host.cost.cycles import SEND, TRANSFERS, early_cycles, stages_of
from host.cost.dram_reads import dram_answers_s, reads_s
from host.cost.ledger import Ledger, Part, RunLedger
from host.cost.link_cost import LinkCost
from host.cost.moves import Moves
from host.cost.schedule_record import Schedule
from host.cost.scheduled import is_scheduled, scheduled
from host.cost.transit import form_error_s, inputs_s, transit
from models.network import F64, Array
from noc.chip import ChipSpec


def margin_of(run: RunLedger, table: CostTable) -> int:
    """Return how many positions before and behind a part of a run share ticks with it: none but of a pipeline."""
    exchanges = run.exchanges
    return -(-(exchanges.depth - 1) // exchanges.interval) if table.settings["schedule"] == "pipelined" else 0


def schedule(part: Part, moves: Moves, cycles: F64, links: LinkCost, chip: ChipSpec, table: CostTable) -> Schedule:
    """Return the schedule of a part of a run (of its own positions), from its moves, the (positions, turns, stages) `cycles`, and
    `links`, the seconds of its packets between chips. Settings of the table say in which order layers run, and whether they wait
    for DRAM.
    """
    if is_scheduled(part.ledger):
        return scheduled(part, moves, cycles, chip, table)
    ledger, own = part.ledger, part.own
    turns, exchanges, noc = ledger.turns, ledger.exchanges, moves.noc
    shape, turn_pe = (ledger.positions, len(exchanges.layers)), ledger.shards["pe"][ledger.turns.shard]
    pipelined, waited = table.settings["schedule"] == "pipelined", table.settings["dram"] == "waited"
    q, ratio = table["transit_exposed_share"], table["noc_form_ratio"]
    sender_s = _longest_senders_s(ledger, cycles, (SEND, TRANSFERS), chip)
    on_mesh = transit(noc, moves.waits, sender_s, chip, table, with_input=not waited)
    transit_s = on_mesh.under_way_s
    # Links, too, work while cores send and meshes carry.
    begun_s = (table["packet_setup_cycles"] + table["packet_cycles"]) / chip.pe_clock_hz
    arrive_s = np.maximum(on_mesh.written_s, begun_s + links.busy_s) + on_mesh.away_s + links.way_s
    links_s = np.maximum(arrive_s - sender_s - transit_s, 0) + q * np.minimum(links.busy_s, on_mesh.together_s)
    links_s = links_s * (links.way_s > 0)
    of_mesh_s, of_both_s = (form_error_s(sender_s, after_s, table) for after_s in (transit_s, transit_s + links_s))
    transit_s, links_s = transit_s + of_mesh_s, np.maximum(links_s + (of_both_s - of_mesh_s), 0)
    wait_s, input_links_s = np.zeros(shape), np.zeros(shape)
    if waited:
        arrival_s = ratio * (inputs_s(noc, moves.waits, links.input_busy_s, chip, table) + links.input_way_s)
        for number, reads in enumerate(moves.inputs):
            input_links_s[:, reads.first] += arrival_s[:, number]
        wait_s = reads_s(moves.inputs, chip, table) + input_links_s
    if moves.transfers is not None:
        # A DRAM works while PEs ask it and meshes carry that. Where messages follow, what is under way then is taken to be theirs.
        asked_s = _longest_senders_s(ledger, cycles, (TRANSFERS,), chip)
        carried_s = asked_s + np.where(sender_s > asked_s, 0.0, transit_s)
        wait_s = wait_s + np.maximum(dram_answers_s(moves.transfers, exchanges, chip, table) - carried_s, 0)
    after_s = transit_s + links_s
    shard_s = cycles.sum(axis=2) / chip.pe_clock_hz
    layer_s, critical, pe_s = np.zeros(shape), np.zeros(shape, np.int64), np.zeros((*shape, len(ledger.pes)))
    runs = np.zeros(pe_s.shape[1:], bool)
    for n, exchange in enumerate(exchanges.layers.tolist()):
        of_layer = np.flatnonzero(turns.exchange == exchange)
        runs[n, turn_pe[of_layer]] = True
        pe_s[:, n, turn_pe[of_layer]] = shard_s[:, of_layer]
        critical[:, n] = of_layer[np.argmax(shard_s[:, of_layer], axis=1)]
        layer_s[:, n] = shard_s[:, of_layer].max(axis=1) + after_s[:, n] + wait_s[:, n]
    ahead_s = None
    groups = groups_of(ledger)
    if groups and not pipelined and table.settings["beside"] == "send_first":
        early_s, ahead_s = early_cycles(ledger, chip, table) / chip.pe_clock_hz, np.zeros(shard_s.shape)
        transit_s, links_s = transit_s.copy(), links_s.copy()
        for one in (layer for group in groups for layer in overlap(ledger, group, shard_s, early_s, after_s)):
            n, shown = (
                one.column,
                np.divide(one.exposed_s, after_s[:, one.column], out=np.zeros(shape[0]), where=after_s[:, one.column] > 0),
            )
            transit_s[:, n], links_s[:, n] = transit_s[:, n] * shown, links_s[:, n] * shown
            critical[:, n], ahead_s[:, one.turns] = one.critical, one.ahead_s
            layer_s[:, n] = one.clocked_s + one.exposed_s + wait_s[:, n]
    on_path = np.ones(shape, bool)
    if pipelined and ledger.positions:
        began_s, time_s, position_s = _pipelined(part, pe_s, runs, wait_s, after_s)
    else:
        began_s, on_path = _sequential(layer_s, predecessors(ledger, runs))
        position_s = np.where(on_path, layer_s, 0.0).sum(axis=1)
        time_s = float(np.where(on_path, layer_s, 0.0).sum())
    return Schedule(
        time_s=time_s, position_s=position_s[own], began_s=began_s[own],
        ahead_s=None if ahead_s is None else ahead_s[own], wait_s=wait_s[own],
        transit_s=transit_s[own], links_s=links_s[own], layer_s=layer_s[own], critical=critical[own],
        input_links_s=input_links_s[own], on_path=on_path[own], busy_s=pe_s[own].sum(axis=(0, 1)),
    )  # fmt: skip


def _longest_senders_s(ledger: Ledger, cycles: F64, stages: tuple[str, ...], chip: ChipSpec) -> F64:
    """Return the seconds that the busiest turn of each exchange of a layer spends in stages, (positions, layers' exchanges)."""
    names = stages_of(ledger)
    spent_s = cycles[:, :, [names.index(stage) for stage in stages if stage in names]].sum(axis=2) / chip.pe_clock_hz
    of_exchange = [spent_s[:, ledger.turns.exchange == n].max(axis=1) for n in ledger.exchanges.layers.tolist()]
    return np.stack(of_exchange, axis=1)


def predecessors(ledger: Ledger, runs: Array) -> list[list[int]]:
    """Return for each exchange of a layer those it waits for at the same position, in the order in which layers start.

    `runs` (layers' exchanges, PEs): who takes part.
    """
    exchanges, ports = ledger.exchanges, ledger.ports
    prompt = ports["delay"] == 0
    layer_of = ledger.shards["population"][ports["shard"][prompt]]
    edges = set(zip(ports["source"][prompt].tolist(), layer_of.tolist(), strict=True))
    population = exchanges.population[exchanges.layers].tolist()
    order = np.argsort(exchanges.tick[exchanges.layers], kind="stable").tolist()
    before: list[list[int]] = [[] for _ in order]
    for place, n in enumerate(order):
        for earlier in order[:place]:
            heard = (population[earlier], population[n]) in edges or population[earlier] == population[n]
            if heard or (runs[earlier] & runs[n]).any():
                before[n].append(earlier)
    return before


def _sequential(layer_s: F64, before: list[list[int]]) -> tuple[F64, Array]:
    """Return when each layer begins each position, and whether it is on the longest path, (positions, layers' exchanges) each."""
    began, ends, on_path = np.zeros(layer_s.shape), np.zeros(layer_s.shape), np.zeros(layer_s.shape, bool)
    positions = np.arange(len(layer_s))
    done: list[int] = []
    while len(done) < len(before):
        n = next(n for n in range(len(before)) if n not in done and set(before[n]) <= set(done))
        if before[n]:
            began[:, n] = ends[:, before[n]].max(axis=1)
        ends[:, n] = began[:, n] + layer_s[:, n]
        done.append(n)
    last = np.argmax(ends, axis=1)
    on_path[positions, last] = True
    for n in reversed(done):
        if before[n]:  # what ended last before it is on the path where it is
            waited_for = np.array(before[n])[np.argmax(ends[:, before[n]], axis=1)]
            on_path[positions[on_path[:, n]], waited_for[on_path[:, n]]] = True
    if on_path.all():  # in line: rounded as one sum over the run
        ends_s = np.cumsum(layer_s[:, done].ravel())
        began[:, done] = np.concatenate([np.zeros(min(1, len(ends_s))), ends_s[:-1]]).reshape(layer_s.shape)
        return began, on_path
    lasts = ends.max(axis=1)
    return began + np.concatenate([[0.0], np.cumsum(lasts)[:-1]])[: len(lasts), None], on_path


def _pipelined(part: Part, pe_s: F64, runs: Array, wait_s: F64, after_s: F64) -> tuple[F64, float, F64]:
    """Return when each layer begins each position, (positions, layers' exchanges), since the part's own ticks begin, how long
    those last: from its first position's entry to that of the part behind, or to the run's end; and how long it is from each
    position's entry until the next one may enter, (positions,).

    Each tick lasts as long as its slowest PE, with what that waits for. `pe_s` (positions, layers' exchanges, PEs) is how long
    PEs compute; `runs` (layers' exchanges, PEs) whether a PE takes part; `wait_s` comes before, and `after_s` lasts until messages
    have arrived on all chips, (positions, layers' exchanges) each.
    """
    exchanges, (positions, layers, pes) = part.ledger.exchanges, pe_s.shape
    busy, before, after = (np.zeros((exchanges.count_ticks(positions), pes)) for _ in range(3))
    for n in range(layers):
        ticks = exchanges.ticks_of(int(exchanges.layers[n]), positions)
        busy[ticks] += pe_s[:, n]
        before[ticks] = np.maximum(before[ticks], wait_s[:, n, None] * runs[n])
        after[ticks] = np.maximum(after[ticks], after_s[:, n, None] * runs[n])
    tick_s = (before + busy + after).max(axis=1)
    first, last = exchanges.interval * part.own.start, exchanges.interval * part.own.stop if part.behind else None
    began_s = np.zeros(len(tick_s))
    began_s[first + 1 :] = np.cumsum(tick_s[first:])[:-1]
    entered_s = tick_s[: positions * exchanges.interval].reshape(positions, -1).sum(axis=1)
    return exchanges.of_positions(began_s, positions), float(tick_s[first:last].sum()), entered_s
