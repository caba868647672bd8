"""`ProcessGroup`: processes forked by one fork server, and how they end. The only file that knows multiprocessing and psutil.

The launcher owns one on its machine; on a cluster, each worker's agent owns one there. The fork server dies with the
owner, and each child with the fork server, so that nothing outlives an owner that is killed.
"""

import contextlib
import errno
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import selectors
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from host.errors import Exit, HostError
from host.processes.control_groups import out_of_memory_kills
from host.processes.fork_environment import (
    LACKS,
    MEMBERS_VARIABLE,
    PRELOAD_VARIABLE,
    fork_server_environment,
    hidden_main_module,
)
from host.processes.parent_death import FOLDER_VARIABLE, LAUNCHER_VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MEASURED_PES = 24  # whose memory is looked at: a look takes more than a millisecond
_LEAVE_S = 3.0  # for stopped processes to be gone
_DEATH_S = 0.5  # for a fork server that is on its way out to be gone
_LONGEST_FOLDER_BYTES = 107 - len("/pymp-12345678/listener-12345678")  # a socket's name has 107 bytes at most
_REMEDIES = {  # of what a limit or a full disk does
    errno.EAGAIN: "raise ulimit -u, or the container's pids limit", errno.ENOMEM: "raise the limit on memory",
    errno.EMFILE: "raise ulimit -n", errno.ENFILE: "the machine has no more files to open",
    errno.ENOSPC: "make room where TMPDIR is", errno.EDQUOT: "make room where TMPDIR is",
}  # fmt: skip


