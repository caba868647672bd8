"""`ForkServerLink`: starts the fork server of this process, has it fork, knows how it ended, and bounds each wait for it.

The only file that knows multiprocessing. A process has one fork server, whoever asks; it ends with the process.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from host.errors import Exit, HostError
from host.processes.child import Child
from host.processes.fork_environment import (
    MEMBERS_VARIABLE,
    OPTIONS_VARIABLE,
    PRELOAD_VARIABLE,
    fork_server_environment,
    hidden_main_module,
)
from host.processes.kernel_view import StandstillClock, children_of, cpu_ticks_of, is_stopped
from host.processes.parent_death import FOLDER_VARIABLE, LAUNCHER_VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEATH_S = 0.5  # for a fork server that is on its way out to be gone
_LOOK_S = 0.2  # how often a fork server that is waited for is looked at
_IDLE_S = 120.0  # without any processor time, for a fork server that loads or compiles from a slow disk
_KILLED_S = 3.0  # for the kernel to end what it was told to kill
_MOST_OPTIONS = 1 << 16  # characters; a program is started with 128 KiB for a variable at most
_LONGEST_FOLDER_BYTES = 107 - len("/pymp-12345678/listener-12345678")  # a socket's name has 107 bytes at most
_REMEDIES = {  # of what a limit or a full disk does
    errno.EAGAIN: "raise ulimit -u, or the container's pids limit", errno.ENOMEM: "raise the limit on memory",
    errno.EMFILE: "raise ulimit -n", errno.ENFILE: "the machine has no more files to open",
    errno.ENOSPC: "make room where TMPDIR is", errno.EDQUOT: "make room where TMPDIR is",
}  # fmt: skip


class ForkServerLink:
    """The fork server, and what it forks.

    `stall_s`: how long it may be stopped while it is waited for. `describe` puts an exit code into words.
    """

    def __init__(self, stall_s: float, describe: Callable[[int | None], str]) -> None:
        self.stall_s, self._describe = stall_s, describe
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["host.processes.fork_server"])
        self._pids: set[int] = set()
        self._standstill = ""  # how it stood still, once it was killed for that

    def start(self, preload: str, members: Iterable[str], options: str = "") -> None:
        """Start the fork server, if there is none; HostError, one line, where the system does not let it. `options`: of the run, as
        JSON, "" where nobody can refuse it any more.
        """
        if sys.flags.ignore_environment:
            raise HostError("python -I or -E: other processes find the project by PYTHONPATH; run without")
        try:
            os.environ[PRELOAD_VARIABLE], os.environ[MEMBERS_VARIABLE] = preload, ",".join(members)
            os.environ[OPTIONS_VARIABLE] = options if len(options) < _MOST_OPTIONS else ""
            os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
            os.environ[FOLDER_VARIABLE] = _socket_folder()
            self._standstill = ""
            if is_stopped(_pid()):  # another run of this process has left it so
                self._kill()
            # The fork server inherits the mask, so a Ctrl-C cannot hit it before it has left the terminal's signals to us.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            try:
                with fork_server_environment(), _without_tracker():
                    multiprocessing.forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        except OSError as error:
            raise self.failed_start("", error) from error

    def fork(self, name: str, target: Callable[..., None], args: tuple[Any, ...], named: dict[str, Any]) -> Child:
        """Return a new process; HostError, one line, where the fork server is gone or stands still, or the system refuses."""
        process = self._context.Process(target=target, args=args, kwargs=named, name=name, daemon=True)
        try:
            with hidden_main_module(), _without_tracker(), self._no_other(), self._watched(name):
                process.start()
        except (EOFError, OSError) as error:
            raise self.failed_start(name, error) from error
        # Else each start asks every child whether it lives.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        assert process.pid is not None
        child = Child(name, process.pid, process)
        self._pids.add(child.pid)
        return child

    def open_pipe(self) -> tuple[Any, Any]:
        """Return both ends of a new pipe, this process's first."""
        return self._context.Pipe()

    def end(self, within_s: float = 0.0) -> str:
        """Return how the fork server ended, "" where it runs (or there has been none), after waiting up to `within_s` for it."""
        pid = _pid()
        deadline = time.monotonic() + within_s
        while pid is not None:
            try:
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # it stays for multiprocessing to find
            except ChildProcessError:
                return "it is gone"
            if end is not None:
                return self._describe(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
            if time.monotonic() >= deadline:
                break
            time.sleep(_DEATH_S / 50)
        return ""

    def end_if_useless(self, *, is_cold: bool) -> None:
        """Kill the fork server where it is stopped or cold: nothing is left, and who runs next in this process gets another."""
        if is_cold or is_stopped(_pid()):
            self._kill()

    def failed_start(self, name: str, error: EOFError | OSError) -> HostError:
        """Return the error line for processes that cannot be started."""
        if self._standstill:
            return HostError(f"stalled: the fork server did not start {name} {self._standstill}", Exit.STALLED)
        folder = os.environ.get(FOLDER_VARIABLE, "")
        end = self.end(_DEATH_S)
        if end:
            return HostError(f"the fork server died while processes were started ({end})", Exit.DIED)
        if isinstance(error, FileNotFoundError) and folder and not Path(folder).is_dir():
            return HostError(f"{folder} was removed while processes were started: nothing may empty TMPDIR during a run", Exit.DIED)
        if isinstance(error, FileNotFoundError) and not _current_folder_exists():
            return HostError("the current folder was removed while processes were started; change to one that exists", Exit.DIED)
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            return HostError(f"no more processes can be started here ({error.strerror}); {_REMEDIES[error.errno]}", Exit.DIED)
        return HostError(f"the fork server died while processes were started ({type(error).__name__}: {error})", Exit.DIED)

    @contextlib.contextmanager
    def _no_other(self) -> Iterator[None]:
        """Keep multiprocessing from starting another fork server in place of one that died: it takes seconds and hides the death.

        One that is on its way out does not count as dead yet, but refuses the connection or closes it.
        """

        def need_running() -> None:
            if self.end():
                raise EOFError

        server = multiprocessing.forkserver._forkserver
        server.ensure_running = need_running  # type: ignore[method-assign]  # where a process is asked for
        try:
            yield
        finally:
            del server.ensure_running

    @contextlib.contextmanager
    def _watched(self, name: str) -> Iterator[None]:
        """Kill a fork server that stands still while it is to start a process: who waits for its answer then sees its end."""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name=f"start of {name}", daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event) -> None:
        """Wait until `over`. A fork server that works for long is let work: the first start waits for all it loads and compiles."""
        stopped, idle, ticks = StandstillClock(), StandstillClock(), -1
        while not over.wait(_LOOK_S):
            pid = _pid()
            if pid is None:
                continue
            unnamed = [child for child in children_of(pid) if child not in self._pids]  # the process that compiles
            stopped_s = stopped.look(any(map(is_stopped, (pid, *unnamed))))
            before, ticks = ticks, cpu_ticks_of(pid)
            idle_s = idle.look(ticks == before)
            if stopped_s > self.stall_s:
                self._standstill = f"for {stopped_s:.0f} s: it is stopped"
            elif idle_s > max(self.stall_s, _IDLE_S):
                self._standstill = f"for {idle_s:.0f} s, without doing anything"
            if self._standstill:
                return self._kill()
        return None

    def _kill(self) -> None:
        """Kill the fork server, and what it has forked with it."""
        pid = _pid()
        with contextlib.suppress(OSError):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        self.end(_KILLED_S)


