"""A run and its folder: starts the processes, sees the run through, and writes down what it was and did."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from host.cost.ledger_writer import FILE as LEDGER_FILE
from host.errors import HostError
from host.launch.launcher import Launcher
from host.launch.outcome import Outcome
from host.launch.resume_file import Unfinished, kept
from host.options import SAVED, RunOptions
from host.processes.backend import ConnectBackend
from host.provenance import code_record
from host.run_folder import ANSWERS, SCHEMA, part_of, write_json, write_run
from host.show.answers import short_block


def run_into(
    folder: Path, options: RunOptions, *, mapped: Callable[[dict[str, Any]], None] = lambda _: None,
    observe: Callable[[dict[str, Any]], None] = lambda _: None, meanwhile: Callable[[], None] = lambda: None,
    remote: ConnectBackend | None = None, unfinished: Unfinished | None = None,
) -> Outcome:  # fmt: skip
    """Run `options` and write the run folder, which exists and stays empty where nothing came of it; HostError as `Launcher`.

    `unfinished`: the run of this folder that is gone on with, whose options these are.
    """
    outputs = [Path(options.outputs)] if options.outputs else []
    run = unfinished or Unfinished(options, start_time(), list(sys.argv))
    with kept(folder, run) if options.restart else contextlib.nullcontext():
        try:
            resume = unfinished is not None
            outcome = Launcher(options, mapped, observe, folder=folder, meanwhile=meanwhile, remote=remote, resume=resume).run()
        finally:
            for path in [*(folder / name for name in (LEDGER_FILE, *(f"{name}.npz" for name in SAVED))), *outputs]:
                part_of(path).unlink(missing_ok=True)  # where the host process was ended while it wrote
        write_outcome(folder, options, outcome, run.began, run.command)
    return outcome


def start_time() -> str:
    """Return the time now, as a report has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_outcome(folder: Path, options: RunOptions, outcome: Outcome, began: str, command: Sequence[str] = ()) -> None:
    """Write what came of a run that began then, by this command line (or the one of this process), into its folder, but where
    nothing came of it; HostError where that cannot be.
    """
    if outcome.report is None and not outcome.mapping:
        return
    report = outcome.report or {"schema": SCHEMA, "workload": options.workload, "partial": True}
    if report["partial"]:
        report.setdefault("problem", outcome.problem)
    report["provenance"] = {
        "date": began,
        "command": list(command or sys.argv),
        "inputs": report.pop("inputs", []),
        **code_record(),
    }
    if outcome.mismatch is not None:
        report["verify"] = outcome.mismatch
    if answers := report.pop("answers", None):
        report["answers"] = short_block(answers)
    # What was left to the mapping is written as it came out, so that the file alone repeats the run.
    used = {"pes": len(outcome.mapping)} if outcome.mapping else {}
    try:
        write_run(folder, options.repeatable() | used, report, outcome.mapping)
        if answers:
            write_json(folder / ANSWERS, answers)
    except OSError as error:
        raise HostError(f"--out {folder}: cannot be written ({error.strerror})") from error
