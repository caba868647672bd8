"""The program that is hit: `launch.py`'s commands, which says at each moment of its life that it is there.

It writes a line a moment to the descriptor that it was given, and waits for an answer where the nemesis has asked for that.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import Any

TALK = "GENNAKER_NEMESIS_TALK"  # two descriptors, to read and to write, the moment to wait at, and the share of a run
_WAIT_S = 20.0  # for a nemesis that is gone


class Talk:
    """What the nemesis is told, and where it is waited for."""

    def __init__(self) -> None:
        reading, writing, self._moment, share = os.environ[TALK].split(",")
        self._reading, self._writing, self.share = int(reading), int(writing), float(share)
        self._seen: set[str] = set()

    def tell(self, moment: str) -> None:
        """Say that a moment has come, the first time that it does; wait where the nemesis strikes at it."""
        if moment in self._seen:
            return
        self._seen.add(moment)
        os.write(self._writing, f"{moment} {time.monotonic()}\n".encode())
        if moment == self._moment and select.select([self._reading], [], [], _WAIT_S)[0]:
            os.read(self._reading, 1)

    def told_of_status(self, status: dict[str, Any]) -> None:
        """Say what a host's status tells: its phase, and when the drawn share of the run is done."""
        phase = status.get("phase", "")
        if phase in ("loading", "running", "reading"):
            self.tell(phase)
        if phase == "running" and status.get("done", 0) >= self.share * status.get("total", 1):
            self.tell("tick")


def kind_of(name: str) -> str:
    """Return the kind of process that a process's name tells."""
    return name if name == "host" else "router" if name.startswith("router") else "PE"


def tap_launcher(talk: Talk) -> None:
    """Let the launcher of this process tell its moments."""
    from host.launch import launcher
    from host.processes.process_group import PE_SERVER, ProcessGroup

    start, start_pes, add, fork = (
        ProcessGroup.start, ProcessGroup.start_pes, ProcessGroup._add, ProcessGroup.start_fork_server,
    )  # fmt: skip
    on_record, send, end = launcher.Launcher._on_record, launcher.Launcher._send, launcher.Launcher._end
    pes: list[str] = []

    def start_and_tell(self: Any, name: str, *rest: Any, **named: Any) -> None:
        if name == PE_SERVER:  # `start_pes` tells
            return start(self, name, *rest, **named)
        kind = kind_of(name)
        talk.tell(f"starting {kind}")
        start(self, name, *rest, **named)
        talk.tell(f"start {kind}")
        return None

    def start_pes_and_tell(self: Any, *arguments: Any) -> None:
        talk.tell("starting PE")
        start_pes(self, *arguments)

    def add_and_tell(self: Any, child: Any) -> None:
        add(self, child)
        if child.name.startswith("PE("):
            pes.append(child.name)
            if len(pes) > int(talk.share * 20):
                talk.tell("start PE")

    def fork_and_tell(self: Any, *arguments: Any, **named: Any) -> None:
        fork(self, *arguments, **named)
        talk.tell("forked")

    def tell_record(self: Any, record: dict[str, Any]) -> Any:
        kind = record["kind"]
        if kind == "status":
            talk.told_of_status(record)
        elif kind in ("mapped", "routed", "report"):
            talk.tell(kind)
        return on_record(self, record)

    def send_and_tell(self: Any, kind: str, **record: Any) -> None:
        send(self, kind, **record)
        if kind == "stop":
            talk.tell("stop")
        elif kind == "routers":
            talk.tell("attended")

    def end_and_tell(self: Any) -> None:
        talk.tell("end")
        end(self)
        talk.tell("ended")

    ProcessGroup.start, ProcessGroup.start_fork_server = start_and_tell, fork_and_tell  # type: ignore[method-assign]
    ProcessGroup.start_pes, ProcessGroup._add = start_pes_and_tell, add_and_tell  # type: ignore[method-assign]
    launcher.Launcher._on_record, launcher.Launcher._send = tell_record, send_and_tell  # type: ignore[method-assign]
    launcher.Launcher._end = end_and_tell  # type: ignore[method-assign]


if __name__ == "__main__":
    from host.cli import main

    tap_launcher(Talk())
    raise SystemExit(main(sys.argv[1:]))
