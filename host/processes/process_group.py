"""`ProcessGroup`: processes forked by one fork server, the pipes to them, and how they end.

The launcher owns one on its machine; on a cluster, each worker's agent owns one there. The fork server dies with the
owner, and each child with the fork server, so that nothing outlives an owner that is killed.
"""

from __future__ import annotations

import os
import selectors
import signal
import statistics
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from host.errors import Exit, HostError
from host.processes.child import UNKNOWN_CODE, Child, has_descriptors
from host.processes.control_groups import out_of_memory_kills
from host.processes.fork_environment import LACKS
from host.processes.fork_server_link import ForkServerLink, make_folder
from host.processes.kernel_view import cpu_ticks_of, is_at_work, is_stopped
from host.processes.machine_state import cpu_s, uss_bytes
from host.processes.pe_server import PeCalls, run_pe, run_pe_server
from host.processes.pe_starts import PeStarts

FORK_SERVER = "the fork server"
PE_SERVER = "the PE server"
_MEASURED_PES = 24  # whose memory is looked at: a look takes more than a millisecond
_LEAVE_S = 3.0  # for stopped processes to be gone
_REAP_S = 0.5  # for the PE server to ask how its PEs have ended
_DEATH_S = 0.5  # for how a process ended to be known
_FORK_SERVER_DEATH_S = 5.0  # for a fork server to be gone that has left its children; the kernel ends it in its own time
_STALL_S = 30.0
_TICKS_A_S = os.sysconf("SC_CLK_TCK")


class End(NamedTuple):
    """Who it was that ended, and how, in words."""

    who: str
    how: str


