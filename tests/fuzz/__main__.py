"""Mutated messages over all decoders, routers and PEs: no death, no hang, no memory that grows.

    python -m tests.fuzz [TARGET ...] --cases 10000 --seed 1          # of each target, at random
    python -m tests.fuzz TARGET --guided --seconds 60                 # led by coverage, with atheris

Each target runs in a process of its own, so that a death is seen. What a target took last lies in a file meanwhile, and what it
fell over is kept in tests/fuzz/seeds/TARGET/, where the test suite runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import random
import resource
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz import mutation
from tests.fuzz.targets import TARGETS, kept_seeds

SEEDS = Path(__file__).parent / "seeds"
MOST_KEPT = 5  # of what one target falls over, with one kind of error
_SLOT_BYTES = 1 << 17


def fuzz(name: str, cases: int, seed: int, seconds: float, slot: mmap.mmap | None = None) -> tuple[int, dict[str, int], float]:
    """Run mutated cases of a target; return how many, violations by kind, and the seconds of the slowest."""
    target, rng = TARGETS[name](), random.Random(f"{name} {seed}")
    seeds = [*target.seeds, *kept_seeds(name)]
    violations: dict[str, int] = {}
    slowest, began, done = 0.0, time.monotonic(), 0
    for case in range(cases):
        raw = mutation.mutated(rng.choice(seeds), rng, seeds, tree=target.tree)
        if slot is not None:
            slot[: 8 + len(raw)] = len(raw).to_bytes(8, "little") + raw
        at = time.monotonic()
        try:
            target.run(raw)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            violations[kind] = violations.get(kind, 0) + 1
            if violations[kind] <= MOST_KEPT:
                keep(name, raw)
                print(f"{name}: case {case}: {kind}: {str(error)[:200]!r}", flush=True)
        now = time.monotonic()
        slowest, done = max(slowest, now - at), case + 1
        if now - began > seconds:
            break
    return done, violations, slowest


def keep(name: str, raw: bytes) -> None:
    """Store what a target fell over."""
    folder = SEEDS / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{hashlib.sha256(raw).hexdigest()[:16]}.bin").write_bytes(raw)


def _one(name: str, cases: int, seed: int, seconds: float) -> bool:
    """Run a target in a process of its own; print a line; tell whether all was well."""
    slot = mmap.mmap(-1, _SLOT_BYTES)
    began = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            done, violations, slowest = fuzz(name, cases, seed, seconds, slot)
            os.write(writer, f"{done} {sum(violations.values())} {slowest:.2f}".encode())
            code = bool(violations)
        finally:
            os._exit(code)
    os.close(writer)
    _, status, usage = os.wait4(pid, 0)
    said = os.read(reader, 100).decode().split()
    os.close(reader)
    rss_mb = usage.ru_maxrss / 1e3
    code = os.waitstatus_to_exitcode(status)
    if not said:
        size = int.from_bytes(slot[:8], "little")
        keep(name, bytes(slot[8 : 8 + size]))
        print(f"{name}: DIED ({code}); what it took last is kept", flush=True)
        return False
    done, bad, slowest_s = int(said[0]), int(said[1]), float(said[2])
    line = f"{name}: {done:,} cases, {bad} violations, seed {seed}, {time.monotonic() - began:.0f} s, slowest {slowest_s:.2f} s"
    print(f"{line}, peak {rss_mb:.0f} MB", flush=True)
    return not code


def main() -> int:
    """Parse the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; default: all")
    parser.add_argument("--cases", type=int, default=10_000, help="of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9, help="of each target, at most")
    parser.add_argument("--guided", action="store_true", help="led by coverage: atheris where it is installed, else hypothesis")
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; has {', '.join(TARGETS)}")
    if arguments.guided:
        command, seconds = [sys.executable, "-m", "tests.fuzz.guided"], str(min(arguments.seconds, 1e6))
        return max(subprocess.run([*command, name, seconds], check=False).returncode for name in names)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    good = [_one(name, arguments.cases, arguments.seed, arguments.seconds) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
