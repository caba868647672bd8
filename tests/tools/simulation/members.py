"""What is pretended to be a process: a router or a PE (its core and its links), and the host, which waits."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from host.run.host_process import HostLoop
from noc.packet import HOST, Outgoing
from noc.serve import LinkedCore
from noc.transport import Unreachable
from noc.wire import encode, pack_status, unpack_status
from tests.tools.simulation.world import Fiber

if TYPE_CHECKING:
    from tests.tools.simulation.processes import SimulatedGroup


class Process:
    """A process by name: it runs, is stopped, or has ended with a code."""

    def __init__(self, group: SimulatedGroup, name: str) -> None:
        self.group, self.name, self.code, self.is_stopped = group, name, None, False
        self.code: int | None
        self._while_stopped: list[Callable[[], None]] = []

    def act(self, what: Callable[[], None]) -> None:
        """Do something, if the process lives: at once, or when it goes on."""
        if self.code is None:
            if self.is_stopped:
                self._while_stopped.append(what)
            else:
                what()

    def stop(self) -> None:
        """Stop it, as SIGSTOP does."""
        self.is_stopped = self.code is None

    def go_on(self) -> None:
        """Let it go on, as SIGCONT does."""
        self.is_stopped = False
        waiting, self._while_stopped = self._while_stopped, []
        for what in waiting:
            self.act(what)

    def end(self, code: int) -> None:
        """End with an exit code, -n by signal n."""
        if self.code is None:
            self.code, self.is_stopped = code, False
            self.group.has_ended(self.name)


class Member(Process):
    """A router or a PE: `core` with its links. After a while without any message (`idle_s`) it asks for what may be lost."""

    def __init__(self, group: SimulatedGroup, name: str, core: Any, idle_s: float, undelivered: Any = None) -> None:
        super().__init__(group, name)
        self.core: LinkedCore = core
        self._idle_s, self._undelivered, self._heard_at = idle_s, undelivered, group.world.now()
        self._look()

    def boot(self) -> None:
        """Say what it says when it is up; a socket that calls somebody who is gone keeps that, and nobody hears it."""
        for names, message in self.core.boot():  # type: ignore[attr-defined]  # both have it
            self._chat([((name,), message) for name in names])

    def hear(self, sender: str, raw: bytes) -> None:
        """Take a message, whenever it does."""
        self.act(lambda: self._handle(sender, raw))

    def _handle(self, sender: str, raw: bytes) -> None:
        self._heard_at = self.group.world.now()
        try:
            self._post(self.core.handle_bytes(sender, raw))
        except Unreachable as error:
            if self._undelivered is None:
                return  # a PE's socket says nothing: its launcher knows why the router is gone
            with contextlib.suppress(Unreachable):
                self._post(self._undelivered(str(error)))
        self._chat(self.core.take_chatter())
        if self.core.done:
            self.end(0)

    def _look(self) -> None:
        def look() -> None:
            if self.group.world.now() - self._heard_at >= self._idle_s:
                self._chat(self.core.idle())
                if self.core.done:
                    self.end(0)

        if self.code is None:
            self.act(look) if not self.is_stopped else None
            self.group.world.after(self._idle_s, self._look)

    def _post(self, outgoing: Outgoing) -> None:
        for names, message in outgoing:
            raw = message if isinstance(message, bytes) else encode(message)
            for name in names:
                self.group.send(self.name, name, raw)

    def _chat(self, chatter: Outgoing) -> None:
        for one in chatter:
            with contextlib.suppress(Unreachable):
                self._post([one])


class Pipe:
    """One end of a pipe. `wake` is called where something comes, or the other end goes."""

    def __init__(self) -> None:
        self.records: deque[bytes] = deque()
        self.other: Pipe | None = None
        self.is_closed = False
        self.wake: Callable[[], None] = lambda: None
        self.wait: Callable[[], None] = lambda: None

    def send_bytes(self, raw: bytes) -> None:
        """Send a record; BrokenPipeError where the other end is closed."""
        if self.other is None or self.other.is_closed:
            raise BrokenPipeError
        self.other.records.append(raw)
        self.other.wake()

    def poll(self) -> bool:
        """Tell whether something waits, be it the end."""
        return bool(self.records) or self.other is None or self.other.is_closed

    def recv_bytes(self) -> bytes:
        """Return the next record, waiting for it; EOFError where there is none any more."""
        while not self.records:
            if self.other is None or self.other.is_closed:
                raise EOFError
            self.wait()
        return self.records.popleft()

    def close(self) -> None:
        """Close this end."""
        if not self.is_closed:
            self.is_closed = True
            if self.other is not None:
                self.other.wake()


class HostProcess(Process):
    """The host: its own loop, whose waits are pretended. It is a transport, too."""

    def __init__(self, group: SimulatedGroup, pipe: Pipe, resume: bool) -> None:
        super().__init__(group, HOST)
        self._pipe, self._resume, self._inbox, self._router = pipe, resume, deque[tuple[str, bytes]](), ""
        self._fiber = Fiber(self._work)
        self._waits_for, self._wait = "", 0  # commands or messages, and which wait it is
        pipe.wake = lambda: self._wake("commands", self._wait)
        pipe.wait = lambda: self._sleep("commands")
        group.world.after(group.PREPARE_S, lambda: self.act(self._fiber.resume))

    def _work(self) -> None:
        with contextlib.suppress(BrokenPipeError, EOFError):
            SimulatedHostLoop.begin(self, self._pipe, self._resume)
        self.end(0)

    def _sleep(self, what: str) -> None:
        self._waits_for = what
        self._fiber.wait()
        self._waits_for = ""

    def _wake(self, what: str, wait: int) -> None:
        def wake() -> None:
            if self._waits_for == what and self._wait == wait:
                self._wait += 1
                self._fiber.resume()

        self.act(wake)

    def hear(self, sender: str, raw: bytes) -> None:
        """Take a message, whenever it does."""
        self._inbox.append((sender, raw))
        self._wake("messages", self._wait)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next message, or None after `timeout_s` pretended seconds."""
        if not self._inbox:
            wait = self._wait
            self.group.world.after(timeout_s, lambda: self._wake("messages", wait))
            self._sleep("messages")
        return self._inbox.popleft() if self._inbox else None

    def send(self, destination: str, raw: bytes) -> None:
        """Send to the router."""
        with contextlib.suppress(Unreachable):
            self.group.send(HOST, destination, raw)

    def close(self) -> None:
        """Forget what has come from processes that are gone."""
        self._inbox.clear()

    def end(self, code: int) -> None:
        """End with an exit code; its end of the pipe closes."""
        if self.code is None:
            super().end(code)
            self._pipe.close()
            if code:
                self._fiber.kill()


