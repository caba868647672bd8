"""System calls of a few processes of a run, by name, counted by `perf stat` in the kernel: nobody is stopped for it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping

from bench.profilers import start_child

_ALL = "raw_syscalls:sys_enter"
_NAMED = (
    "recvfrom", "recvmsg", "sendto", "sendmsg", "read", "write", "writev", "poll", "ppoll", "select", "epoll_wait",
    "epoll_ctl", "futex", "sched_yield", "getpid", "madvise", "mmap", "munmap", "brk",
)  # fmt: skip
_LEAVE_S = 10.0


class SystemCalls:
    """Counts the calls of processes between `begin` and `end`, all threads of each together."""

    def __init__(self) -> None:
        self._program = shutil.which("perf")
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._tables: dict[str, str] = {}

    def begin(self, pids: Mapping[str, int]) -> None:
        """Start counting for each process of `pids`, by name."""
        events = ",".join((_ALL, *(f"syscalls:sys_enter_{name}" for name in _NAMED)))
        for name, pid in pids.items() if self._program else ():
            command = [str(self._program), "stat", "-x", ";", "-e", events, "-p", str(pid)]
            self._running[name] = start_child(command)

    def end(self) -> None:
        """Stop counting."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for name, process in self._running.items():
            self._tables[name] = process.communicate(timeout=_LEAVE_S)[1]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return for each process the calls by name, "all" included; empty where perf may not count here."""
        by_process: dict[str, dict[str, int]] = {}
        for name, text in self._tables.items():
            rows = [line.split(";") for line in text.splitlines() if line.count(";") > 2]
            counts = {row[2].rpartition("sys_enter")[2].lstrip("_") or "all": int(row[0]) for row in rows if row[0].isdigit()}
            if counts.get("all"):
                by_process[name] = counts
        return by_process
