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
    input_cases,
    mesh_of,
    pipeline_cases,
    predicted,
    transfer_cases,
)

DEPTHS = (0, 16, 8)
BAND = ((0, 0), (12, 8))  # noc_blocking_flits at its ends, and the depth that goes with them
TABLES = (True, False)


def judged_cases() -> Iterable[Case]:
    """Yield all cases that the price is judged by."""
    yield from event_cases(JUDGED)
    yield from pipeline_cases(JUDGED[0], LOADS[1::2])
    yield from chips_cases(JUDGED[0])
    yield from input_cases()
    yield from transfer_cases()


def recorded_cases(run: Path) -> Iterable[Case]:
    """Yield the layers of a recorded run's middle position under each of the loads."""
    ledger = load_ledger(run)
    ledger = cut(ledger, [ledger.positions // 2])
    for traffic, load, sets, _ in LOADS:
        for layer in range(1, len(ledger.layers) + 1):
            yield Case(traffic, load, f"layer {layer}", ledger, sets, (layer,))


def table(cases: Iterable[Case], each: bool) -> None:
    """Print the errors of cases by traffic, load and route table, least and most, as Markdown: of the price for each depth of
    FIFOs; and how many times with finite ones lie in the band of what they cost.
    """
    errors: dict[tuple[str, str, bool], list[list[float]]] = {}
    finite: list[int] = []  # of simulated times with finite FIFOs: 0 below the band, 1 in it, 2 above
    for case in cases:
        for nearest in TABLES:
            mesh, sends = mesh_of(case, nearest)
            cycles = [mesh.run(sends, depth).cycles for depth in DEPTHS]
            models = [predicted(case, nearest, fifo_flits=depth) for depth in DEPTHS]
            row = [100 * (model / one - 1) for model, one in zip(models, cycles, strict=True)]
            low, high = (predicted(case, nearest, f"noc_blocking_flits={end}", fifo_flits=depth) for end, depth in BAND)
            finite += [int(one >= low - 0.5) + int(one > high + 0.5) for one in cycles[1:]]
            errors.setdefault((case.traffic, case.load, nearest), []).append(row)
            if each:
                numbers = [f"{model:.0f} | {one} | {error:+.0f} %" for model, one, error in zip(models, cycles, row, strict=True)]
                print(f"| {case.traffic} | {case.load} | {case.where} | {_name(nearest)} | {' | '.join(numbers)} |", flush=True)
    print("\n| traffic | load | routes | cases | unlimited | 16 flits | 8 flits |\n|---|---|---|---:|---|---|---|")
    for (traffic, load, nearest), rows in errors.items():
        spans = [f"{min(column):+.0f} to {max(column):+.0f} %" for column in zip(*rows, strict=True)]
        print(f"| {traffic} | {load} | {_name(nearest)} | {len(rows)} | {' | '.join(spans)} |")
    below, inside, above = (finite.count(place) for place in range(3))
    print(
        f"\n{len(finite)} simulated times with finite FIFOs: {inside} in the band of their constants, {below} below, {above} above"
    )


def setting() -> None:
    """Print the errors on the networks that constants were set from, for values of each of the two."""
    cases = [(case, nearest, mesh_of(case, nearest)) for case in event_cases(SETTING) for nearest in TABLES]
    known = [(case, nearest, [mesh.run(sends, depth).cycles for depth in DEPTHS]) for case, nearest, (mesh, sends) in cases]
    print("| constant | depth | least | most | mean of all |\n|---|---|---|---|---|")
    for name, values, depths in (
        ("transit_exposed_share", (0, 0.01, 0.02, 0.05, 0.1), (0,)), ("noc_blocking_flits", (0, 1, 2, 3, 4), (1, 2)),
    ):  # fmt: skip
        for value, depth in product(values, depths):
            flits = DEPTHS[depth]
            errors = [
                100 * (predicted(case, nearest, f"{name}={value}", fifo_flits=flits) / cycles[depth] - 1)
                for case, nearest, cycles in known
            ]
            mean = sum(map(abs, errors)) / len(errors)
            row = f"| {name} {value} | {flits or 'no limit'} | {min(errors):+.1f} % | {max(errors):+.1f} % | {mean:.2f} % |"
            print(row, flush=True)


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