class SimulatedHostLoop(HostLoop):
    """The host's loop over a pretended transport. Its report has what is compared, and nothing is priced."""

    process: HostProcess

    @classmethod
    def begin(cls, process: HostProcess, pipe: Pipe, resume: bool) -> None:
        """Do what `host.run.host_process.drive` does."""
        job, run, journal, plan = process.group.subject.prepare(resume=resume)
        pipe.send_bytes(pack_status({"kind": "mapped", **plan}))
        loop = cls(pipe, job, run, None, None, None, journal, process.group.world)
        loop.process = process
        loop.run_processes()

    def _connect(self, command: dict[str, Any]) -> Any:
        return self.process

    def _status(self) -> dict[str, Any]:
        run = self._run
        states = {name: state.value for name, state in run.states.items()} if run.phase != "running" else {}
        return {"phase": run.phase, "tick": run.completed, "states": states}

    def _send_report(self, problem: str | None, code: Any = 0) -> None:
        run = self._run
        report = {
            "events": run.events.report(), "conservation": run.conservation() if run.accounted else None,
            "partial": problem is not None or run.interrupted, "emulation": {"units": 0, "run_s": 0.0},
        }  # fmt: skip
        self._send(
            "failed" if problem else "report", report=report, problem=problem, code=int(code), mismatch=None, tick=run.completed,
            interrupted=run.interrupted,
        )  # fmt: skip


def commands_of(pipe: Pipe) -> list[dict[str, Any]]:
    """Return the records that wait in a pipe."""
    return [unpack_status(raw) for raw in pipe.records]
