"""How far the price of what is under way on the network on chip is from a flit-level simulation of the same mesh.

    python -m bench.noc             the table: each mode, load, route table and depth of FIFOs, on networks and transfers that
                                    no constant was set from; `--each` has a line a case
    python -m bench.noc setting     how the errors on other networks depend on the constants that were set from them
    python -m bench.noc RUN         the same table for the middle position of a recorded run

Simulated cycles are exact. Times are from the first send until all has arrived and all senders are done; a core or a DMA engine
sends one message after another.
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
    SETTING_TILES,
    Case,
    band,
    chips_cases,
    event_cases,
    input_cases,
    pipeline_cases,
    predicted,
    traffic_of,
    transfer_cases,
)

DEPTHS = (0, 16, 8)
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
    FIFOs; and how many times lie in the band of what FIFOs cost and of the closed form's own error.
    """
    errors: dict[tuple[str, str, bool], list[list[float]]] = {}
    places: dict[bool, list[int]] = {False: [], True: []}  # of times with finite FIFOs, or not: 0 below the band, 1 in it, 2 above
    for case in cases:
        for nearest in TABLES:
            traffic = traffic_of(case, nearest)
            cycles = [traffic.cycles(depth) for depth in DEPTHS]
            models = [predicted(case, nearest, fifo_flits=depth) for depth in DEPTHS]
            row = [100 * (model / one - 1) for model, one in zip(models, cycles, strict=True)]
            low, high = band(case, nearest)
            for depth, one in zip(DEPTHS, cycles, strict=True):
                places[depth > 0].append(int(one >= low - 0.5) + int(one > high + 0.5))  # half a cycle: cycles are whole
            errors.setdefault((case.traffic, case.load, nearest), []).append(row)
            if each:
                numbers = [f"{model:.0f} | {one} | {error:+.0f} %" for model, one, error in zip(models, cycles, row, strict=True)]
                print(f"| {case.traffic} | {case.load} | {case.where} | {_name(nearest)} | {' | '.join(numbers)} |", flush=True)
    print("\n| traffic | load | routes | cases | unlimited | 16 flits | 8 flits |\n|---|---|---|---:|---|---|---|")
    for (traffic, load, nearest), rows in errors.items():
        spans = [f"{min(column):+.0f} to {max(column):+.0f} %" for column in zip(*rows, strict=True)]
        print(f"| {traffic} | {load} | {_name(nearest)} | {len(rows)} | {' | '.join(spans)} |")
    for finite, of_times in places.items():
        below, inside, above = (of_times.count(place) for place in range(3))
        kind = "16 and 8 flits" if finite else "no limit"
        print(f"\n{len(of_times)} simulated times, FIFOs of {kind}: {inside} in the band, {below} below it, {above} above")


def setting() -> None:
    """Print the errors on the networks that constants were set from, for values of each of two; and what simulated times are of
    those of the closed form, the ends of the third.
    """
    known = _simulated(event_cases(SETTING))
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
    print("\n| simulated, of the closed form's time | least | most | with FIFOs: least | most |\n|---|---|---|---|---|")
    for name, of_set in (("events", known), ("tiles and DRAM", _simulated(transfer_cases(SETTING_TILES)))):
        ends = [band(case, nearest, ("noc_blocking_flits",)) for case, nearest, _ in of_set]
        cycles = [row for *_, row in of_set]
        unlimited = [one[0] / low for one, (low, _) in zip(cycles, ends, strict=True)]
        least = min(min(one[1:]) / low for one, (low, _) in zip(cycles, ends, strict=True))
        most = max(max(one[1:]) / high for one, (_, high) in zip(cycles, ends, strict=True))
        print(f"| {name} | {min(unlimited):.3f} | {max(unlimited):.3f} | {least:.3f} | {most:.3f} |")


def _simulated(cases: Iterable[Case]) -> list[tuple[Case, bool, list[int]]]:
    """Return cases by each route table, with their simulated cycles by depth of FIFOs."""
    traffic = [(case, nearest, traffic_of(case, nearest)) for case in cases for nearest in TABLES]
    return [(case, nearest, [one.cycles(depth) for depth in DEPTHS]) for case, nearest, one in traffic]


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
