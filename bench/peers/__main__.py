"""`python -m bench.peers`: the emulator's own exchange beside that of other engines, in one run.

Each engine runs in processes of its own, one after another, under a time limit; where one is not installed or fails, the table
says why, and the others go on. `docs/peers.md` has the method.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time

import numpy as np

from bench.peers.engines import NotInstalledError, named, names
from bench.peers.exchange import FEWEST, LAPS, MOST
from bench.peers.trial import WARM_UP, Figures, TrialError, run, sized
from host.processes.fork_environment import reserve_descriptors

_OURS = "gennaker"
_WIDTH = 12
_SWEEP = [8, 32, 75]


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs 1 or more; has {text}")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",") if part]


def _engines(text: str) -> list[str]:
    chosen = text.split(",")
    for name in chosen:
        if name not in names():
            raise argparse.ArgumentTypeError(f"no engine {name!r}; there are {', '.join(names())}")
    return chosen


def _ratio(figure: float, reference: float | None) -> str:
    return "" if not reference else f"{figure / reference:.1f}"


def _table(figures: dict[str, Figures], versions: dict[str, str]) -> None:
    ours = figures.get(_OURS)
    head = ("ticks", "ms a tick", "us/proc,tick", "ready s", "MB unshared", "x tick", "x ready", "x memory")
    print(f"{'':<{_WIDTH}}" + "".join(f"{title:>13}" for title in head))
    for name, one in sorted(figures.items(), key=lambda item: item[1].tick_s):
        cells = (
            f"{one.size.ticks}",
            f"{1e3 * one.tick_s:.2f}",
            f"{1e6 * one.tick_s / one.size.processes:.1f}",
            f"{one.ready_s:.2f}",
            f"{one.uss_bytes / 1e6:.1f}",
            _ratio(one.tick_s, ours and ours.tick_s),
            _ratio(one.ready_s, ours and ours.ready_s),
            _ratio(one.uss_bytes, ours and ours.uss_bytes),
        )
        print(f"{named(name).NAME:<{_WIDTH}}" + "".join(f"{cell:>13}" for cell in cells) + f"   {versions[name]}")


def _sweep(figures: dict[str, dict[int, Figures]], counts: list[int]) -> None:
    figures = {name: by_count for name, by_count in figures.items() if by_count}
    print(f"\n{'ms a tick at':<{_WIDTH}}" + "".join(f"{count:>13}" for count in counts) + "   us a tick for each process added")
    for name, by_count in sorted(figures.items(), key=lambda item: max(item[1].items())[1].tick_s):
        cells = [f"{1e3 * by_count[count].tick_s:.2f}" if count in by_count else "-" for count in counts]
        slope = ""
        if len(by_count) > 1:
            slope = f"{1e6 * np.polyfit([*by_count], [one.tick_s for one in by_count.values()], 1)[0]:.1f}"
        print(f"{named(name).NAME:<{_WIDTH}}" + "".join(f"{cell:>13}" for cell in cells) + f"   {slope}")


def _say(what: str) -> None:
    """Show what is going on, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def _measure(
    name: str,
    counts: list[int],
    ticks: int,
    limit_s: float,
    versions: dict[str, str],
    failed: dict[str, list[str]],
    figures: dict[str, dict[int, Figures]],
) -> None:
    """Run one engine at each size; put down its version and figures, or why there are none."""
    try:
        versions[name] = named(name).version()
    except NotInstalledError as error:
        failed[name] = [str(error)]
        return
    for count in counts:
        _say(f"{named(name).NAME}, {count} processes ...")
        try:
            figures.setdefault(name, {})[count] = run(name, sized(name, count, ticks), limit_s)
        except TrialError as error:
            failed.setdefault(name, []).append(f"at {count} processes: {error}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--processes", type=_positive, default=150)
    parser.add_argument("--ticks", type=_positive, default=200, help="ticks to time; engines that take long take fewer")
    parser.add_argument("--engines", type=_engines, default=names(), help=f"some of {','.join(names())}")
    parser.add_argument(
        "--sweep", type=_counts, nargs="?", const=_SWEEP, default=[], help="further process counts; without any: 8,32,75"
    )
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one engine at one size")
    flags = parser.parse_args()
    counts = sorted({*flags.sweep, flags.processes})
    if problem := reserve_descriptors(counts[-1]):
        parser.error(problem)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    versions: dict[str, str] = {}
    failed: dict[str, list[str]] = {}
    figures: dict[str, dict[int, Figures]] = {}
    began_s, interrupted = time.monotonic(), False
    try:
        for name in sorted(flags.engines, key=lambda name: name != _OURS):
            _measure(name, counts, flags.ticks, flags.limit, versions, failed, figures)
    except KeyboardInterrupt:
        interrupted = True  # the trial has been ended; what was measured before is worth its line
    _say("")

    print(
        f"{flags.processes} processes: each sends one batch of {FEWEST} to {MOST} events of 8 B a tick and hears those of all\n"
        f"median of {LAPS} laps after {WARM_UP} ticks; x: beside {_OURS}; all took {time.monotonic() - began_s:.0f} s\n"
        f"{len(os.sched_getaffinity(0))} cores, Linux {platform.release()}, Python {platform.python_version()}\n"
    )
    _table({name: by_count[flags.processes] for name, by_count in figures.items() if flags.processes in by_count}, versions)
    if len(counts) > 1:
        _sweep(figures, counts)
    for name, reasons in failed.items():
        print(f"\n{named(name).NAME}: {'; '.join(reasons)}")
    if interrupted:
        print("\ninterrupted", file=sys.stderr)
    return 128 + signal.SIGINT if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
