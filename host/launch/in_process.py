"""A run in the process that asks for it, without any other: for transports whose endpoints are no processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.errors import Exit
from host.launch.outcome import Outcome, complete_emulation, judged
from host.options import RunOptions
from host.run.host_process import drive
from noc.wire import pack_status, unpack_status


def run_here(
    options: RunOptions, folder: Path, mapped: Callable[[dict[str, Any]], None], observe: Callable[[dict[str, Any]], None]
) -> Outcome:
    """Run `options`, whose transport has no processes, in this one; the ledger and what is kept go into `folder`.

    `mapped` is called once with the layout, `observe` with each status, about ten a second. What they raise ends the run, and
    nothing is left of it.
    """
    pipe = _LocalPipe(mapped, observe)
    drive(pipe, options.resolved(), str(folder), None, 0.0)
    if pipe.refusal is not None:
        return pipe.refusal
    report = complete_emulation(pipe.last["report"], pipe.plan, processes=1, start_s=0.0, pe_uss_bytes=None)
    if pipe.last["problem"]:
        return Outcome(Exit(pipe.last["code"]), report, pipe.last["problem"], mapping=pipe.plan["mapping"])
    return judged(report, pipe.plan["mapping"], pipe.last["mismatch"])


class _LocalPipe:
    """The launcher's part as a run that nobody interrupts has it."""

    def __init__(self, mapped: Callable[[dict[str, Any]], None], observe: Callable[[dict[str, Any]], None]) -> None:
        self._mapped, self._observe = mapped, observe
        self.plan: dict[str, Any] = {}
        self.last: dict[str, Any] = {}  # the last record: a report
        self.refusal: Outcome | None = None

    def send_bytes(self, raw: bytes, /) -> None:
        """Take one record of the host's."""
        record = unpack_status(raw)
        kind = record.pop("kind")
        if kind == "refused":
            self.refusal = Outcome(Exit(record["code"]), problem=record["text"])
        elif kind == "mapped":
            self.plan = record
            self._mapped(record["layout"])
        elif kind == "status":
            self._observe(record)
        elif kind in ("report", "failed"):
            self.last = record

    def recv_bytes(self) -> bytes:
        """Tell the host to stop, which it asks once it has reported."""
        return pack_status({"kind": "stop"})

    def poll(self) -> bool:
        """Tell that no command waits."""
        return False
