"""How far the fast model of the network on chip (`host/cost/price.py`) is from a flit-level simulation of the same mesh.

`python -m bench.noc [RUN]`: replays the messages of one position, layer by layer and all layers side by side, of a
recorded run or of the paper's model with 20 % activity, in every message mode; all at once, and paced as a core writes
them or a DMA engine sends them. Simulated cycles are exact; the fast model's are what a price takes for transit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from host.cost.cost_table import apply_settings, load_table
from host.cost.ledger import Ledger
from host.cost.ledger_file import load_ledger
from host.cost.price import price_positions as price
from noc.chip import load_chip
from tests.tools.flit_simulation import message_sends, simulate
from tests.tools.ledgers import cut, destinations, paper_lm

CASES = (
    ("dma, whole slices", ["messages=dma", "payload=vector"]),
    ("dma, events", ["messages=dma", "payload=events"]),
    ("qpe, whole slices", ["messages=qpe", "payload=vector"]),
    ("qpe, events", ["messages=qpe", "payload=events"]),
    ("multicast", ["messages=multicast"]),
)


def rows(
    ledger: Ledger, activity: str, cases: Sequence[tuple[str, list[str]]] = CASES
) -> list[tuple[str, str, int, int, int, int]]:
    """Return (case, layers, fast burst, simulated burst, fast paced, simulated paced) in NoC cycles, for one position."""
    chip, found = load_chip(), []
    layers = len(ledger.layers)
    for name, sets in cases:
        table = apply_settings(load_table(), sets)[0]
        for schedule in ("sequential", "pipelined"):
            priced = price(ledger, chip, apply_settings(table, [f"schedule={schedule}"])[0])
            groups = [[n] for n in range(layers)] if schedule == "sequential" else [list(range(layers))]
            for group in groups:
                mode = table.settings["messages"]
                messages = [m for n in group for m in _messages(ledger, priced.traffic.flits[-1], n + 1)]
                # The middle position of three equal ones: in its tick every layer sends.
                fast = max(priced.transit_s[1, n] for n in group) * chip.noc_clock_hz
                mine = np.isin(ledger.shards["population"], [n + 1 for n in group])
                sender = (priced.shard_cycles[1, mine, 3]).max() * chip.noc_clock_hz / chip.pe_clock_hz
                sends = priced.traffic.sends[mine].max() * (priced.traffic.flits[1, mine].max() if mode == "multicast" else 1)
                burst = simulate(message_sends(messages, mode), chip.hop_cycles).cycles
                paced = simulate(_paced(messages, mode, sender / sends), chip.hop_cycles).cycles
                label = f"layer {group[0] + 1}" if len(group) == 1 else "all layers"
                found.append((f"{name}, {activity}", label, round(fast), burst, round(fast + sender), paced))
    return found


def _paced(messages: list, mode: str, every: float) -> list:
    if mode != "multicast":
        return message_sends(messages, mode, max(1, round(every)))
    # One packet after another, each for all destinations.
    return [(max(1, round(every)) * (k + 1), s, to) for s, to, count in messages for k in range(count)]


def _messages(ledger: Ledger, flits: np.ndarray, layer: int) -> list:
    shards = np.flatnonzero(ledger.shards["population"] == layer)
    return [(ledger.pes[ledger.shards["pe"][s]], destinations(ledger, s), int(flits[s])) for s in shards]


def main() -> None:
    """Print the table."""
    print(f"{'case':<32}{'':<12}{'all at once: model':>19}{'simulated':>11}{'':>8}{'paced: model':>14}{'simulated':>11}")
    if len(sys.argv) > 1:
        recorded = load_ledger(Path(sys.argv[1]))
        chosen = [(cut(recorded, [recorded.positions // 2] * 3), "recorded", CASES)]
    else:  # whole slices are as many flits at any activity
        light, usual, heavy = (cut(paper_lm(1, share), [0, 0, 0]) for share in (0.02, 0.2, 1.0))
        chosen = [(light, "2 %", [CASES[1], CASES[3], CASES[4]]), (usual, "20 %", CASES), (heavy, "100 %", CASES[4:])]
    for ledger, activity, cases in chosen:
        for case, layers, *cells in rows(ledger, activity, cases):
            errors = [f"{100 * (cells[i] / cells[i + 1] - 1):+.0f} %" for i in (0, 2)]
            once = f"{cells[0]:>19}{cells[1]:>11}{errors[0]:>8}"
            print(f"{case:<32}{layers:<12}{once}{cells[2]:>14}{cells[3]:>11}{errors[1]:>8}", flush=True)


if __name__ == "__main__":
    main()
