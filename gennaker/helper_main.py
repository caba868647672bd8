"""What the helper process runs: one run of a launcher's, or the routers and PEs of one session."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from gennaker.records import read_record, send_record

_DEATH_S = 0.5  # for a program whose pipe has ended to be gone


def main() -> None:
    """Take the pipes, and do what the first record asks for."""
    records = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anything prints is no record
    commands = sys.stdin.buffer
    first = read_record(commands)
    if first is None:
        return
    if first["kind"] == "run":
        _run(first, commands, records)
    else:
        from gennaker.session_processes import serve_session

        serve_session(first, commands, records)


def _run(record: dict[str, Any], commands: BinaryIO, records: BinaryIO) -> None:
    from host.errors import HostError
    from host.launch.outcome import Outcome
    from host.launch.recorded_run import run_into
    from host.workloads.registry import restore_options

    over = threading.Event()
    threading.Thread(target=_leave_with_the_program, args=(commands, over, os.getppid()), daemon=True).start()
    try:
        outcome = run_into(
            Path(record["folder"]), restore_options(record["options"]),
            observe=lambda status: send_record(records, "status", **_what_is_shown(status)),
        )  # fmt: skip
    except HostError as error:
        outcome = Outcome(error.code, problem=str(error))
    over.set()
    send_record(records, "outcome", code=int(outcome.code), problem=outcome.problem, report=outcome.report)


def _what_is_shown(status: dict[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in ("phase", "done", "total", "per_s") if name in status}


def _leave_with_the_program(commands: BinaryIO, over: threading.Event, program: int) -> None:
    """End this process with the program: at once where that is gone, else in order, as `kill` would end the launcher."""
    while read_record(commands) is not None:
        pass
    deadline = time.monotonic() + _DEATH_S
    while os.getppid() == program and not over.is_set() and time.monotonic() < deadline:
        time.sleep(_DEATH_S / 20)  # its files are closed before it is gone
    if os.getppid() != program:
        os.kill(os.getpid(), signal.SIGKILL)  # and all that it has started with it; the program's folders, its remover removes
    if not over.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