def make_folder(name: str) -> Path:
    """Make a private folder, which is removed also where this process is killed: the fork server does it."""
    path = Path(multiprocessing.util.get_temp_dir()) / name
    path.mkdir(mode=0o700)
    return path


def start_tracker() -> None:
    """Start multiprocessing's resource tracker, for those who share memory: it lets signals through again, so first of all.

    It removes what a process leaves that is killed, which is what it is for, and says nothing of it.
    """
    name, filters = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    os.environ[name] = ",".join(filter(None, (filters, "ignore:resource_tracker")))
    try:
        multiprocessing.resource_tracker.ensure_running()
    finally:
        if filters is None:
            del os.environ[name]
        else:
            os.environ[name] = filters


def wake_tracker() -> None:
    """Let the resource tracker go on where it was stopped: it leaves with this process then."""
    tracker = multiprocessing.resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    if is_stopped(tracker):
        os.kill(tracker, signal.SIGCONT)


def own_children() -> set[Any]:
    """Return the processes that this process has started by multiprocessing, but for those of the fork server."""
    return set(multiprocessing.active_children())


def _pid() -> int | None:
    pid: int | None = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


@contextlib.contextmanager
def _without_tracker() -> Iterator[None]:
    """Spare the process that tracks shared memory, which a run does not use: it would be one more that can be stopped."""
    tracker = multiprocessing.resource_tracker._resource_tracker
    if tracker._fd is not None:  # type: ignore[attr-defined]  # somebody else uses it
        yield
        return
    nobody = os.open(os.devnull, os.O_WRONLY)
    tracker._fd = nobody  # type: ignore[attr-defined]
    try:
        yield
    finally:
        tracker._fd = None  # type: ignore[attr-defined]
        os.close(nobody)


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
