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
from host.forking import too_few_descriptors

_OURS = "gennaker"
_WIDTH = 12


def _counts(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",") if part})


def _engines(text: str) -> list[str]:
    chosen = text.split(",")
    for name in chosen:
        if name not in names():
            raise argparse.ArgumentTypeError(f"no engine {name!r}; there are {', '.join(names())}")
    return chosen


def _ratio(mine: float, ours: float | None) -> str:
    return "" if not ours else f"{mine / ours:.1f}"


def _table(found: dict[str, Figures], versions: dict[str, str]) -> None:
    ours = found.get(_OURS)
    head = ("ticks", "ms a tick", "us/proc,tick", "ready s", "MB unshared", "x tick", "x ready", "x memory")
    print(f"{'':<{_WIDTH}}" + "".join(f"{title:>13}" for title in head))
    for name, one in sorted(found.items(), key=lambda item: item[1].tick_s):
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


def _sweep(found: dict[str, dict[int, Figures]], counts: list[int]) -> None:
    print(f"\n{'ms a tick at':<{_WIDTH}}" + "".join(f"{count:>13}" for count in counts) + "   us a tick for each process added")
    for name, by_count in sorted(found.items(), key=lambda item: max(item[1].items())[1].tick_s):
        cells = [f"{1e3 * by_count[count].tick_s:.2f}" if count in by_count else "-" for count in counts]
        slope = ""
        if len(by_count) > 1:
            slope = f"{1e6 * np.polyfit([*by_count], [one.tick_s for one in by_count.values()], 1)[0]:.1f}"
        print(f"{named(name).NAME:<{_WIDTH}}" + "".join(f"{cell:>13}" for cell in cells) + f"   {slope}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--processes", type=int, default=150)
    parser.add_argument("--ticks", type=int, default=200, help="ticks to time; engines that take long take fewer")
    parser.add_argument("--engines", type=_engines, default=names(), help=f"some of {','.join(names())}")
    parser.add_argument("--sweep", type=_counts, default=[8, 32, 75], help="further process counts, as 8,32,75; '' for none")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one engine at one size")
    flags = parser.parse_args()
    if problem := too_few_descriptors(flags.processes):
        parser.error(problem)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    counts = sorted({*flags.sweep, flags.processes})
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    found: dict[str, dict[int, Figures]] = {}
    began_s = time.monotonic()
    for name in sorted(flags.engines, key=lambda name: name != _OURS):
        try:
            versions[name] = named(name).version()
        except NotInstalledError as error:
            missing[name] = str(error)
            continue
        for count in counts:
            print(f"\r\x1b[K{named(name).NAME}, {count} processes ...", end="", file=sys.stderr, flush=True)
            try:
                found.setdefault(name, {})[count] = run(name, sized(name, count, flags.ticks), flags.limit)
            except TrialError as error:
                missing[name] = f"{missing[name]}; " if name in missing else ""
                missing[name] += f"at {count} processes: {error}"
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    print(
        f"{flags.processes} processes, each sends one batch of {FEWEST} to {MOST} events of 8 B a tick and hears all; median of {LAPS} laps "
        f"after {WARM_UP} ticks;\n{len(os.sched_getaffinity(0))} cores, Linux {platform.release()}, Python {platform.python_version()}; "
        f"all took {time.monotonic() - began_s:.0f} s; x: beside {_OURS}\n"
    )
    _table({name: by_count[flags.processes] for name, by_count in found.items() if flags.processes in by_count}, versions)
    if len(counts) > 1:
        _sweep({name: by_count for name, by_count in found.items() if by_count}, counts)
    for name, why in missing.items():
        print(f"\n{named(name).NAME}: {why}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
