"""What the network between computers of a cluster must carry of a run, by its ledger: bytes a token between each pair.

Every stream goes along its source chip's tree (`noc/machine.py`). It crosses a link once a position, with its events to whoever
hears them and to the host, which taps every layer; towards the host it brings the ledger of each PE along. To chips that only
wait for its header (layers that hear nothing at once, and whoever exchanges transfers) it goes without events. Transfers cross
links with their head. Counted are bytes of messages as routers hand them over, before encryption; loading, counters, bubbles
and what TCP adds are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import chip_streams
from host.cost.formats import KEY_BYTES
from host.cost.ledger import Ledger, RunLedger
from models.network import I64
from models.numerics import payload_bytes
from noc.machine import Machine
from noc.packet import HOST
from noc.resumable_line import HEAD_BYTES

_WORD_BYTES = 4  # of a count
_STREAM_BYTES = 20  # head and section of a stream in a relay: numbers and lengths, as msgpack packs them
_RELAY_BYTES = 8 + HEAD_BYTES
_TRANSFER_BYTES = 36  # head of a transfer: two names of eleven characters, and numbers
_LISTED = 12  # pairs of computers in the text


@dataclass(frozen=True)
class MachineTraffic:
    """Bytes between computers. `by_pair`: "from>to" -> mean bytes a position of all lanes, computers by number; `busiest_position`:
    the most that any pair carries at one position. `lanes` sequences have a token at each position.
    """

    machines: int
    by_pair: dict[str, float]
    busiest_position: int
    lanes: int

    @property
    def token_bytes(self) -> float:
        """Bytes a token between all machines and the host."""
        return sum(self.by_pair.values()) / self.lanes


def machine_traffic(run: RunLedger, machine: Machine, blocks: Sequence[Sequence[int]]) -> MachineTraffic:
    """Return what computers with these `blocks` of live chips, and the host on one more, send each other of a run."""
    sums, most = Counter[str](), Counter[str]()
    for part in run.parts():
        for pair, amount in _loads(part.ledger, machine, blocks).items():
            sums[pair] += int(amount.sum())
            most[pair] = max(most[pair], int(amount.max(initial=0)))
    means = {pair: total / run.positions if run.positions else 0.0 for pair, total in sorted(sums.items())}
    return MachineTraffic(
        machines=len(blocks), by_pair=means, busiest_position=max(most.values(), default=0), lanes=run.lanes
    )  # fmt: skip


def _loads(ledger: Ledger, machine: Machine, blocks: Sequence[Sequence[int]]) -> dict[str, I64]:
    """Return by pair of computers what one sends the other at each position, (positions,) bytes."""
    at = {chip: str(number) for number, block in enumerate(blocks) for chip in block}
    between, positions, host = chip_streams(ledger, machine), ledger.positions, at[machine.host_chip]
    sent = _sent_bytes(ledger, machine)
    loads: dict[str, I64] = defaultdict(lambda: np.zeros(positions, np.int64))
    headers = _header_chips(ledger)
    relays: set[tuple[int, int]] = set()
    for exchange, (number, tapped) in enumerate(
        zip(ledger.exchanges.population.tolist(), ledger.exchanges.of_layers.tolist(), strict=True)
    ):
        of_it = ledger.shards["pe"][ledger.shards["population"] == number]
        row_bytes = _WORD_BYTES * ledger.populations[number].words
        ledger_bytes = row_bytes * np.bincount(ledger.chip_of[of_it], minlength=ledger.chips)
        for source in np.flatnonzero(between.sources[exchange]).tolist():
            carried = sent[:, exchange, source] + _STREAM_BYTES
            to_host = {link[:3:2] for link in machine.route(source, machine.host_chip)} if tapped else set()
            goals = np.flatnonzero(between.listening[exchange]).tolist() + ([machine.host_chip] if tapped else [])
            with_events = {(link.chip, link.to) for link in machine.multicast(source, goals)}
            waiting = headers if number == ledger.inputs[0] else []
            for link in machine.multicast(source, sorted({*goals, *waiting})):
                if at[link.chip] != at[link.to]:
                    rows = int(ledger_bytes[source]) if (link.chip, link.to) in to_host else 0
                    events_too = (link.chip, link.to) in with_events
                    loads[f"{at[link.chip]}>{at[link.to]}"] += carried + rows if events_too else np.int64(_STREAM_BYTES)
                    relays.add((link.chip, link.to))
            if tapped:
                loads[f"{host}>{HOST}"] += carried + int(ledger_bytes[source])
            else:
                loads[f"{HOST}>{host}"] += carried
    for source, to, amount in _transfers(ledger, machine):
        for link in machine.route(source, to):
            if at[link.chip] != at[link.to]:
                loads[f"{at[link.chip]}>{at[link.to]}"] += amount
                relays.add((link.chip, link.to))
    for chip, to in relays:
        loads[f"{at[chip]}>{at[to]}"] += _RELAY_BYTES
    return loads


def _header_chips(ledger: Ledger) -> list[int]:
    """Return the chips on which somebody waits for the first input's header, whether or not they hear its events."""
    prompt = np.zeros(len(ledger.shards["pe"]), bool)
    prompt[ledger.ports["shard"][ledger.ports["delay"] == 0]] = True
    prompt[ledger.peers["shard"]] = False
    waiting = set(ledger.chip_of[ledger.shards["pe"][~prompt]].tolist())
    stores = ledger.peers["chip"][ledger.peers["pe"] < 0]
    waiting |= set(stores[stores >= 0].tolist())
    return np.flatnonzero(np.isin(ledger.representative_of, sorted(waiting))).tolist()


