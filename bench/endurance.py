"""`python -m bench.endurance`: how much memory each process of a long run takes, while it runs and while its report is made.

    python -m bench.endurance run --tokens 30000 --pes 150        a run on processes, of the text of docs/
    python -m bench.endurance recorded --positions 250000         a shorter run's ledger, repeated to that length

The second writes the ledger as a run does (`host/cost/ledger_writer.py`), beside the report of the run that it repeats, and
then prices it (`launch.py price`) and draws its page and timeline, each in a process of its own. Memory is looked at ten times
a second: USS, what a process shares with no other, and RSS, all that it has in memory; both without what the operating system
keeps of files. The peak of each kind of process is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import FILE, LedgerWriter
from host.run_folder import read_report
from host.show.text_table import format_table

ROOT = Path(__file__).resolve().parents[1]
LIMIT_BYTES = 500_000_000
_EVERY_S, _USS_EVERY = 0.1, 5  # of PEs, whose memory the operating system takes long to add up, less often
_DRAW = "import sys, pathlib; from host.show import pictures; pictures.make_pictures(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"

Peaks = dict[tuple[str, str], tuple[int, int]]
"""By kind of process and what was going on: the most bytes of USS and of RSS that one had."""


def watch(command: list[str], phase: Callable[[], str]) -> Peaks:
    """Run a program to its end; return the peaks of it and its children. `phase` says what is going on."""
    peaks: Peaks = {}
    program = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    looks = 0
    while program.poll() is None:
        looks += 1
        for process in [program, *program.children(recursive=True)]:
            try:
                kind = "launcher" if process.pid == program.pid else process.name().split("(")[0].split("@")[0]
                rss = process.memory_info().rss
                uss = 0 if kind == "PE" and looks % _USS_EVERY else process.memory_full_info().uss
            except psutil.Error:
                continue  # gone, or on its way
            have = peaks.get((kind, phase()), (0, 0))
            peaks[kind, phase()] = max(have[0], uss), max(have[1], rss)
        time.sleep(_EVERY_S)
    if program.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with code {program.returncode}")
    return peaks


def run(folder: Path, model: str, tokens: int, pes: int) -> Peaks:
    """Run so many tokens on processes; the report is being made from when the ledger is complete."""
    text = folder.with_name("text")
    text.write_text("\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))), encoding="utf-8")
    command = [sys.executable, "launch.py", "lm", model, "--text", str(text), "--force", "--tokens", str(tokens), "--pes", str(pes)]
    return watch([*command, "--out", str(folder), "--no-monitor"], lambda: "report" if (folder / FILE).exists() else "ticks")


def repeat(folder: Path, positions: int) -> None:
    """Lengthen the ledger of a run folder to `positions`, by writing it over and over."""
    ledger = load_ledger(folder)
    (folder / FILE).unlink()
    writer = LedgerWriter(folder / FILE, ledger, by_turn=tuple(ledger.by_turn), per_lane=tuple(ledger.per_lane))
    while writer.positions < positions:
        writer.append(ledger.part(0, min(ledger.positions, positions - writer.positions)))
    writer.finish(ledger.per_lane)
    writer.close()


def recorded(folder: Path, positions: int, tokens: int, pes: int, traced: int) -> Peaks:
    """Price and draw the repeated ledger of a run of `tokens`, with a timeline of the first `traced` positions."""
    command = [sys.executable, "launch.py", "lm", "--tokens", str(tokens), "--pes", str(pes), "--out", str(folder)]
    subprocess.run([*command, "--no-monitor", "--no-pictures"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    repeat(folder, positions)
    peaks: Peaks = {}
    for phase, program in (
        ("price", ["launch.py", "price", str(folder)]),
        ("page and timeline", ["-c", _DRAW, str(folder), str(traced)]),
    ):
        began = time.perf_counter()
        peaks_of_program = watch([sys.executable, *program], lambda phase=phase: phase)
        peaks |= {("program", of): sizes for (_, of), sizes in peaks_of_program.items()}
        print(f"{phase}: {time.perf_counter() - began:.0f} s", flush=True)
    return peaks


def main() -> int:
    """Print the peaks; return 1 where one is above the limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("what", choices=("run", "recorded"))
    parser.add_argument("--tokens", type=int, default=600, help="tokens of the run (default 600)")
    parser.add_argument("--positions", type=int, default=250_000, help="of the repeated ledger (default 250,000)")
    parser.add_argument("--trace-positions", type=int, default=20_000, help="of its timeline (default 20,000)")
    parser.add_argument("--model", default="lm", help="of `run`: lm, tiny ... (default lm)")
    parser.add_argument("--pes", type=int, default=150)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, began = Path(place) / "run", time.perf_counter()
        if flags.what == "run":
            peaks = run(folder, flags.model, flags.tokens, flags.pes)
            report = read_report(folder)
            print(f"{report['events']['positions']:,} tokens, {report['events']['sha256'][:12]}")
        else:
            peaks = recorded(folder, flags.positions, flags.tokens, flags.pes, flags.trace_positions)
        size_bytes, took_s = (folder / FILE).stat().st_size, time.perf_counter() - began
    print(f"{size_bytes / 1e6:,.0f} MB of ledger, {took_s:.0f} s")
    rows = [(kind, phase, f"{uss / 1e6:.1f}", f"{rss / 1e6:.1f}") for (kind, phase), (uss, rss) in sorted(peaks.items())]
    print("\n".join(format_table([("process", "while", "USS, MB", "RSS, MB"), *rows], left=(0, 1))))
    return int(max(uss for uss, _ in peaks.values()) > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
