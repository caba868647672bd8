"""The agent: starts and owns the routers and PEs of one machine, in a process of its own under a Dask worker.

It reads commands from stdin and writes records to stdout (`host/cluster/framing.py`). Commands: `chips`, what to start here;
`calls`, addresses of routers on other machines; `pes`, start them; `alive`, the launcher lives; `end`. Records: `listening`,
`started`, `died`, `usage`, and what its routers report of their links. It ends on command, after `LEASE_S` without one, when
stdin ends, or with its worker; and with it all that it has started.
"""

import contextlib
import os
import signal
import sys
import time
from typing import Any

from host.cluster.framing import RecordReader, frame_record
from host.errors import Exit, HostError
from host.options import transport_named
from host.processes.fork_environment import reserve_descriptors
from host.processes.fork_server_link import SIGNALS
from host.processes.parent_death import die_with, set_process_name
from host.processes.pe_server import PeCall, PeCalls
from host.processes.process_group import ProcessGroup
from noc.identities import identity_of, new_secret
from noc.wire import pack_status, unpack_status

LEASE_S = 10.0  # without a command from the launcher
_LOOK_S = 0.1
_USAGE_EVERY_S = 1.0
_MEASURED_PES = 8
_STDIN = "stdin"
_PIECE_BYTES = 1 << 16
_output = 1  # only this file writes to it: what children print goes to stderr


class Agent:
    """The routers and PEs of one machine."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._processes = ProcessGroup(self._pids.__setitem__)
        self._pipes: dict[str, Any] = {}
        self._chips: dict[str, Any] = {}
        self._addresses: dict[str, str] = {}
        self._secret = new_secret()  # of its routers and PEs; between machines CURVE holds names
        self._listening: dict[str, int] = {}
        self._reported_dead: set[str] = set()
        self._records = RecordReader()
        self._ends = False
        self._next_usage = 0.0
        self._patience_s = 0.0
        self._commanded_at = time.monotonic()

    def run(self) -> None:
        """Work until the end."""
        self._processes.watch(sys.stdin.fileno(), _STDIN)
        try:
            while not self._ends:
                for name in self._processes.poll(_LOOK_S):
                    self._read(name)
                if self._pids:
                    self._report_starts()
                self._report_dead()
                self._report_usage()
                self._ends |= time.monotonic() - self._commanded_at > LEASE_S
            self._drain()
        except BrokenPipeError:
            pass  # the worker is gone
        except HostError as error:  # no process can be started
            with contextlib.suppress(BrokenPipeError):
                _send("refused", text=str(error), code=int(error.code))
        finally:
            self._processes.end(0.0)

    def _drain(self) -> None:
        """Give processes that are leaving a moment, and read what routers last report of their links."""
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline and len(self._processes.ended()) < len(self._processes):
            for name in self._processes.poll(_LOOK_S / 10):
                self._read(name)
        for name in self._pipes:
            self._read(name)

    def _read(self, name: str) -> None:
        if name == _STDIN:
            piece = os.read(sys.stdin.fileno(), _PIECE_BYTES)
            if not piece:
                self._ends = True
                self._processes.unwatch(sys.stdin.fileno())
            for record in self._records.feed(piece):
                self._on_command(record)
            self._commanded_at = (
                time.monotonic()
            )  # to start hundreds of processes takes long, on a slow machine longer than a lease
            return
        pipe = self._pipes[name]
        try:
            while pipe.poll():
                self._on_router_record(name, unpack_status(pipe.recv_bytes()))
        except (EOFError, OSError):
            with contextlib.suppress(KeyError):  # its sentinel reports its death
                self._processes.unwatch(pipe)

    def _on_command(self, record: dict[str, Any]) -> None:
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

    def _start_routers(self) -> None:
        chips = self._chips
        problem = reserve_descriptors(len(chips["pes"]))
        if problem:
            return _send("refused", text=problem, code=int(Exit.DOES_NOT_FIT))
        self._processes.may_stand_still(chips["stall_s"])
        self._processes.start_fork_server(members=chips["members"])
        from host.processes.child_main import run_router

        scheme = transport_named(chips["transport"])
        self._addresses = {router["name"]: scheme.new_address() for router in chips["routers"]}
        for router in chips["routers"]:
            name = router["name"]
            remote = None
            if router["remote_peers"]:
                self._pipes[name], child_end = self._processes.open_pipe(name)
                remote = (child_end, chips["keys"], chips["listening"], router["remote_peers"])
            self._processes.start(
                name, run_router, name, chips["transport"], self._addresses, chips["queue"], chips["table_entries"],
                tuple(router["wiring"]), router["slow"], self._secret, chips["most_bytes"], remote, chips["store"],
                bad=chips["bad"],
            )  # fmt: skip
            if remote:
                child_end.close()
        self._report_starts()
        self._report_listening()
        return None

    def _start_pes(self) -> None:
        chips = self._chips
        calls = [
            PeCall(pe["name"], pe["router"], self._addresses[pe["router"]], identity_of(pe["name"], self._secret), pe["slow_s"])
            for pe in chips["pes"]
        ]
        self._processes.start_pes(
            PeCalls(chips["transport"], chips["queue"], chips["bad"] is not None, tuple(calls), tuple(chips["samples"])),
            stop=lambda: False,
        )

    def _on_router_record(self, name: str, record: dict[str, Any]) -> None:
        if record["kind"] == "listening":
            self._listening[name] = record["port"]
            self._report_listening()
        else:
            _send(**record)

    def _report_listening(self) -> None:
        if len(self._listening) == len(self._pipes):
            _send("listening", ports=self._listening)

    def _report_starts(self) -> None:
        _send("started", pids=self._pids)
        self._pids.clear()

    def _report_dead(self) -> None:
        for name in self._processes.ended():
            if name not in self._reported_dead and not self._ends:
                end = self._processes.end_of(name)
                if end.who not in self._reported_dead:
                    _send("died", name=end.who, how=end.how)
                self._reported_dead |= {name, end.who}

    def _report_usage(self) -> None:
        now = time.monotonic()
        if now >= self._next_usage and len(self._processes):
            began_s = time.process_time()
            routers = [router["name"] for router in self._chips["routers"]]
            uss, cpu_s = self._processes.uss_bytes(routers, _MEASURED_PES), self._processes.cpu_s()
            cost_s = time.process_time() - began_s
            self._next_usage = now + max(_USAGE_EVERY_S, 50 * cost_s)  # a thousand processes are looked at less often
            _send("usage", processes=len(self._processes), pe_uss_bytes=uss, cpu_s=cpu_s)


def _send(kind: str, **record: Any) -> None:
    raw = frame_record({"kind": kind, **record})
    while raw:
        raw = raw[os.write(_output, raw) :]


def main() -> None:
    """Run an agent under the worker whose process id is the first argument."""
    global _output  # noqa: PLW0603 - set once, before anything runs
    _output = os.dup(1)
    os.dup2(2, 1)
    die_with(int(sys.argv[1]))
    set_process_name("agent")
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # its worker ends it
    Agent().run()


if __name__ == "__main__":
    main()
