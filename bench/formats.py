"""`python -m bench.formats [FORMAT ...]`: what formats cost in kernels on the paper's model, and how often they begin a column.

The shipped language model on 150 PEs, 40 words. *Alone*: a shard after another, each with its weights in the caches. *In turn*: as
PEs take turns, a position after another. *Pairs*: of an event and a PE that hears it, each of which begins a column somewhere.
"""

from __future__ import annotations

import argparse
import statistics

from bench.in_memory_run import Recorded, record
from bench.kernels import Bound, bind, kernels_s
from host.workloads.lm.options import Options

_WORDS, _RUNS = 40, 5


def pairs_of(recorded: Recorded, shards: list[Bound]) -> float:
    """Return how many pairs of an event and a shard that hears it a position has, in the mean."""
    positions = recorded.positions()
    heard = [port.population for shard in shards for port in shard.ports]
    events = [{number: len(section.keys) // 4 for number, section in sections.items()} for sections in positions]
    return sum(sections.get(number, 0) for sections in events for number in heard) / len(positions)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", default=["csr", "packed"])
    print("format     in turn, ms   alone, ms   pairs of an event and a PE   (a token)")
    for name in parser.parse_args().formats:
        options = Options(pes=150, format=name, tokens=_WORDS, transport="mem")
        options.check()
        recorded = record(options)
        shards, positions = bind(recorded.job.placement), recorded.positions()
        kernels_s(recorded.job.placement, shards, positions[:5])
        in_turn, alone = (
            statistics.median(kernels_s(recorded.job.placement, shards, positions, alone=alone) for _ in range(_RUNS))
            for alone in (False, True)
        )
        print(f"{name:10} {1e3 * in_turn:11.2f} {1e3 * alone:11.2f} {pairs_of(recorded, shards):28,.0f}")


if __name__ == "__main__":
    main()