class ProcessGroup:
    """Processes by name, and the pipes to them. `started` is called with each process name and pid, as they start."""

    def __init__(self, started: Callable[[str, int], None] = lambda *_: None) -> None:
        self._on_start = started
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["host.processes.fork_server"])
        self._processes: dict[str, Any] = {}
        self._selector = selectors.DefaultSelector()
        self._pipes: list[Any] = []
        self._ended: set[str] = set()
        self._kills_before = out_of_memory_kills()

    def start_fork_server(self, preload: str = "", members: Iterable[str] = ()) -> None:
        """Start the fork server, if there is none; it imports the module `preload`, and `members`, modules of neuron models and
        weight formats, so that no child need do it.

        HostError, one line, where the system does not let it.
        """
        if sys.flags.ignore_environment:
            raise HostError("python -I or -E: other processes find the project by PYTHONPATH; run without")
        try:
            os.environ[PRELOAD_VARIABLE], os.environ[MEMBERS_VARIABLE] = preload, ",".join(members)
            os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
            os.environ[FOLDER_VARIABLE] = _socket_folder()
            # First, because it unblocks the signals again.
            multiprocessing.resource_tracker.ensure_running()
            # The fork server inherits the mask, so a Ctrl-C cannot hit it before it has left the terminal's signals to us.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            try:
                with fork_server_environment():
                    multiprocessing.forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        except OSError as error:
            raise self._failed_start(error) from error

    def make_folder(self, name: str) -> Path:
        """Make a private folder, which is removed also where this process is killed: the fork server does it."""
        path = Path(multiprocessing.util.get_temp_dir()) / name
        path.mkdir(mode=0o700)
        return path

    def open_pipe(self, name: str) -> tuple[Any, Any]:
        """Return both ends of a new pipe, this process's first; `poll` returns `name` when that one is readable."""
        own_end, child_end = self._context.Pipe()
        self.watch(own_end, name)
        self._pipes.append(own_end)
        return own_end, child_end

    def watch(self, readable: Any, name: str) -> None:
        """Let `poll` also return `name` when this file descriptor is readable."""
        self._selector.register(readable, selectors.EVENT_READ, (name,))

    def unwatch(self, readable: Any) -> None:
        """Undo `watch`."""
        self._selector.unregister(readable)

    def start(self, name: str, target: Callable[..., None], *args: Any) -> None:
        """Start a process; HostError, one line, where the fork server is gone or the system does not let it."""
        process = self._context.Process(target=target, args=args, name=name, daemon=True)
        try:
            if self.fork_server_end():  # else multiprocessing would start another
                raise EOFError
            with hidden_main_module():
                process.start()
        except (EOFError, OSError) as error:
            raise self._failed_start(error) from error
        # Else each start asks every child whether it lives; `poll` and `end` do that for all.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        self._processes[name] = process
        self._selector.register(process.sentinel, selectors.EVENT_READ, name)
        assert process.pid is not None
        self._on_start(name, process.pid)

    def _failed_start(self, error: EOFError | OSError) -> HostError:
        """Return the error line for processes that cannot be started."""
        folder = os.environ.get(FOLDER_VARIABLE, "")
        end = self.fork_server_end(_DEATH_S)
        if end:
            return HostError(f"the fork server died while processes were started ({end})", Exit.DIED)
        if isinstance(error, FileNotFoundError) and folder and not Path(folder).is_dir():
            return HostError(f"{folder} was removed while processes were started: nothing may empty TMPDIR during a run", Exit.DIED)
        if isinstance(error, FileNotFoundError) and not _current_folder_exists():
            return HostError("the current folder was removed while processes were started; change to one that exists", Exit.DIED)
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            return HostError(f"no more processes can be started here ({error.strerror}); {_REMEDIES[error.errno]}", Exit.DIED)
        return HostError(f"the fork server died while processes were started ({type(error).__name__}: {error})", Exit.DIED)

    def fork_server_end(self, within_s: float = 0.0) -> str:
        """Return how the fork server ended, "" where it runs (or there has been none), after waiting up to `within_s` for it."""
        pid = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        deadline = time.monotonic() + within_s
        while pid is not None:
            try:
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # it stays for multiprocessing to find
            except ChildProcessError:
                return "it is gone"
            if end is not None:
                return self._describe_code(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
            if time.monotonic() >= deadline:
                break
            time.sleep(_DEATH_S / 50)
        return ""

    def poll(self, timeout_s: float) -> set[str]:
        """Note which processes have ended (asking each would cost too much); return the names of pipes that are readable."""
        readable: set[str] = set()
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, tuple):
                readable |= {*key.data}
            else:
                self._selector.unregister(key.fileobj)
                self._ended.add(key.data)
        return readable

    def ended(self) -> list[str]:
        """Return the names of processes that have ended, in the order of their starts."""
        self.poll(0)
        return [name for name in self._processes if name in self._ended] if self._ended else []

    def is_alive(self, name: str) -> bool:
        """Tell whether a process still runs."""
        return bool(self._processes[name].is_alive())

    def describe_end(self, name: str, within_s: float) -> str:
        """Return how a process ended: its signal, with what that hints at, or its exit code."""
        process = self._processes[name]
        process.join(within_s)
        return self._describe_code(process.exitcode)

    def _describe_code(self, code: int | None) -> str:
        """Return an exit code in words; -n is signal n, as multiprocessing has it."""
        if code is None or code >= 0:
            return LACKS.get(code or 0, f"exit code {code}")
        how = signal.Signals(-code).name
        if how == "SIGKILL" and out_of_memory_kills() > self._kills_before:
            return f"{how}: it ran past the container's memory limit"
        return how + (": it ran past its memory" if how in ("SIGSEGV", "SIGBUS") else "")

    def __len__(self) -> int:
        """Return how many processes have been started."""
        return len(self._processes)

    def uss_bytes(self, leave_out: Iterable[str] = (), at_most: int = _MEASURED_PES) -> int | None:
        """Return the median unique set size of about `at_most` processes: what would be freed if one ended; None: not readable."""
        excluded = set(leave_out)
        pids = [process.pid for name, process in self._processes.items() if name not in excluded]
        sizes = [size for pid in pids[:: 1 + len(pids) // at_most] if (size := _uss(pid))]
        return int(statistics.median(sizes)) if sizes else None

    def cpu_s(self) -> float:
        """Return the CPU seconds that the processes that run have used."""
        return sum(_cpu_s(process.pid) for process in self._processes.values())

    def end(self, patience_s: float = _LEAVE_S) -> None:
        """End every process, after `patience_s` for those that are leaving, and wait until none is left."""
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


def _socket_folder() -> str:
    """Return the folder in which multiprocessing keeps its listening socket: a private one, with a name that is short enough.

    It is made where TMPDIR says, if that can be; nobody else can reach the socket in it, and whoever can starts processes.
    """
    config = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    if config.get("tempdir") is None:
        config["tempdir"] = folder = _make_short_folder()
        # Not multiprocessing's own clean-up: that shows a traceback where the folder is gone.
        multiprocessing.util.Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-100)
    return str(config["tempdir"])


def _make_short_folder() -> str:
    try:
        first = tempfile.gettempdir()
    except FileNotFoundError:  # none of the usual ones can be written
        first = "/dev/shm"  # noqa: S108 - a private folder in it
    failure = OSError(errno.ENAMETOOLONG, f"its name has more than {_LONGEST_FOLDER_BYTES} bytes")
    for place in (first, "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - a private folder in it
        if len(os.fsencode(place)) <= _LONGEST_FOLDER_BYTES:
            try:
                return tempfile.mkdtemp(prefix="pymp-", dir=place)
            except OSError as error:
                failure = error
    raise HostError(f"TMPDIR {first}: no folder for a socket can be made there nor in /tmp ({failure.strerror})") from failure


def _current_folder_exists() -> bool:
    try:
        return Path.cwd().is_dir()
    except FileNotFoundError:
        return False


def free_memory_bytes() -> int:
    """Return the bytes of memory that this machine can still give."""
    return int(psutil.virtual_memory().available)


def count_tasks() -> int:
    """Return how many processes and threads of this user there are, which is what the limit on them counts."""
    user, tasks = os.getuid(), 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            tasks += process.num_threads() if process.uids().real == user else 0
    return tasks


def _uss(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().uss)
    return 0


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def interface_addresses() -> dict[str, list[str]]:
    """Return this machine's IP addresses by device, those of version 4 first."""
    by_device: dict[str, list[str]] = {}
    numbers = {socket.AF_INET: 0, socket.AF_INET6: 1}
    for device, entries in psutil.net_if_addrs().items():
        addresses = sorted((numbers[entry.family], entry.address) for entry in entries if entry.family in numbers)
        by_device[device] = [address for _, address in addresses if "%" not in address]  # those of one link alone need its name
    return by_device