def _transfers(ledger: Ledger, machine: Machine) -> Iterator[tuple[int, int, I64]]:
    """Yield from which chip to which other what bytes of transfers go, (positions,), answers of DRAMs among them."""
    counts = ledger.transfers.astype(np.int64)
    for row, (shard, to) in enumerate(zip(ledger.peers["shard"].tolist(), ledger.peers["chip"].tolist(), strict=True)):
        source, target = int(ledger.chip_of[ledger.shards["pe"][shard]]), machine.host_chip if to < 0 else to
        messages, size, reads, read_bytes = counts[:, row].T
        if source != target:
            yield source, target, (messages + reads) * _TRANSFER_BYTES + size
            yield target, source, reads * _TRANSFER_BYTES + read_bytes


def _sent_bytes(ledger: Ledger, machine: Machine) -> I64:
    """Return bytes of events, keys and values, that each chip's senders emit, (positions, exchanges, chips)."""
    exchanges, turns = ledger.exchanges, ledger.turns
    each = np.array([payload_bytes(one.payload) + (0 if one.dense else KEY_BYTES) for one in ledger.populations], np.int64)
    sent = np.zeros((ledger.positions, len(exchanges), ledger.chips), np.int64)
    of_turn = ledger.events.astype(np.int64) * each[ledger.shards["population"][turns.shard]]
    np.add.at(np.moveaxis(sent, 0, 2), (turns.exchange, ledger.chip_of[ledger.shards["pe"][turns.shard]]), of_turn.T)
    stands = ledger.representative_of
    sent = sent[:, :, stands] * (stands >= 0)
    for place, (number, exchange) in enumerate(zip(ledger.inputs, exchanges.inputs.tolist(), strict=True)):
        sent[:, exchange, machine.host_chip] = ledger.input_events[:, place].astype(np.int64) * each[number]
    return np.asarray(sent, np.int64)


def format_machine_traffic(traffic: MachineTraffic) -> str:
    """Format the traffic between computers as text."""
    pairs = sorted(traffic.by_pair.items(), key=lambda item: -item[1])
    lines = [f"machines     {traffic.machines}, and the host on one more: {traffic.token_bytes:,.0f} B a token between them"]
    lines += [f"  {pair:<10} {per / traffic.lanes:>12,.0f} B a token" for pair, per in pairs[:_LISTED]]
    if pairs[_LISTED:]:
        lines.append(f"  and {len(pairs) - _LISTED} pairs with less")
    lines.append(f"  at most {traffic.busiest_position:,} B between two machines at one position of all {traffic.lanes} sequences")
    return "\n".join(lines)
