"""What the network between computers of a cluster must carry of a run, by its ledger: bytes a token between each pair.

Every stream goes along its source chip's tree (`noc/machine.py`). It crosses a link once a position, with its events to whoever
hears them and to the host, which taps every layer; towards the host it brings the ledger of each PE along. Counted are bytes
of messages as routers hand them over, before encryption; loading, counters and what TCP adds are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import chip_streams
from host.cost.ledger import Ledger
from models.network import I64
from noc.machine import Machine
from noc.packet import HOST
from noc.resumable_line import HEAD_BYTES

_EVENT_BYTES = 8  # key and value
_LEDGER_BYTES = 4 * 7  # of a PE's shard at a position
_STREAM_BYTES = 20  # head and section of a stream in a relay: numbers and lengths, as msgpack packs them
_RELAY_BYTES = 8 + HEAD_BYTES
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


def machine_traffic(ledger: Ledger, machine: Machine, blocks: Sequence[Sequence[int]]) -> MachineTraffic:
    """Return what computers with these `blocks` of live chips, and the host on one more, send each other of the run in `ledger`."""
    at = {chip: str(number) for number, block in enumerate(blocks) for chip in block}
    between, positions, host = chip_streams(ledger, machine), ledger.positions, at[machine.host_chip]
    loads: dict[str, I64] = defaultdict(lambda: np.zeros(positions, np.int64))
    relays: set[tuple[int, int]] = set()
    for layer in range(len(ledger.layers) + 1):
        shards = np.bincount(ledger.chip_of[ledger.table["pe"][ledger.table["layer"] == layer]], minlength=ledger.chips)
        for source in np.flatnonzero(between.sources[layer]).tolist():
            events = between.emitted[:, layer, source]
            carried = _EVENT_BYTES * events + _STREAM_BYTES
            to_host = {link[:3:2] for link in machine.route(source, machine.host_chip)} if layer else set()
            goals = np.flatnonzero(between.wanted[layer]).tolist() + ([machine.host_chip] if layer else [])
            for link in machine.multicast(source, goals):
                if at[link.chip] != at[link.to]:
                    ledgers = _LEDGER_BYTES * int(shards[source]) if (link.chip, link.to) in to_host else 0
                    loads[f"{at[link.chip]}>{at[link.to]}"] += carried + ledgers
                    relays.add((link.chip, link.to))
            if layer:
                loads[f"{host}>{HOST}"] += carried + _LEDGER_BYTES * int(shards[source])
            else:
                loads[f"{HOST}>{host}"] += carried
    for chip, to in relays:
        loads[f"{at[chip]}>{at[to]}"] += _RELAY_BYTES
    busiest = max((int(amount.max(initial=0)) for amount in loads.values()), default=0)
    means = {pair: float(amount.mean()) if positions else 0.0 for pair, amount in sorted(loads.items())}
    return MachineTraffic(machines=len(blocks), by_pair=means, busiest_position=busiest, lanes=ledger.lanes)


def format_machine_traffic(traffic: MachineTraffic) -> str:
    """Format the traffic between computers as text."""
    pairs = sorted(traffic.by_pair.items(), key=lambda item: -item[1])
    lines = [f"machines     {traffic.machines}, and the host on one more: {traffic.token_bytes:,.0f} B a token between them"]
    lines += [f"  {pair:<10} {per / traffic.lanes:>12,.0f} B a token" for pair, per in pairs[:_LISTED]]
    if pairs[_LISTED:]:
        lines.append(f"  and {len(pairs) - _LISTED} pairs with less")
    lines.append(f"  at most {traffic.busiest_position:,} B between two machines at one position of all {traffic.lanes} sequences")
    return "\n".join(lines)
