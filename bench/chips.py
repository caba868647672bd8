"""`python -m bench.chips`: the paper's model on 1, 2, 4 and 8 chips of 150 PE processes each, in one run.

Prints how long all PEs take to be ready, what a tick costs for each PE, and memory; the ratios to one chip are what to quote.
Runs of different sizes alternate, so that a machine that slows down slows them all.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from host.cluster import Cluster
from host.options import LmOptions

PES_PER_CHIP = 150


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chips", type=int, nargs="+", default=[1, 2, 4, 8])
    flags = parser.parse_args()

    reports: dict[int, list[dict[str, Any]]] = {chips: [] for chips in flags.chips}
    for _ in range(flags.runs):
        for chips, done in reports.items():
            options = LmOptions(tokens=flags.tokens, chips=chips, pes=PES_PER_CHIP * chips)
            outcome = Cluster(options, lambda _: None, lambda _: None).run()
            assert outcome.report is not None, outcome.problem
            assert outcome.report["lm"]["tokens"] == flags.tokens
            assert outcome.report["conservation"]["wrong"] == []
            assert outcome.report["emulation"]["processes"] == PES_PER_CHIP * chips + chips + 1
            done.append(outcome.report)
    assert len({report["events"]["sha256"] for done in reports.values() for report in done}) == 1

    def median(done: list[dict[str, Any]], key: str) -> float:
        return statistics.median(report["emulation"][key] for report in done)

    print(f"the paper's model, {flags.tokens} tokens, {flags.runs} runs of each; medians; the same events at every size")
    print("chips    PEs  ready s  ms a token  us a PE and tick  of the first  MB unshared a PE")
    first = None
    for chips, done in reports.items():
        pes, token_ms = PES_PER_CHIP * chips, median(done, "ms_per_token")
        each_us = 1e3 * token_ms / pes
        first = first or each_us
        ready, memory = median(done, "start_s"), median(done, "pe_uss_bytes") / 1e6
        print(f"{chips:5} {pes:6} {ready:8.2f} {token_ms:11.2f} {each_us:17.1f} {each_us / first:13.2f} {memory:17.2f}")


if __name__ == "__main__":
    main()