class ProcessGroup:
    """Processes by name, and the pipes to them.

    `started` is called with each process name and pid, as they start, but for what only starts others; `stall_s` is how long the
    fork server may stand still
    while it is waited for.
    """

    def __init__(self, started: Callable[[str, int], None] = lambda *_: None, stall_s: float = _STALL_S) -> None:
        self._on_start = started
        self._fork_server = ForkServerLink(stall_s, self._describe_code)
        self.fork_server_is_cold = False  # it has loaded nothing, and is of no use to a later run
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._pipes: list[Any] = []
        self._ended: set[str] = set()
        self._starts: PeStarts | None = None  # while a PE server has PEs to start
        self._pe_pipe: Any = None  # as long as there is a PE server
        self._kills_before = out_of_memory_kills()

    def start_fork_server(self, preload: str = "", members: Iterable[str] = (), options: str = "") -> None:
        """Start the fork server, if there is none; it imports the module `preload`, and `members`, modules of neuron models and
        weight formats, so that no child need do it. `options`: of the run, as JSON: one that will be refused has nothing compiled.

        HostError, one line, where the system does not let it.
        """
        self._fork_server.start(preload, members, options)

    def may_stand_still(self, stall_s: float) -> None:
        """Set how long the fork server may stand still while it is waited for."""
        self._fork_server.stall_s = stall_s

    def make_folder(self, name: str) -> Path:
        """Make a private folder, which is removed also where this process is killed: the fork server does it."""
        return make_folder(name)

    def open_pipe(self, name: str) -> tuple[Any, Any]:
        """Return both ends of a new pipe, this process's first; `poll` returns `name` when that one is readable."""
        own_end, child_end = self._fork_server.open_pipe()
        self.watch(own_end, name)
        self._pipes.append(own_end)
        return own_end, child_end

    def close_pipe(self, own_end: Any) -> None:
        """Close this process's end of a pipe."""
        self.unwatch(own_end)
        self._pipes.remove(own_end)
        own_end.close()

    def watch(self, readable: Any, name: str) -> None:
        """Let `poll` also return `name` when this file descriptor is readable."""
        self._selector.register(readable, selectors.EVENT_READ, (name,))

    def unwatch(self, readable: Any) -> None:
        """Undo `watch`."""
        self._selector.unregister(readable)

    def start(self, name: str, target: Callable[..., None], *args: Any, **named: Any) -> None:
        """Start a process; HostError, one line, where the fork server is gone or stands still, or the system refuses."""
        self._add(self._fork_server.fork(name, target, args, named))

    def start_pes(self, pes: PeCalls, stop: Callable[[], bool]) -> None:
        """Have PEs started, in order, by a PE server; `poll` notes who has been. HostError as `start`, here or there.

        Where the system has no descriptors of processes, they are started here one after another, until `stop` returns True.
        """
        if not has_descriptors():
            for call in pes.calls:
                if stop():
                    return
                self.start(call.name, run_pe, pes._replace(calls=(call,), samples=()))
            return
        self._pe_pipe, child_end = self._fork_server.open_pipe()
        try:
            self.start(PE_SERVER, run_pe_server, child_end)
        finally:
            child_end.close()
        self._starts = PeStarts(self._pe_pipe, (call.name for call in pes.calls))
        self._selector.register(self._pe_pipe, selectors.EVENT_READ, self._starts)
        try:
            self._starts.ask(pes, self._fork_server.stall_s)
        except BlockingIOError:
            self._children[PE_SERVER].kill()
            what = f"stalled: the PE server did not hear which PEs to start for {self._fork_server.stall_s:.0f} s"
            raise HostError(what, Exit.STALLED) from None

    @property
    def starts_pes(self) -> bool:
        """Whether there are PEs still to be started, and the PE server has used processor time since this was last asked."""
        if self._starts is None:
            return False
        before_s, self._starts.worked_s = self._starts.worked_s, self.worked_s(PE_SERVER)
        return self._starts.worked_s > before_s

    def _take_starts(self, starts: PeStarts) -> None:
        try:
            for name, pid in starts.take():
                self._add(Child(name, pid))
        except OSError as error:
            self._forget_starts()
            raise self._fork_server.failed_start(next(iter(starts.names), PE_SERVER), error) from error
        if not starts.names:
            self._forget_starts()

    def _forget_starts(self) -> None:
        if self._starts is not None:
            self._selector.unregister(self._starts.pipe)
            self._starts = None

    def _end_pe_server(self) -> None:
        """End the PE server, behind its PEs, whose ends it asks for first, so that nobody need."""
        self._forget_starts()
        if self._pe_pipe is not None:
            self._pe_pipe.close()
            self._pe_pipe = None
        server = self._children.pop(PE_SERVER, None)
        if server is not None:
            server.has_ended(_REAP_S)
            server.kill()
            server.has_ended(_LEAVE_S)
            if PE_SERVER not in self._ended:
                self._selector.unregister(server)
            self._ended.discard(PE_SERVER)
            server.release()

    def _add(self, child: Child) -> None:
        self._children[child.name] = child
        if child.is_gone:
            self._ended.add(child.name)
            return
        self._selector.register(child, selectors.EVENT_READ, child.name)
        if child.name != PE_SERVER:
            self._on_start(child.name, child.pid)

    def drop(self, names: Collection[str]) -> None:
        """End these processes, as far as there are such, and forget them, so that others can have their names."""
        if PE_SERVER in names and self._starts is not None:
            self._children[PE_SERVER].kill()  # before it starts more
        children = [self._children.pop(name) for name in names if name in self._children and name != PE_SERVER]
        for child in children:
            if child.name not in self._ended:
                self._selector.unregister(child)
            child.kill()
        _wait_for_end(children, _LEAVE_S)
        for child in children:
            self._ended.discard(child.name)
            child.release()
        if PE_SERVER in names:
            self._end_pe_server()

    def poll(self, timeout_s: float) -> set[str]:
        """Note which processes have ended (asking each would cost too much), and which PEs have been started; return the names of
        pipes that are readable. HostError where a PE was to be started and could not be.
        """
        readable: set[str] = set()
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, PeStarts):
                self._take_starts(key.data)
            elif isinstance(key.data, tuple):
                readable |= {*key.data}
            else:
                self._selector.unregister(key.fileobj)
                self._ended.add(key.data)
        return readable

    def ended(self) -> list[str]:
        """Return the names of processes that have ended, in the order of their starts."""
        self.poll(0)
        return [name for name in self._children if name in self._ended] if self._ended else []

    def is_alive(self, name: str) -> bool:
        """Tell whether a process still runs."""
        return not self._children[name].has_ended()

    def is_stopped(self, name: str) -> bool:
        """Tell whether a process is stopped, as by SIGSTOP."""
        return name in self._children and is_stopped(self._children[name].pid)

    def is_at_work(self, name: str) -> bool:
        """Tell whether a process has something to do at this moment, or waits for a disk."""
        return name in self._children and is_at_work(self._children[name].pid)

    def worked_s(self, name: str) -> float:
        """Return the seconds of processor time that a process and its children have used; 0 for one that is not there."""
        return cpu_ticks_of(self._children[name].pid) / _TICKS_A_S if name in self._children else 0.0

    def stopped(self) -> list[str]:
        """Return the names of processes that are stopped now."""
        return [name for name in self._children if self.is_stopped(name)]

    def end_of(self, name: str, within_s: float = _DEATH_S) -> End:
        """Return whose end a process's was, its own or that of the fork server or the PE server, which take all of theirs with
        them; and how that one ended: by a signal, with what that hints at, or with an exit code.
        """
        child, server = self._children[name], self._children.get(PE_SERVER)
        code = child.exit_code(within_s)
        # Killed with the fork server, or just before it: the kernel ends that one within microseconds of its children.
        # A child that waits for its start ends in order where that one's end of the pipe is gone.
        limits_s = {UNKNOWN_CODE: _FORK_SERVER_DEATH_S, -signal.SIGKILL: _DEATH_S / 10, 0: _DEATH_S}
        if code in limits_s and child.is_of_pe_server and server is not None:  # which ends with the fork server, too
            return self.end_of(PE_SERVER) if server.has_ended(limits_s[code]) else End(name, self._describe_code(code))
        if code in limits_s and (how := self.fork_server_end(limits_s[code])):
            return End(FORK_SERVER, how)
        return End(name, self._describe_code(code))

    def has_left(self, name: str) -> bool:
        """Return whether a process has ended by itself, in order."""
        return self._children[name].exit_code(0.0) == 0

    def fork_server_end(self, within_s: float = 0.0) -> str:
        """Return how the fork server ended, "" where it runs (or there has been none), after waiting up to `within_s` for it."""
        return self._fork_server.end(within_s)

    def _describe_code(self, code: int | None) -> str:
        """Return an exit code in words; -n is signal n, as multiprocessing has it."""
        if code is None:
            return "how is not known"
        if code >= 0:
            return LACKS.get(code, f"exit code {code}")
        how = signal.Signals(-code).name
        if how == "SIGKILL" and out_of_memory_kills() > self._kills_before:
            return f"{how}: it ran past the container's memory limit"
        return how + (": it ran past its memory" if how in ("SIGSEGV", "SIGBUS") else "")

    def __len__(self) -> int:
        """Return how many processes have been started, beside those that only start others."""
        return len(self._children) - (PE_SERVER in self._children)

    def uss_bytes(self, leave_out: Iterable[str] = (), at_most: int = _MEASURED_PES) -> int | None:
        """Return the median unique set size of about `at_most` processes: what would be freed if one ended; None: not readable."""
        excluded = {PE_SERVER, *leave_out}
        pids = [child.pid for name, child in self._children.items() if name not in excluded]
        sizes = [size for pid in pids[:: 1 + len(pids) // at_most] if (size := uss_bytes(pid))]
        return int(statistics.median(sizes)) if sizes else None

    def cpu_s(self) -> float:
        """Return the CPU seconds that the processes that run have used."""
        return sum(cpu_s(child.pid) for child in self._children.values())

    def end(self, patience_s: float = _LEAVE_S) -> None:
        """End every process, after `patience_s` for those that are leaving, and wait until none is left.

        However many there are, that takes at most `patience_s` and three seconds more: the kernel is asked, not the fork server.
        """
        if self._starts is not None:
            self._children[PE_SERVER].kill()  # before it starts more
        children = [child for name, child in self._children.items() if name != PE_SERVER]
        _wait_for_end(children, patience_s)
        for child in children:
            child.kill()  # also ends one that is stopped
        _wait_for_end(children, _LEAVE_S)
        self._end_pe_server()
        self._fork_server.end_if_useless(is_cold=self.fork_server_is_cold)
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()
        for child in children:
            child.release()


def _wait_for_end(children: Iterable[Child], within_s: float) -> None:
    """Wait until all of them have ended, `within_s` for all together."""
    deadline = time.monotonic() + within_s
    for child in children:
        if not child.has_ended(deadline - time.monotonic()):
            return
