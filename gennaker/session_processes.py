"""The routers and PEs of a session, as its helper process starts, watches and ends them; the host is in the program itself."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from gennaker.records import read_record, send_record
from host.errors import Exit, HostError
from host.launch.obituary import cause_of_death
from host.options import RunOptions
from host.processes.backend import LocalBackend
from host.processes.kernel_view import StandstillClock
from host.processes.process_group import ProcessGroup
from host.processes.room import shortage_to_start
from host.run.clock import SYSTEM_CLOCK

_COMMANDS = "commands"
_LOOK_S, _DEATH_S, _LEAVE_S = 1.0, 0.5, 1.0


def serve_session(plan: dict[str, Any], commands: BinaryIO, records: BinaryIO) -> None:
    """Start what `plan` (`host/run/launch_plan.py`) asks for; end it when the program says so, or is gone."""
    group = ProcessGroup(stall_s=plan["stall_s"])
    patience_s, starting, standstill = 0.0, True, StandstillClock()
    try:
        problem = shortage_to_start()
        if problem:
            raise HostError(problem)
        group.start_fork_server("", plan["members"])
        options = RunOptions(transport=plan["transport"])
        backend = LocalBackend(group, options)
        backend.start_routers(plan)
        for record in backend.take_records():
            send_record(records, **record)
        group.watch(commands, _COMMANDS)
        parent, reported = os.getppid(), set[str]()
        while True:
            readable = group.poll(_LOOK_S)
            for name in group.ended():
                if name not in reported:
                    reported.add(name)
                    if group.has_left(name) and not group.fork_server_end():
                        continue  # the program has told it to, and may not have heard yet that it did
                    end, _ = cause_of_death(group.ended, {}, group, within_s=_DEATH_S, clock=SYSTEM_CLOCK)
                    send_record(records, "died", who=end.who, how=end.how)
            stopped = group.stopped() if starting else []  # later the program itself misses an answer
            if (stopped_s := standstill.look(bool(stopped))) > plan["stall_s"]:
                raise HostError(f"stalled: {', '.join(stopped[:3])} stopped while starting, for {stopped_s:.0f} s", Exit.STALLED)
            if _COMMANDS in readable:
                command = read_record(commands)
                if command is None or command["kind"] == "end":
                    patience_s = _LEAVE_S if command else 0.0
                    return
                if command["kind"] == "pes":
                    backend.start_pes(lambda: False)
                starting &= command["kind"] != "running"
            if os.getppid() != parent:
                return
    except HostError as error:
        send_record(records, "failed", problem=str(error), code=int(error.code if error.code else Exit.DIED))
        read_record(commands)
    finally:
        group.end(patience_s)
