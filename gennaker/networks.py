"""The routers and PEs of a session: in this process, or processes of their own behind a helper."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gennaker.errors import RunError, explained, in_python
from gennaker.helper import Helper
from host.errors import Exit
from host.launch.obituary import death_line
from host.options import transport_named
from host.processes.process_group import End
from host.run.run import Run
from noc.memory_chip import MemoryChip
from noc.packet import HOST, Outgoing
from noc.serve import post
from noc.transport import Transport, TransportError
from noc.wire import WireError, decode
from pe.compiled_columns import CompiledColumns
from pe.core import Pe

_POLL_S = 0.05
_ASK_AFTER_S = 1.0
_DEATH_S = 1.0  # in which the death behind a fault is told
_ANSWER_S = 0.5
_START_S = 600.0  # kernels may be compiled first


class NetworkHere:
    """All routers and PEs in this process, by a transport without processes."""

    def __init__(self, run: Run, transport: str) -> None:
        self._run, placement = run, run.placement
        self._network = transport_named(transport).network(None)
        chip = MemoryChip(
            host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
            pes=[placed.name for placed in placement.pes], make_pe=Pe, network=self._network, make_columns=CompiledColumns,
        )  # fmt: skip
        chip.boot_routers(run.begin(), run.settle)
        chip.boot_pes(run.settle)

    def drive(self, outgoing: Outgoing, until: Callable[[], bool], patience_s: float) -> None:
        """Send what the host says, and deliver until nothing is under way, when `until` holds; RunError where it does not."""
        self._network.post(HOST, outgoing)
        self._network.run(self._run.settle)
        if not until() and self._run.fault is None:
            raise RunError(f"the network came to rest at tick {self._run.completed} without an answer", int(Exit.FAULT))
        del patience_s

    def close(self) -> None:
        """Nothing is left: it was memory."""


class NetworkOfProcesses:
    """A process for each router and PE, started and ended by a helper; this process is the host.

    `plan`: what the helper must know of the mapping (`host/run/launch_plan.py`). `stall_s`: how long a process may be stopped.
    """

    def __init__(self, run: Run, plan: dict[str, Any], transport: str, stall_s: float) -> None:
        self._run, self._asked_at, self._phase = run, 0.0, run.phase
        self._way: Transport | None = None
        self._helper = Helper(stall_s)
        try:
            self._helper.send("session", **plan, transport=transport, stall_s=stall_s)
            record = self._next_record(_START_S)
            self._way = transport_named(transport).connect(
                HOST, record["address"], record["queue"], peer=run.routers[-1], identity=record["identity"]
            )
            self.drive(run.begin(), lambda: run.phase == "loading", _START_S)
            self._helper.send("pes")
            self.drive([], lambda: run.phase == "running", _START_S)
            self._helper.send("running")
        except BaseException:
            self.close()
            raise

    def _next_record(self, timeout_s: float) -> dict[str, Any]:
        record = self._receive(timeout_s)
        if record is None:
            raise RunError(f"stalled: nothing was started within {timeout_s:.0f} s", int(Exit.STALLED))
        if record["kind"] in ("died", "failed"):
            raise self._error(record)
        return record

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the helper's next record, None after `timeout_s`; RunError where the helper itself is gone or stands still."""
        with explained():
            return self._helper.receive(timeout_s)

    def drive(self, outgoing: Outgoing, until: Callable[[], bool], patience_s: float) -> None:
        """Send what the host says, and take what comes, until `until` holds.

        RunError where a process died, or none has said anything for `patience_s` seconds.
        """
        run, way = self._run, self._way
        assert way is not None
        try:
            post(way, outgoing)
            moved: tuple[Any, ...] = ()  # of no moment yet: to look costs a tick's time, and is for who waits in vain
            moved_at = time.monotonic()
            while not until():
                self._phase = run.phase  # before a fault, which may be the death of another
                received = way.receive(_POLL_S)
                if received is None:
                    if (mark := self._mark()) != moved:
                        moved, moved_at = mark, time.monotonic()
                    self._look_after(time.monotonic() - moved_at, patience_s)
                    continue
                try:
                    out = run.handle(received[0], decode(received[1]))
                except WireError as error:
                    out = run.malformed(received[0], str(error))
                if out:
                    post(way, out)
                out = run.settle()
                if out:
                    post(way, out)
                if run.fault is not None:
                    # A router may miss a PE before its death is told, which is the cause.
                    if (record := self._receive(_DEATH_S)) is not None:
                        raise self._error(record)
                    return
        except TransportError as error:
            raise RunError(f"stalled: {error}", int(Exit.STALLED)) from None

    def _mark(self) -> tuple[Any, ...]:
        """Return what changes while anything goes on: what a router says of who is missing is no progress."""
        run = self._run
        return run.phase, run.completed, len(run.pids), run.accounted, tuple(run.states.values())

    def _look_after(self, waited_s: float, patience_s: float) -> None:
        """Raise RunError where a process is known to have died, or too long nothing has come."""
        run, way = self._run, self._way
        assert way is not None
        record = self._receive(0.0)
        if record is not None:
            raise self._error(record)
        now = time.monotonic()
        if waited_s > min(_ASK_AFTER_S, patience_s / 2) and run.phase == "running" and now - self._asked_at > _ASK_AFTER_S:
            self._asked_at = now
            post(way, run.query())
        if waited_s > patience_s + _ANSWER_S:
            run.overdue.mark_silent_routers()
            missing = run.oldest_missing()
            who = (
                f"{', '.join(missing[1][:3])} did not send the batch of tick {missing[0]}"
                if missing
                else f"no answer while {run.phase}"
            )
            raise RunError(f"stalled: {who} for {waited_s:.0f} s", int(Exit.STALLED))

    def _error(self, record: dict[str, Any]) -> RunError:
        if record["kind"] == "failed":
            return RunError(in_python(record["problem"]), int(record.get("code", Exit.DIED)))
        when = f"while {self._phase.upper()}, at tick {self._run.completed}"
        return RunError(death_line(End(record["who"], record["how"]), when), int(Exit.DIED))

    def close(self) -> None:
        """End every process."""
        if self._way is not None:
            self._way.close()
            self._way = None
        self._helper.end()
