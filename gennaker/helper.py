"""The helper process: launches runs and the processes of sessions for a Python program, away from it.

The program keeps its signals, its main module, its own use of multiprocessing and its import path to itself; routers and PEs are
children of the helper, which ends them and itself when the program says so, or is gone. Records go both ways over pipes
(`noc/wire.py` status), each behind its length in four bytes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gennaker.records import LENGTH
from host.errors import Exit, HostError
from host.launch.outcome import Outcome
from host.options import RunOptions
from host.processes.fork_environment import fork_server_environment
from host.processes.kernel_view import StandstillClock, is_stopped
from noc.wire import pack_status, unpack_status

_CODE = "from gennaker.helper_main import main; main()"
_ROOT = Path(__file__).resolve().parents[1]
_LOOK_S = 0.5  # how often it is looked at
_END_S = 8.0  # for a helper that was interrupted to end its processes in order


class Helper:
    """The process, and records to and from it. `stall_s`: how long it may be stopped."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s, self._standstill = stall_s, StandstillClock()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - for the helper's life
        if str(_ROOT) not in sys.path:
            sys.path.append(str(_ROOT))
        with fork_server_environment():
            # A session of its own: a terminal's or a notebook's interrupt is for the program, which hands it on in order.
            self._process = subprocess.Popen(  # noqa: S603 - this Python, and code from above
                [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        self._inbox = b""
        self.pid = self._process.pid

    def send(self, kind: str, **record: Any) -> None:
        """Send one record; a helper that is gone is noticed where its records end."""
        assert self._process.stdin is not None
        raw = pack_status({"kind": kind, **record})
        with contextlib.suppress(OSError):
            self._process.stdin.write(LENGTH.pack(len(raw)) + raw)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next record, None after `timeout_s`.

        HostError where the helper has died, or stands still for `stall_s`; RuntimeError, with what it said, where it has a bug.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while True:
            if len(self._inbox) >= LENGTH.size:
                (size,) = LENGTH.unpack_from(self._inbox)
                if len(self._inbox) >= LENGTH.size + size:
                    raw = self._inbox[LENGTH.size : LENGTH.size + size]
                    self._inbox = self._inbox[LENGTH.size + size :]
                    return unpack_status(raw)
            wait_s = deadline - time.monotonic()
            if not select.select([self._process.stdout], [], [], min(max(wait_s, 0.0), _LOOK_S))[0]:
                self._check_standstill()
                if wait_s <= 0:
                    return None
                continue
            part = os.read(self._process.stdout.fileno(), 1 << 16)
            if not part:
                raise self._end_of_helper()
            self._inbox += part

    def _check_standstill(self) -> None:
        stopped_s = self._standstill.look(is_stopped(self.pid))
        if stopped_s > self._stall_s:
            self._process.kill()
            raise HostError(f"stalled: the helper process is stopped, for {stopped_s:.0f} s", Exit.STALLED)

    def _end_of_helper(self) -> Exception:
        """Return how a helper has ended that said nothing of it before."""
        code = self._process.wait()
        if code < 0:
            return HostError(f"the helper process died ({signal.Signals(-code).name})", Exit.DIED)
        self._complaints.seek(0)
        complaint = self._complaints.read().decode(errors="replace").strip()
        return RuntimeError(f"gennaker's helper process ended ({code})" + (f":\n{complaint}" if complaint else ""))

    def interrupt(self) -> None:
        """Hand an interrupt on: a run ends in order."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def end(self, patience_s: float = _END_S) -> None:
        """End the process and all that it has started."""
        if is_stopped(self.pid):
            self._process.kill()  # its children die with it
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()  # which tells it to leave
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its children die with it
            self._process.wait()
        self._complaints.close()


def run_in_helper(options: RunOptions, folder: Path, observe: Callable[[dict[str, Any]], None]) -> Outcome:
    """Run `options` by a launcher of its own, into `folder`; KeyboardInterrupt once everything that was started is gone."""
    helper = Helper(options.stall_s)
    try:
        helper.send("run", options=options.resolved(), folder=str(folder))
        while True:
            record = helper.receive(1.0)
            if record is None:
                continue
            kind = record.pop("kind")
            if kind == "status":
                observe(record)
            elif kind == "outcome":
                return Outcome(Exit(record["code"]), record["report"], record["problem"])
    except KeyboardInterrupt:
        helper.interrupt()
        raise
    finally:
        helper.end()
