"""`Machines`: a crew on the workers of an engine. Places chips on them, has an agent start each one's routers and PEs, and knows
which machine is lost.

A machine is a worker: several on one computer are several machines. Chips go to workers in contiguous blocks, as evenly as
their declared resource `chips` allows. Not known here: Dask (`host/cluster/dask_client.py`), and what the launcher does with a
loss.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from host.cluster.cluster_config import parse_where
from host.cluster.dask_client import Engine
from host.cluster.source_hash import content_sha256
from host.cluster.worker_state import Machine, block, refusals, total_bytes
from host.errors import Exit, HostError
from host.mapping.chip_blocks import deal_chips
from host.options import RunOptions
from host.processes.backend import Plan
from host.run.content_store import Store
from noc.packet import HOST, chip_of, router_name
from noc.transport_tcp import REFUSALS, new_keys

_START_S = 15.0  # for a worker to begin, once it has been sent what it needs
_ROUTERS_S = 120.0  # for all routers to listen; kernels may have to be compiled first
_SEND_BYTES_S = 5e6  # a slow network, for the time that content may take
_LEAVE_S = 4.0
_NEWCOMERS_S = 10.0  # after a loss, for another worker to come


class Machines:
    """Routers and PEs on the workers of an engine.

    Args:
        options: of the run; `cluster` says which engine.
        stock: the folder in which the host leaves what PEs load.
        started: called with each process name and pid, as agents tell of them.

    """

    remote = True

    def __init__(self, options: RunOptions, stock: Path, started: Callable[[str, int], None]) -> None:
        assert options.cluster is not None
        self._options, self._stock, self._started = options, Store(stock), started
        self._run = secrets.token_hex(8)
        self._where = parse_where(options.cluster)
        workers = self._where.workers or max(len(self._where.hosts) - 1, 1)
        spare = 1 if options.restart and workers > 1 else 0  # so that the others can take over a lost one's chips
        self._engine = Engine(self._run, self._where, -(-options.chips // (workers - spare)))
        self._machines: dict[str, Machine] = {}
        self._before: list[dict[str, Any]] = []  # blocks of machines that are not in use any more
        self._known: dict[str, dict[str, Any]] = {}  # what workers have said of themselves
        self._lost: set[str] = set()
        self._plan: Plan = {}
        self._keys = new_keys()
        self._news: list[dict[str, Any]] = []
        self._due: tuple[float, str] | None = None  # until when what must have happened
        self._processes = 0
        self._host_traffic: dict[str, list[int]] = {}
        self._told_routers = False

    def open(self) -> None:
        """Connect, and compare the project's version on each worker; HostError where that cannot be."""
        from host.cluster import dask_worker as worker

        self._worker = worker
        self._engine.open()
        self._engine.keep(worker.command)
        self._meet(self._options.chips, self._where.wait_s)

    def fileno(self) -> int:
        """Return what becomes readable when there is news."""
        return self._engine.fileno()

    @property
    def starting(self) -> bool:
        """Whether routers are being started."""
        return bool(self._machines) and not self._told_routers

    # -- workers ----------------------------------------------------------------------------------------------------------------

    def _meet(self, chips: int, wait_s: float) -> None:
        """Wait until there are workers for `chips`; HostError where there are not, or where one has another version."""
        deadline = time.monotonic() + wait_s
        while True:
            there = [worker for worker in self._engine.workers() if worker not in self._lost]
            unknown = [worker for worker in there if worker not in self._known]
            if unknown:
                self._known |= self._introduced(self._engine.ask(self._worker.describe, workers=unknown))
            self._known = {worker: self._known[worker] for worker in there if worker in self._known}
            have = sum(about["chips"] for about in self._known.values())
            if have >= chips and (self._where.kind == "scheduler" or len(there) >= self._where.workers or wait_s < 1):
                return
            if time.monotonic() > deadline:
                if have >= chips:
                    return
                raise HostError(self._too_few(chips, have, len(there)), Exit.DOES_NOT_FIT)
            time.sleep(0.1)

    def _too_few(self, chips: int, have: int, workers: int) -> str:
        if not workers:
            return f"--cluster: no worker at {self._engine.address}; needs some with --resources 'chips=N', {chips} chips in all"
        have_it = f"{workers} workers at {self._engine.address} have chips={have} in all"
        return f"--cluster: {have_it} (dask worker --resources 'chips=N'); needs {chips}"

    def _introduced(self, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        ours, known = content_sha256(), {}
        for worker, answer in answers.items():
            if isinstance(answer, (ModuleNotFoundError, AttributeError)):
                why = f"the project cannot be imported there, or is another version ({answer})"
                raise HostError(f"worker {worker}: {why}; install the same one as here, {ours[:12]}")
            if isinstance(answer, Exception):
                continue  # it has just come or just gone: asked again, or not there the next time
            if answer["version"] != ours:
                version = answer["version"][:12]
                raise HostError(
                    f"worker {answer['name']} at {worker}: has version {version} of the project; needs {ours[:12]}, as here"
                )
            known[worker] = answer
        return known

    # -- start ------------------------------------------------------------------------------------------------------------------

    def start_routers(self, plan: Plan) -> None:
        """Place chips, ask each worker whether there is room, and have its agent start; HostError where there is none."""
        self._plan, self._told_routers = plan, False
        chips = sorted(chip_of(router["name"]) for router in plan["routers"])
        known = sorted(self._known.items(), key=lambda item: (str(item[1]["name"]).zfill(12), item[0]))
        known = [item for item in known if item[1]["chips"]]
        blocks = deal_chips(chips, [about["chips"] for _, about in known])
        self._machines = {
            worker: Machine(worker, about["name"], about["host"], about["chips"], block)
            for (worker, about), block in zip(known, blocks, strict=True)
            if block
        }
        pes = [pe["name"] for pe in plan["layout"]["pes"]]
        for machine in self._machines.values():
            machine.pes = sum(chip_of(pe) in machine.chips for pe in pes)
        contents = self._contents()
        self._check(contents)
        for worker, machine in self._machines.items():
            machine.stored_bytes = sum(map(len, contents[worker].values()))
            self._engine.attend(self._worker.attend, worker, len(machine.chips), self._orders(machine), contents[worker])
        most = max(machine.stored_bytes for machine in self._machines.values())
        self._due = (time.monotonic() + _START_S + most / _SEND_BYTES_S, "does not start: are its chips taken by another run?")

    def _contents(self) -> dict[str, dict[str, bytes]]:
        """Return what each worker lacks of what its PEs load, by SHA-256."""
        contents = {}
        for worker, machine in self._machines.items():
            wanted = {sha256 for pe, sha256 in self._plan["stored"].items() if chip_of(pe) in machine.chips}
            lacks = self._engine.ask(self._worker.missing, sorted(wanted), workers=[worker])[worker]
            if isinstance(lacks, Exception):
                raise HostError(f"{self._called(machine)} does not answer ({lacks})", Exit.DIED)
            contents[worker] = {sha256: self._stock[sha256] for sha256 in lacks}
        return contents

    def _check(self, contents: Mapping[str, Mapping[str, bytes]]) -> None:
        where = {"interface": self._where.transport.interface, "public": self._where.transport.public}
        for worker, machine in self._machines.items():
            stored = sum(map(len, contents[worker].values()))
            answer = self._engine.ask(
                self._worker.check, self._run, machine.pes, len(machine.chips), stored, where, workers=[worker]
            )[worker]  # fmt: skip
            problem = f"does not answer ({answer})" if isinstance(answer, Exception) else answer["problem"]
            if problem:
                what = f"{len(machine.chips)} chips with {machine.pes} PEs"
                raise HostError(f"{self._called(machine)} has no room for {what}: {problem}", Exit.DOES_NOT_FIT)
            machine.interface = answer["interface"]

    def _orders(self, machine: Machine) -> dict[str, Any]:
        """Return the command that has an agent start a machine's routers, and what it needs for its PEs."""
        faults, layout = self._options.faults, self._plan["layout"]
        routers = []
        for router in self._plan["routers"]:
            if chip_of(router["name"]) in machine.chips:
                up, _, calls, called_by = router["wiring"]
                beyond = {peer for peer in (up, *calls, *called_by) if peer == HOST or chip_of(peer) not in machine.chips}
                name = router["name"]
                routers.append({"name": name, "wiring": router["wiring"], "slow": faults.of_router(name), "beyond": sorted(beyond)})
        pes = [
            {"name": pe["name"], "router": router_name(chip_of(pe["name"])), "slow_s": faults.slow.get(pe["name"], 0.0)}
            for pe in layout["pes"]
            if chip_of(pe["name"]) in machine.chips
        ]
        return {
            "routers": routers, "pes": pes, "queue": self._plan["queue"], "table_entries": self._plan["table_entries"],
            "keys": list(self._keys), "listening": [machine.interface, *self._where.transport.ports],
        }  # fmt: skip

    def start_pes(self, stop: Callable[[], bool]) -> None:
        """Have each agent start its PEs."""
        if not stop():
            self._tell_all({"kind": "pes"})

    def _tell_all(self, record: dict[str, Any]) -> None:
        for worker in self._machines:
            self._engine.command(worker, self._worker.command, record)

    # -- what agents say --------------------------------------------------------------------------------------------------------

    def news(self) -> list[dict[str, Any]]:
        """Return what has happened since the last call."""
        now = time.monotonic()
        for record in self._engine.records():
            machine = self._machines.get(record.pop("machine"))
            if machine is not None:
                machine.heard = now
                self._hear(machine, record, now)
            elif record["kind"] == "gone" and not self._told("gone"):  # the scheduler, and all workers with it
                self._news.append({"kind": "gone", "problem": record["why"], "for_good": True})
        if self._due is not None and now > self._due[0]:
            late = next(m for m in self._machines.values() if not m.attended or m.ports is None)
            self._news.append({"kind": "failed", "problem": f"{self._called(late)} {self._due[1]}"})
            self._due = None
        news, self._news = self._news, []
        return news

    def _told(self, kind: str) -> bool:
        return any(record["kind"] == kind for record in self._news)

    def _hear(self, machine: Machine, record: dict[str, Any], now: float) -> None:
        match record["kind"]:
            case "attended":
                machine.attended = True
                if self._due is not None and all(m.attended for m in self._machines.values()):
                    self._due = (now + _ROUTERS_S, f"has not started its routers within {_ROUTERS_S:.0f} s")
            case "started":
                self._processes += len(record["pids"])
                machine.processes += len(record["pids"])
                for name, pid in record["pids"].items():
                    self._started(name, pid)
            case "listening":
                machine.ports = record["ports"]
                self._all_listening()
            case "usage":
                if machine.usage_at:
                    machine.load = max(record["cpu_s"] - machine.cpu_s, 0.0) / max(now - machine.usage_at, 1e-3)
                machine.cpu_s, machine.usage_at = max(record["cpu_s"], machine.cpu_s), now
                machine.pe_uss_bytes = record["pe_uss_bytes"] or machine.pe_uss_bytes
            case "traffic":
                machine.traffic[record["name"]] = {"bytes": record["bytes"], "refused": record["refused"]}
            case "died":
                self._news.append({"kind": "died", "name": record["name"], "how": record["how"]})
            case "refused":
                self._news.append(
                    {"kind": "failed", "problem": f"{self._called(machine)}: {record['text']}", "code": record["code"]}
                )
            case "cut":
                self._news.append({"kind": "cut", **record})
            case "left" | "gone":
                machine.left = True
                if machine.state != "ended":
                    why = record.get("why") or f"its agent ended (exit code {record['code']})"
                    machine.state = "lost"
                    self._lost.add(machine.worker)
                    self._news.append({"kind": "gone", "problem": self._loss(machine, why), "for_good": False})

    def _all_listening(self) -> None:
        """When every router listens, tell each where the others do, and the host where its own does."""
        if any(machine.ports is None for machine in self._machines.values()):
            return
        addresses = {
            name: f"tcp://{f'[{m.interface}]' if ':' in m.interface else m.interface}:{port}"
            for m in self._machines.values()
            for name, port in (m.ports or {}).items()
        }
        self._tell_all({"kind": "calls", "addresses": addresses})
        for machine in self._machines.values():
            machine.state = "up"
        self._due, self._told_routers = None, True
        address = addresses[self._plan["routers"][0]["name"]]
        self._news.append({"kind": "routers", "queue": self._plan["queue"], "address": address, "keys": list(self._keys)})

    # -- words ------------------------------------------------------------------------------------------------------------------

    def _called(self, machine: Machine) -> str:
        return f"worker {machine.name} on {machine.host} ({machine.worker})"

    def _loss(self, machine: Machine, why: str) -> str:
        first, last = machine.chips[0], machine.chips[-1]
        chips = f"chips {first} to {last}" if last > first else f"chip {first}"
        return f"{self._called(machine)} with {chips} is lost: {why}"

    def cut(self, name: str, peer: str, for_s: float) -> str:
        """Return the line on a link between two machines that cannot be used; `name` called `peer`."""
        ends = [self._place(end) for end in (name, peer)]
        return f"network cut: {name} on {ends[0]} cannot reach {peer} on {ends[1]} for {for_s:.0f} s"

    def _place(self, name: str) -> str:
        machine = next((m for m in self._machines.values() if chip_of(name) in m.chips), None)
        return f"worker {machine.name} ({machine.worker})" if machine else "this machine"

    # -- figures ----------------------------------------------------------------------------------------------------------------

    def hear_host(self, traffic: dict[str, Any]) -> None:
        """Take in what the host says of its link to its router."""
        self._host_traffic = traffic["bytes"]

    def rows(self) -> list[dict[str, Any]]:
        """Return what the monitor shows of each machine."""
        now = time.monotonic()
        return [
            {
                "name": m.name, "host": m.host, "chips": list(m.chips), "pes": m.pes, "processes": m.processes, "state": m.state,
                "load": m.load, "sent_bytes": total_bytes(m, 0), "received_bytes": total_bytes(m, 1),
                "refused": sum(refusals(m).values()), "heard_s": now - m.heard if m.heard else None,
            }
            for m in self._machines.values()
        ]  # fmt: skip

    def processes(self) -> int:
        """Return how many processes have been started, with an agent and its fork server for each machine."""
        return self._processes

    def uss_bytes(self) -> int | None:
        """Return what a PE's process uses alone, in bytes, on the machine where it is most."""
        return max((m.pe_uss_bytes for m in self._machines.values() if m.pe_uss_bytes), default=None)

    def report(self) -> dict[str, Any]:
        """Return the report's block on machines."""
        machines = self._before + [block(machine) for machine in self._machines.values()]
        at = {chip: m.name for m in self._machines.values() for chip in m.chips}
        said = [(m.name, traffic["bytes"]) for m in self._machines.values() for traffic in m.traffic.values()]
        pairs: dict[str, int] = {}
        for sender, counts in [*said, (HOST, self._host_traffic)]:
            for peer, (sent, _) in counts.items():
                pair = f"{sender}>{HOST if peer == HOST else at.get(chip_of(peer), '?')}"
                pairs[pair] = pairs.get(pair, 0) + sent
        refused = {kind: sum(m["refused"][kind] for m in machines) for kind in REFUSALS}
        return {
            "engine": self._where.kind, "scheduler": self._engine.address, "version": content_sha256(), "machines": machines,
            "links_bytes": dict(sorted(pairs.items())), "refused": refused,
        }  # fmt: skip

    # -- the end ----------------------------------------------------------------------------------------------------------------

    def again(self) -> None:
        """End all routers and PEs, and wait for workers that can take over."""
        self._before += [block(machine) for machine in self._machines.values()]
        self._end_agents(0.0)
        self._machines, self._keys, self._due = {}, new_keys(), None
        self._engine.records()
        self._news = []
        self._known = {worker: about for worker, about in self._known.items() if worker not in self._lost}
        self._meet(self._options.chips, _NEWCOMERS_S if self._where.kind != "jobqueue" else self._where.wait_s)

    def _end_agents(self, patience_s: float) -> None:
        """Have every agent end, and wait until each has said so or is lost."""
        deadline = time.monotonic() + patience_s
        for machine in self._machines.values():
            if machine.state != "lost":
                machine.state = "ended"
        self._tell_all({"kind": "end", "patience_s": patience_s})
        deadline += _LEAVE_S
        while time.monotonic() < deadline and not all(m.left for m in self._machines.values()):
            self.news()
            time.sleep(0.02)
        self._engine.forget(list(self._machines))

    def end(self, patience_s: float) -> None:
        """End every agent and leave the engine."""
        try:
            if self._machines:
                self._end_agents(patience_s)
        finally:
            self._engine.close()
