"""`SimulatedGroup`: pretended processes, asked and commanded as `host/processes/process_group.py` is, and what they say."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from host.errors import Exit, HostError
from host.processes.fork_environment import LACKS, NO_ROUTER
from host.processes.pe_server import PeCall, PeCalls
from host.processes.process_group import FORK_SERVER, PE_SERVER, End
from noc.bad_links import BadLinks, LinkFaults
from noc.packet import chip_of, router_name
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.transport import Unreachable
from noc.wiring import Wiring
from pe.link import PeLink
from tests.tools.simulation.loaded import ReusedPe
from tests.tools.simulation.members import HostProcess, Member, Pipe, Process
from tests.tools.simulation.world import World

_FORK_S, _FORK_SERVER_S = 0.003, 0.3
_ROUTER_IDLE_S, _PE_IDLE_S, _BAD_IDLE_S = 0.5, 1.0, 0.01


class SimulatedGroup:
    """Processes in `world`. `delay_s`: of a message, on average; `subject`: what is run (`Subject`)."""

    PREPARE_S = 0.05

    def __init__(self, world: World, subject: Any, delay_s: float) -> None:
        self.world, self.subject, self._delay_s = world, subject, delay_s
        self._processes: dict[str, Process] = {}
        self._ended: list[str] = []
        self._news, self._set = False, 0  # of routers and PEs: those of another have other addresses
        self._pipes: dict[str, Pipe] = {}
        self._arrives_at: dict[tuple[str, str], float] = {}
        self._held: dict[str, deque[Callable[[], None]]] = {}  # for routers that are not up yet
        self._bad: dict[str, BadLinks] = {}
        self.fork_server = ""  # "": none yet, or how it is
        self._stall_s = subject.options.stall_s
        self.interrupt: Callable[[], None] = lambda: None  # looks whether the launcher is to be killed

    # --- what happens to processes ---

    def strike(self, victim: str, kind: str) -> bool:
        """Kill, stop or let go on a process, or the fork server; tell whether there was one to hit."""
        if victim == "the fork server":
            if self.fork_server not in ("runs", "stopped"):
                return False
            self.fork_server = {"kill": "SIGKILL", "stop": "stopped", "go on": "runs"}[kind]
            for process in [*self._processes.values()] if kind == "kill" else ():
                process.end(-signal.SIGKILL)
            return True
        process = self._processes.get(victim)
        if process is None or process.code is not None:
            return False
        {"kill": lambda: process.end(-signal.SIGKILL), "stop": process.stop, "go on": process.go_on}[kind]()
        return True

    def has_ended(self, name: str) -> None:
        """Note that a process has ended."""
        self._ended.append(name)
        self._news = True

    def names(self) -> list[str]:
        """Return who lives, but for who only starts others."""
        return [name for name, process in self._processes.items() if process.code is None and name != PE_SERVER]

    def end_pes(self) -> None:
        """End the PEs, as their parent's end does."""
        for name in [name for name in self._processes if name.startswith("PE(")]:
            self._processes[name].end(-signal.SIGKILL)

    def send(self, sender: str, destination: str, raw: bytes) -> None:
        """Put a message on its way, which keeps its order; Unreachable where nobody is there to take it."""
        there = self._processes.get(destination)
        if there is not None and there.code is not None:
            raise Unreachable(f"cannot reach {destination}: Host unreachable")
        if there is None and destination != router_name(chip_of(destination)):
            raise Unreachable(f"cannot reach {destination}: Host unreachable")
        router = sender if sender == router_name(chip_of(sender)) else destination
        bad = self._bad.get(router)
        for came in bad.through(sender, destination, raw) if bad else (raw,):
            self._carry(sender, destination, came)

    def _carry(self, sender: str, destination: str, raw: bytes) -> None:
        world, way = self.world, (sender, destination)
        at = max(self._arrives_at.get(way, 0.0), world.now() + world.chance.expovariate(1 / self._delay_s))
        self._arrives_at[way] = at
        to, of_set = self._processes.get(destination), self._set

        def arrive() -> None:
            there = to or self._processes.get(destination)
            if of_set != self._set:
                return
            if there is None:  # a router that is called before it is up
                self._held.setdefault(destination, deque()).append(arrive)
            elif there is self._processes.get(destination):
                there.hear(sender, raw)  # type: ignore[attr-defined]  # all that is sent to has it

        world.after(at - world.now(), arrive)

    def _release(self, bad: BadLinks) -> None:
        for held in bad.held_back():
            self._carry(*held)
        if bad in self._bad.values():
            self.world.after(_BAD_IDLE_S, lambda: self._release(bad))

    # --- the interface of a process group ---

    def start_fork_server(self, preload: str = "", members: Iterable[str] = (), options: str = "") -> None:
        """Start the fork server, if there is none."""
        if self.fork_server not in ("runs", "stopped"):
            self.world.sleep(_FORK_SERVER_S)
            self.fork_server = "runs"

    def open_pipe(self, name: str) -> tuple[Pipe, Pipe]:
        """Return both ends of a pipe."""
        own, child = Pipe(), Pipe()
        own.other, child.other = child, own
        own.wake = lambda: setattr(self, "_news", True)
        self._pipes[name] = own
        return own, _KeptOpen(child)  # type: ignore[return-value]  # the child has it, whoever else closes it

    def close_pipe(self, own_end: Pipe) -> None:
        """Close this process's end."""
        own_end.close()
        self._pipes = {name: pipe for name, pipe in self._pipes.items() if pipe is not own_end}

    def start(self, name: str, target: Callable[..., None], *args: Any, **named: Any) -> None:
        """Start a process; HostError, one line, where the fork server is gone or stopped."""
        self._need_fork_server(name)
        {"run_host": self._start_host, "run_router": self._start_router}[target.__name__](name, *args, **named)

    def _need_fork_server(self, name: str) -> None:
        self.world.sleep(_FORK_S)
        self.interrupt()
        if self.fork_server == "stopped":
            self.world.run(self.world.now() + self._stall_s + 0.1, lambda: self.fork_server != "stopped")
            if self.fork_server == "stopped":
                self.strike("the fork server", "kill")
                what = f"stalled: the fork server did not start {name} for {self._stall_s:.0f} s: it is stopped"
                raise HostError(what, Exit.STALLED)
        if self.fork_server != "runs":
            raise HostError(f"the fork server died while processes were started ({self.fork_server})", Exit.DIED)

    def start_pes(self, pes: PeCalls, stop: Callable[[], bool]) -> None:
        """Have PEs started one after another, by a PE server that is forked first; HostError as `start`."""
        self._need_fork_server(PE_SERVER)
        server = self._processes[PE_SERVER] = _PeServer(self, PE_SERVER)
        self._start_next_pe(server, pes, 0)

    starts_pes = False  # it takes no time that a run would notice

    def _start_next_pe(self, server: Process, pes: PeCalls, index: int) -> None:
        if index < len(pes.calls) and server.code is None:
            self._start_pe(pes.calls[index], pes.has_bad_link)
            self._news = True
            self.world.after(_FORK_S, lambda: server.act(lambda: self._start_next_pe(server, pes, index + 1)))

    def _start_host(self, name: str, pipe: Any, options: Any, folder: Any, content: Any, resume: bool) -> None:
        self._processes[name] = HostProcess(self, pipe.pipe, resume)

    def _start_router(
        self, name: str, own: str, scheme: str, addresses: Any, queue: int, entries: int, wiring: Any, *more: Any,
        bad: LinkFaults | None = None,
    ) -> None:  # fmt: skip
        way, core = Wiring(*wiring), ChipRouter(name, entries, Wiring(*wiring))
        links = RouterLinks(core, way, lingers=bad is not None)
        member = Member(self, name, links, _ROUTER_IDLE_S if bad is None else _BAD_IDLE_S, links.undelivered)
        self._processes[name] = member
        if bad is not None:
            self._bad[name] = BadLinks(bad, f"{name} {self.world.now()}")
            self._release(self._bad[name])
        member.boot()
        for arrive in self._held.pop(name, ()):
            arrive()

    def _start_pe(self, call: PeCall, has_bad_link: bool) -> None:
        name, router = call.name, call.router
        link = PeLink(ReusedPe(name, router, self.subject.loaded), router, lingers=has_bad_link)
        member = Member(self, name, link, _BAD_IDLE_S if has_bad_link else _PE_IDLE_S)
        self._processes[name] = member
        there = self._processes.get(router)
        if there is None or there.code is not None:  # the handshake fails, or nobody answers
            if self.world.chance.random() < 0.5:
                self.world.after(_FORK_S, lambda: member.act(lambda: member.end(NO_ROUTER)))
        else:
            member.boot()

    def drop(self, names: Iterable[str]) -> None:
        """End these processes and forget them."""
        self._set += 1
        for name in [name for name in names if name in self._processes]:
            self._processes.pop(name).end(-signal.SIGKILL)
            self._ended = [other for other in self._ended if other != name]
            self._bad.pop(name, None)
            self._held.pop(name, None)

    def poll(self, timeout_s: float) -> set[str]:
        """Let things happen until something can be read or has ended, or for so long."""
        readable = {name for name, pipe in self._pipes.items() if pipe.poll()}
        if not readable:
            self._news = False
            self.world.run(self.world.now() + timeout_s, lambda: self._news)
            readable = {name for name, pipe in self._pipes.items() if pipe.poll()}
        self.interrupt()
        return readable

    def ended(self) -> list[str]:
        """Return who has ended, in the order of their starts."""
        self.interrupt()
        return [name for name, process in self._processes.items() if process.code is not None]

    def is_alive(self, name: str) -> bool:
        """Tell whether a process still runs."""
        return self._processes[name].code is None

    def is_stopped(self, name: str) -> bool:
        """Tell whether a process is stopped."""
        return name in self._processes and self._processes[name].is_stopped

    def is_at_work(self, name: str) -> bool:
        """Tell that no process is: work takes no time here."""
        return False

    def worked_s(self, name: str) -> float:
        """Return the processor time of a process: none."""
        return 0.0

    def stopped(self) -> list[str]:
        """Return who is stopped."""
        return [name for name in self._processes if self.is_stopped(name)]

    def end_of(self, name: str, within_s: float = 0.0) -> End:
        """Return whose end a process's was, and how that one ended."""
        code = self._processes[name].code
        if code in (-signal.SIGKILL, 0) and (how := self.fork_server_end()):
            return End(FORK_SERVER, how)
        server = self._processes.get(PE_SERVER)
        if name.startswith("PE(") and code in (-signal.SIGKILL, 0) and server is not None and server.code is not None:
            name, code = PE_SERVER, server.code
        assert code is not None
        return End(name, signal.Signals(-code).name if code < 0 else LACKS.get(code, f"exit code {code}"))

    def has_left(self, name: str) -> bool:
        """Return whether a process has ended in order."""
        return self._processes[name].code == 0

    def fork_server_end(self, within_s: float = 0.0) -> str:
        """Return how the fork server ended; "" where it runs, or there has been none."""
        return "" if self.fork_server in ("", "runs", "stopped") else self.fork_server

    def __len__(self) -> int:
        """Return how many processes have been started, beside those that only start others."""
        return len(self._processes) - (PE_SERVER in self._processes)

    def uss_bytes(self, leave_out: Iterable[str] = (), at_most: int = 0) -> int | None:
        """Return nothing: no process has memory."""
        return None

    def end(self, patience_s: float = 0.0) -> None:
        """End every process, after `patience_s` for those that are leaving."""
        self.world.run(self.world.now() + patience_s, lambda: not self.names())
        self.kill_all()

    def kill_all(self) -> None:
        """End every process at once."""
        for process in [*self._processes.values()]:
            process.end(-signal.SIGKILL)
        if self.fork_server == "stopped":
            self.fork_server = "SIGKILL"


class _PeServer(Process):
    """The parent of all PEs."""

    def end(self, code: int) -> None:
        """End, and let PEs end with it."""
        super().end(code)
        self.group.end_pes()


class _KeptOpen:
    """The child's end of a pipe, as the parent has it: to close that one closes nothing."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    def close(self) -> None:
        """Close the parent's copy."""
