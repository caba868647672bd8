"""The agent: owns the routers and PEs of one machine, as the launcher does on its own. A process of its own under a worker.

It takes records on stdin and gives records on stdout (`host/cluster/framing.py`). Commands: `chips`, what to start here; `calls`,
addresses of routers on other machines; `pes`, start them; `here`, the launcher lives; `end`. What it says: `listening`,
`started`, `died`, `usage`, and what its routers say of their links. It ends when it is told to, when nothing is said to it
for `LEASE_S`, when stdin ends, or with its worker; and with it all that it has started. Not known here: the engine that
runs workers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Any

from host.cluster.framing import Records, framed
from host.errors import Exit
from host.processes.fork_environment import too_few_descriptors
from host.processes.parent_death import die_with, show_as
from host.processes.process_group import SIGNALS, Family
from noc.wire import pack_status, unpack_status

LEASE_S = 10.0  # without a word from the launcher
_LOOK_S = 0.1
_USAGE_EVERY_S = 1.0
_MEASURED_PES = 8
_STDIN = "stdin"
_PIECE_BYTES = 1 << 16


_output = 1  # what only this file writes to: whatever children print goes where errors go


class Agent:
    """One machine's part of a run."""

    def __init__(self) -> None:
        self._family = Family(self._note_start)
        self._pids: dict[str, int] = {}
        self._pipes: dict[str, Any] = {}
        self._chips: dict[str, Any] = {}
        self._addresses: dict[str, str] = {}
        self._listening: dict[str, int] = {}
        self._told_dead: set[str] = set()
        self._records = Records()
        self._ends = False
        self._next_usage = 0.0
        self._patience_s = 0.0
        self._heard_at = time.monotonic()

    def run(self) -> None:
        """Work until the end."""
        self._family.hear(sys.stdin.fileno(), _STDIN)
        try:
            while not self._ends:
                for name in self._family.look(_LOOK_S):
                    self._hear(name)
                self._tell_dead()
                self._tell_usage()
                self._ends |= time.monotonic() - self._heard_at > LEASE_S
            self._see_off()
        except BrokenPipeError:
            pass  # the worker is gone
        finally:
            self._family.end(0.0)

    def _see_off(self) -> None:
        """Give those that are leaving a moment, and routers the word on their links that they leave with."""
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline and len(self._family.dead()) < len(self._family):
            for name in self._family.look(_LOOK_S / 10):
                self._hear(name)
        for name in self._pipes:
            self._hear(name)

    def _hear(self, name: str) -> None:
        if name == _STDIN:
            piece = os.read(sys.stdin.fileno(), _PIECE_BYTES)
            self._heard_at = time.monotonic()
            if not piece:
                self._ends = True
                self._family.deafen(sys.stdin.fileno())
            for record in self._records.feed(piece):
                self._obey(record)
            return
        pipe = self._pipes[name]
        try:
            while pipe.poll():
                self._from_router(name, unpack_status(pipe.recv_bytes()))
        except (EOFError, OSError):
            with contextlib.suppress(KeyError):  # its death is told by its sentinel
                self._family.deafen(pipe)

    def _obey(self, record: dict[str, Any]) -> None:
        kind = record["kind"]
        if kind == "chips":
            self._chips = record
            self._start_routers()
        elif kind == "calls":
            for pipe in self._pipes.values():
                pipe.send_bytes(pack_status({"addresses": record["addresses"]}))
        elif kind == "pes":
            self._start_pes()
        elif kind == "end":
            self._ends, self._patience_s = True, float(record.get("patience_s", 0.0))

    # -- start ------------------------------------------------------------------------------------------------------------------

    def _start_routers(self) -> None:
        chips = self._chips
        short = too_few_descriptors(len(chips["pes"]))
        if short:
            return _say("refused", text=short, code=int(Exit.DOES_NOT_FIT))
        self._family.ready()
        from host.processes.child_main import run_router
        from noc.transport_zmq import new_address

        self._addresses = {router["name"]: new_address() for router in chips["routers"]}
        for router in chips["routers"]:
            name = router["name"]
            abroad = None
            if router["beyond"]:
                self._pipes[name], theirs = self._family.pipe(name)
                abroad = (theirs, chips["keys"], chips["listening"], router["beyond"])
            self._family.start(
                name, run_router, name, self._addresses, chips["queue"], chips["table_entries"], tuple(router["wiring"]),
                router["slow"], abroad, chips["store"],
            )  # fmt: skip
            if abroad:
                theirs.close()
        self._tell_starts()
        self._tell_listening()
        self._heard_at = time.monotonic()  # loading what children need may have taken long
        return None

    def _start_pes(self) -> None:
        from host.processes.child_main import run_pe

        for pe in self._chips["pes"]:
            router = pe["router"]
            self._family.start(pe["name"], run_pe, pe["name"], router, self._addresses[router], pe["slow_s"])
        self._tell_starts()

    # -- say --------------------------------------------------------------------------------------------------------------------

    def _from_router(self, name: str, record: dict[str, Any]) -> None:
        if record["kind"] == "listening":
            self._listening[name] = record["port"]
            self._tell_listening()
        else:
            _say(**record)

    def _tell_listening(self) -> None:
        if len(self._listening) == len(self._pipes):
            _say("listening", ports=self._listening)

    def _note_start(self, name: str, pid: int) -> None:
        self._pids[name] = pid

    def _tell_starts(self) -> None:
        _say("started", pids=self._pids)
        self._pids = {}

    def _tell_dead(self) -> None:
        for name in self._family.dead():
            if name not in self._told_dead and not self._ends:
                self._told_dead.add(name)
                _say("died", name=name, how=self._family.how(name, 0.5))

    def _tell_usage(self) -> None:
        now = time.monotonic()
        if now >= self._next_usage and len(self._family):
            cost = -time.process_time()
            routers = [router["name"] for router in self._chips["routers"]]
            uss, cpu_s = self._family.uss_bytes(routers, _MEASURED_PES), self._family.cpu_s()
            cost += time.process_time()
            self._next_usage = now + max(_USAGE_EVERY_S, 50 * cost)  # a thousand processes are looked at less often
            _say("usage", processes=len(self._family), pe_uss_bytes=uss, cpu_s=cpu_s)


def _say(kind: str, **record: Any) -> None:
    raw = framed({"kind": kind, **record})
    while raw:
        raw = raw[os.write(_output, raw) :]


def main() -> None:
    """Run an agent under the worker whose process id is the first argument."""
    global _output  # noqa: PLW0603 - set once, before anything runs
    _output = os.dup(1)
    os.dup2(2, 1)
    die_with(int(sys.argv[1]))
    show_as("agent")
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # its worker ends it
    Agent().run()


if __name__ == "__main__":
    main()
