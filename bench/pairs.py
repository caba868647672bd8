"""`python -m bench.pairs BEFORE AFTER [--pairs N] [FLAGS OF lm]`: two checkouts side by side, in pairs of runs that take turns.

Each pair runs `launch.py lm` once in each checkout, every other time in the other order. Printed are medians and, of the
ratio after / before of each pair, the median with a 95 % interval (bootstrap over pairs): wall time a token, CPU time of the
whole machine over a run (let nothing else run), seconds until all processes are ready, and a PE's own memory. Both must have
the same hash of events. Differences under 10 % are judged by CPU time, never by one wall time.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_RESAMPLES = 2000


def machine_cpu_s() -> float:
    """Return the seconds that all processors of this machine have worked since it started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / 100  # without idle and waiting for disks


def run(checkout: Path, flags: list[str]) -> dict[str, float | str]:
    """Run `lm` in a checkout with this Python; return its figures and its hash. CalledProcessError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out, before_s = Path(folder) / "run", machine_cpu_s()
        command = [sys.executable, "launch.py", "lm", "--no-pictures", "--no-monitor", "--out", str(out), *flags]
        subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
        cpu_s, report = machine_cpu_s() - before_s, json.loads((out / "report.json").read_text())
    emulation = report["emulation"]
    return {
        "ms a token": emulation["ms_per_token"],
        "CPU s a run": cpu_s,
        "ready s": emulation["prepare_s"] + emulation["start_s"],
        "MB a PE": (emulation["pe_uss_bytes"] or 0) / 1e6,  # of one process there is none to measure
        "sha256": report["events"]["sha256"],
    }


def interval(ratios: list[float]) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the ratios' median, by resampling pairs; the same for the same ratios."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    return medians[round(0.025 * _RESAMPLES)], medians[round(0.975 * _RESAMPLES)]


def main() -> None:
    """Run the pairs and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.pairs", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    args, flags = parser.parse_known_args()
    flags = flags or ["--tokens", "700"]
    for checkout in (args.before, args.after):
        run(checkout, flags)  # compiles, and warms the disk's cache
    runs: dict[Path, list[dict[str, float | str]]] = {args.before: [], args.after: []}
    for number in range(args.pairs):
        for checkout in (args.before, args.after) if number % 2 else (args.after, args.before):
            runs[checkout].append(run(checkout, flags))
    hashes = {str(figures.pop("sha256")) for done in runs.values() for figures in done}
    print(f"{args.pairs} pairs, lm {' '.join(flags)}; hash of events {', '.join(sorted(hashes))}")
    assert len(hashes) == 1, "the two checkouts do not have the same answer"
    print(f"{'':<14}{'before':>10}{'after':>10}{'ratio':>9}  95 % interval")
    for name in runs[args.after][0]:
        before, after = ([float(figures[name]) for figures in runs[checkout]] for checkout in (args.before, args.after))
        ratios = [b / a if a else 1.0 for a, b in zip(before, after, strict=True)]
        low, high = interval(ratios)
        medians = f"{statistics.median(before):>10.3f}{statistics.median(after):>10.3f}{statistics.median(ratios):>9.3f}"
        print(f"{name:<14}{medians}  {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
