"""`Family`: processes forked by one fork server, and how they end. The only file that knows multiprocessing (and psutil).

The launcher has one on its machine; with an engine, each worker has an agent that has one there. The fork server dies with
whoever made the family, and each child dies with the fork server, so nothing outlives an owner that is killed.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import selectors
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from host.processes.fork_environment import environment, no_main_module
from host.processes.parent_death import FOLDER_VARIABLE, LAUNCHER_VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MEASURED_PES = 24  # whose memory is looked at: a look takes more than a millisecond
_LEAVE_S = 3.0  # for stopped processes to be gone


class Family:
    """Processes by name, and the pipes to them.

    Args:
        started: called with each process name and pid, as they start.

    """

    def __init__(self, started: Callable[[str, int], None] = lambda *_: None) -> None:
        self._started = started
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["host.processes.fork_server"])
        self._processes: dict[str, Any] = {}
        self._selector = selectors.DefaultSelector()
        self._pipes: list[Any] = []
        self._ended: set[str] = set()

    def ready(self) -> None:
        """Start the fork server, if there is none."""
        os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
        os.environ[FOLDER_VARIABLE] = multiprocessing.util.get_temp_dir()
        # First, because it unblocks the signals again.
        multiprocessing.resource_tracker.ensure_running()
        # The fork server inherits the mask, so a Ctrl-C cannot hit it before it has left the terminal's signals to us.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with environment():
                multiprocessing.forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def folder(self, name: str) -> Path:
        """Make a private folder, which is removed also where this process is killed: the fork server does it."""
        path = Path(multiprocessing.util.get_temp_dir()) / name
        path.mkdir(mode=0o700)
        return path

    def pipe(self, name: str) -> tuple[Any, Any]:
        """Return both ends of a new pipe; `look` says by `name` when ours has something."""
        ours, theirs = self._context.Pipe()
        self.hear(ours, name)
        self._pipes.append(ours)
        return ours, theirs

    def hear(self, ours: Any, name: str) -> None:
        """Let `look` also say by `name` when a file descriptor has something."""
        self._selector.register(ours, selectors.EVENT_READ, (name,))

    def deafen(self, ours: Any) -> None:
        """Undo `hear`."""
        self._selector.unregister(ours)

    def start(self, name: str, target: Callable[..., None], *args: Any) -> None:
        """Start a process."""
        process = self._context.Process(target=target, args=args, name=name, daemon=True)
        with no_main_module():
            process.start()
        # Else each start asks every child there is whether it lives; `look` and `end` do that for all.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        self._processes[name] = process
        self._selector.register(process.sentinel, selectors.EVENT_READ, name)
        assert process.pid is not None
        self._started(name, process.pid)

    def look(self, timeout_s: float) -> set[str]:
        """Note which processes have ended; return which pipes have something to say.

        With a thousand processes, asking each whether it lives would cost more than what they do.
        """
        said: set[str] = set()
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, tuple):
                said |= {*key.data}
            else:
                self._selector.unregister(key.fileobj)
                self._ended.add(key.data)
        return said

    def dead(self) -> list[str]:
        """Return who has ended, in the order in which they were started."""
        self.look(0)
        return [name for name in self._processes if name in self._ended] if self._ended else []

    def alive(self, name: str) -> bool:
        """Tell whether a process still runs."""
        return bool(self._processes[name].is_alive())

    def how(self, name: str, within_s: float) -> str:
        """Return how a process ended: its signal, with what that hints at, or its exit code."""
        process = self._processes[name]
        process.join(within_s)
        code = process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return how + (": it ran past its memory" if how in ("SIGSEGV", "SIGBUS") else "")

    def __len__(self) -> int:
        """Return how many processes have been started."""
        return len(self._processes)

    def uss_bytes(self, leave_out: Iterable[str] = (), most: int = _MEASURED_PES) -> int | None:
        """Return the median unique set size of about `most` processes: what would be freed if one ended; None where none can be
        looked at.
        """
        left_out = set(leave_out)
        pids = [process.pid for name, process in self._processes.items() if name not in left_out]
        sizes = [size for pid in pids[:: 1 + len(pids) // most] if (size := _uss(pid))]
        return int(statistics.median(sizes)) if sizes else None

    def cpu_s(self) -> float:
        """Return the CPU seconds that the processes that run have used."""
        return sum(_cpu_s(process.pid) for process in self._processes.values())

    def end(self, patience_s: float = _LEAVE_S) -> None:
        """Leave no process behind, after `patience_s` for those that are leaving, and wait until that is so."""
        deadline = time.monotonic() + patience_s
        for process in self._processes.values():
            process.join(max(deadline - time.monotonic(), 0.0))
        for process in self._processes.values():
            if process.is_alive():
                process.kill()  # also ends one that is stopped
        for process in self._processes.values():
            process.join(_LEAVE_S)
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()


def machine_memory_bytes() -> int:
    """Return the bytes of memory that this machine can still give."""
    return int(psutil.virtual_memory().available)


def machine_processes() -> int:
    """Return how many processes and threads of this user there are, which is what the limit on them counts."""
    me, found = os.getuid(), 0
    for process in psutil.process_iter():
        try:
            found += process.num_threads() if process.uids().real == me else 0
        except psutil.Error:
            continue
    return found


def _uss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error:
        return 0


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def interface_addresses() -> dict[str, list[str]]:
    """Return this machine's IP addresses by device, those of version 4 first."""
    found: dict[str, list[str]] = {}
    for device, entries in psutil.net_if_addrs().items():
        numbers = {socket.AF_INET: 0, socket.AF_INET6: 1}
        ours = sorted((numbers[entry.family], entry.address) for entry in entries if entry.family in numbers)
        found[device] = [address for _, address in ours if "%" not in address]  # those of one link alone need its name
    return found
