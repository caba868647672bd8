"""`python -m bench.tick`: the paper's model on 150 PE processes beside its two floors, in one run.

Prints medians over several runs, because machines are shared; the ratios are what to quote.
"""

from __future__ import annotations

import argparse
import os
import statistics

from bench.floors import kernels_s, pipe_s, sections_of, zmq_s
from host.cluster import Cluster
from host.job import SHIPPED
from host.options import LmOptions
from host.place import place
from models.checkpoint import load
from noc.chip import load_chip
from noc.packet import Bundle
from noc.wire import encode


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pes", type=int, default=150)
    parser.add_argument("--format", default="csr")
    flags = parser.parse_args()

    cores = len(os.sched_getaffinity(0))
    # The floors come first: they fork, and must do so before anything here holds a ZeroMQ context.
    placement = place(load(SHIPPED).network, load_chip(), "uniform", flags.format, flags.pes)
    sections = sections_of(placement, 40)
    hears = placement.exchange.waits
    bundle_bytes = [len(encode(Bundle(1, tuple(sections[1][n] for n in hears[p.name])))) for p in placement.pes]
    batch_bytes = 60 + 8 * sum(len(sections[1][n].keys) // 4 for n in placement.network.layers) // flags.pes
    kernels_s(placement, sections[:5])  # compiles, or loads what was compiled
    kernel = kernels_s(placement, sections)
    pipe = pipe_s(flags.pes, 200)
    echo = zmq_s(flags.pes, 200, sum(bundle_bytes) // len(bundle_bytes), batch_bytes)
    system_floor, zmq_floor = kernel / cores + pipe, kernel / cores + echo

    options = LmOptions(tokens=flags.tokens, pes=flags.pes, format=flags.format)
    runs = []
    for _ in range(flags.runs):
        report = Cluster(options, lambda _: None, lambda _: None).run().report
        assert report is not None
        assert report["lm"]["tokens"] == flags.tokens
        assert report["conservation"]["wrong"] == []
        runs.append(report)
    assert len({report["events"]["sha256"] for report in runs}) == 1

    def median(key: str) -> float:
        return statistics.median(report["emulation"][key] for report in runs)

    token = median("ms_per_token") / 1e3
    print(f"{flags.pes} PE processes, {flags.format}, {flags.tokens} tokens, {flags.runs} runs, {cores} cores; medians")
    print(f"  ready in                {median('start_s'):8.2f} s")
    print(f"  unshared memory a PE    {median('pe_uss_bytes') / 1e6:8.2f} MB")
    print(f"  a token                 {1e3 * token:8.2f} ms")
    print(f"  kernels, one process    {1e3 * kernel:8.2f} ms a position, {1e3 * kernel / cores:.2f} ms over {cores} cores")
    print(f"  pipe wake-ups           {1e3 * pipe:8.2f} ms a tick")
    print(f"  DEALER/ROUTER echo      {1e3 * echo:8.2f} ms a tick ({bundle_bytes[0]} B out, {batch_bytes} B back)")
    print(f"  system floor            {1e3 * system_floor:8.2f} ms; a token takes {token / system_floor:.2f} times that")
    print(f"  ZeroMQ floor            {1e3 * zmq_floor:8.2f} ms; a token takes {token / zmq_floor:.2f} times that")
    print(f"  the chip (170.25 ms a sequence of 70) is {token / (0.17025 / 70):.1f} times faster than this emulation")


if __name__ == "__main__":
    main()
