"""`python -m bench.chips`: the paper's model on 1, 2, 4 and 8 chips of 150 PE processes each, in one run.

Prints how long all PEs take to be ready, what a tick costs for each PE, and memory; the ratios to one chip are what to quote.
Runs of different sizes alternate, so that a machine that slows down slows them all.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from typing import Any

from bench.targets import Figures, verdicts
from bench.tick import emulation_of
from host.workloads.lm.options import Options as LmOptions

PES_PER_CHIP = 150


def measure(tokens: int = 100, runs: int = 3, chips: Sequence[int] = (1, 2, 4, 8)) -> Figures:
    """Measure, print, and return the figures that have a target, where 1 and 8 chips are among `chips`."""
    done: dict[int, list[dict[str, Any]]] = {number: [] for number in chips}
    for _ in range(runs):
        for number, emulations in done.items():
            emulation = emulation_of(LmOptions(tokens=tokens, chips=number, pes=PES_PER_CHIP * number))
            assert emulation["processes"] == PES_PER_CHIP * number + number + 1
            emulations.append(emulation)
    assert len({emulation["sha256"] for emulations in done.values() for emulation in emulations}) == 1

    def median(number: int, key: str) -> float:
        return statistics.median(emulation[key] for emulation in done[number])

    print(f"the paper's model, {tokens} tokens, {runs} runs of each; medians; the same events at every size")
    print("chips    PEs  ready s  ms a token  us a PE and tick  of the first  MB unshared a PE")
    each_us = {number: 1e3 * median(number, "ms_per_token") / (PES_PER_CHIP * number) for number in done}
    first_us = next(iter(each_us.values()))
    for number, one_us in each_us.items():
        ready, memory = median(number, "start_s"), median(number, "pe_uss_bytes") / 1e6
        row = f"{number:5} {PES_PER_CHIP * number:6} {ready:8.2f} {median(number, 'ms_per_token'):11.2f}"
        print(f"{row} {one_us:17.1f} {one_us / first_us:13.2f} {memory:17.2f}")
    figures = {}
    if 8 in done:
        figures["ready_8"] = median(8, "start_s")
        if 1 in done:
            figures["growth"] = each_us[8] / each_us[1]
    print(verdicts(figures), flush=True)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.chips", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chips", type=int, nargs="+", default=[1, 2, 4, 8])
    flags = parser.parse_args()
    measure(flags.tokens, flags.runs, flags.chips)


if __name__ == "__main__":
    main()
