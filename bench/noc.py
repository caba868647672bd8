"""How far the price of what is under way on the network on chip is from a flit-level simulation of the same mesh.

    python -m bench.noc             the table: each mode, load, route table and depth of FIFOs, on networks and transfers that
                                    no constant was set from; `--each` has a line a case
    python -m bench.noc setting     how the errors on other networks depend on the two constants that were set from them
    python -m bench.noc RUN         the same table for the middle position of a recorded run

Simulated cycles are exact. Times are from the first send to the last arrival, sent as a core or a DMA engine does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from host.cost.ledger_file import load_ledger
from tests.tools.ledgers import cut
from tests.tools.noc_cases import (
    JUDGED,
    LOADS,
    SETTING,
    Case,
    chips_cases,
    event_cases,
    mesh_of,
    pipeline_cases,
    predicted,
    simulated,
    transfer_cases,
)

DEPTHS = (0, 16, 8)
TABLES = (True, False)


def judged_cases() -> Iterable[Case]:
    """Yield all cases that the price is judged by."""
    yield from event_cases(JUDGED)
    yield from pipeline_cases(JUDGED[0], LOADS[1::2])
    yield from chips_cases(JUDGED[0])
    yield from transfer_cases()


def recorded_cases(run: Path) -> Iterable[Case]:
    """Yield the layers of a recorded run's middle position under each of the loads."""
    ledger = load_ledger(run)
    ledger = cut(ledger, [ledger.positions // 2])
    for traffic, load, sets, _ in LOADS:
        for layer in range(1, len(ledger.layers) + 1):
            yield Case(traffic, load, f"layer {layer}", ledger, sets, (layer,))


def table(cases: Iterable[Case], each: bool) -> None:
    """Print the errors of cases by traffic, load and route table, least and most, as Markdown."""
    errors: dict[tuple[str, str, bool], list[list[float]]] = {}
    for case in cases:
        for nearest in TABLES:
            mesh, sends = mesh_of(case, nearest)
            cycles = [mesh.run(sends, depth).cycles for depth in DEPTHS]
            model = predicted(case, nearest)
            row = [100 * (model / one - 1) for one in cycles]
            errors.setdefault((case.traffic, case.load, nearest), []).append(row)
            if each:
                numbers = " | ".join(f"{one} | {error:+.0f} %" for one, error in zip(cycles, row, strict=True))
                print(f"| {case.traffic} | {case.load} | {case.where} | {_name(nearest)} | {model:.0f} | {numbers} |", flush=True)
    print("\n| traffic | load | routes | cases | unlimited | 16 flits | 8 flits |\n|---|---|---|---:|---|---|---|")
    for (traffic, load, nearest), rows in errors.items():
        spans = [f"{min(column):+.0f} to {max(column):+.0f} %" for column in zip(*rows, strict=True)]
        print(f"| {traffic} | {load} | {_name(nearest)} | {len(rows)} | {' | '.join(spans)} |")


def setting() -> None:
    """Print the largest error on the networks that constants were set from, for each pair of the two constants."""
    known = [(case, nearest, simulated(case, nearest).cycles) for case in event_cases(SETTING) for nearest in TABLES]
    print("| q | blocking | least | most |\n|---|---|---|---|")
    for q, blocking in product((0, 0.05, 0.075, 0.1, 0.125, 0.15), (0, 0.08, 0.16)):
        sets = (f"transit_exposed_share={q}", f"noc_blocking_share={blocking}")
        errors = [100 * (predicted(case, nearest, *sets) / cycles - 1) for case, nearest, cycles in known]
        print(f"| {q} | {blocking} | {min(errors):+.1f} % | {max(errors):+.1f} % |", flush=True)


def _name(nearest: bool) -> str:
    return "nearest" if nearest else "balanced"


def main() -> None:
    """Print what is asked for."""
    words = [word for word in sys.argv[1:] if word != "--each"]
    if words == ["setting"]:
        setting()
    else:
        table(recorded_cases(Path(words[0])) if words else judged_cases(), "--each" in sys.argv)


if __name__ == "__main__":
    main()
