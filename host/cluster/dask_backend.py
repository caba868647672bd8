"""`DaskBackend`: a run's routers and PEs on Dask's workers. Places chips, has an agent on each worker start them, and knows
which workers are lost.

Several workers on one computer count as several machines. Chips go to workers in contiguous blocks, as evenly as their
declared resource `chips` allows. Only `host/cluster/dask_client.py` and `dask_worker.py` know Dask.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from host.cluster.cluster_config import parse_cluster
from host.cluster.dask_client import DaskClient
from host.cluster.worker_state import WorkerState
from host.errors import Exit, HostError
from host.mapping.chip_blocks import deal_chips
from host.options import RunOptions
from host.processes.backend import Backend, LaunchPlan
from host.processes.process_group import FORK_SERVER, PE_SERVER
from host.provenance import content_sha256
from host.run.content_store import ContentStore
from models.families import VARIABLE, user_folders
from noc.packet import HOST, chip_of, router_name
from noc.transport_tcp import REFUSALS, address_of, new_keys

_START_S = 15.0  # for a worker to begin, once it has been sent what it needs
_ROUTERS_S = 120.0  # for all routers to listen; kernels may have to be compiled first
_SEND_BYTES_S = 5e6  # a slow network, for the time that content may take
_LEAVE_S, _KILL_S = 4.0, 1.5  # for agents to have ended; under workers of our own, which are killed, of a run that ends badly
_MOST_WORDS_BYTES = 200  # of what Dask says of an error
_NEW_WORKER_S = 10.0  # after a loss, for another worker to come


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_WORDS_BYTES]


class DaskBackend(Backend):
    """Routers and PEs on the workers of a cluster, which `options.cluster` names.

    The host leaves what PEs load in `content_folder`. `started` is called with each process name and pid that an agent reports.
    """

    remote = True

    def __init__(self, options: RunOptions, content_folder: Path, started: Callable[[str, int], None]) -> None:
        assert options.cluster is not None
        super().__init__()
        self.content_folder, self._store = content_folder, ContentStore(content_folder)
        self._options, self._started = options, started
        self._run = secrets.token_hex(8)  # its name among those of the cluster
        self._config = parse_cluster(options.cluster)
        workers = self._config.workers or max(len(self._config.hosts) - 1, 1)
        spare = 1 if options.restart and workers > 1 else 0  # so that the others can take over a lost one's chips
        self._client = DaskClient(self._run, self._config, -(-options.chips // (workers - spare)), content_folder)
        self._workers: dict[str, WorkerState] = {}
        self._retired: list[dict[str, Any]] = []  # report entries of workers before a restart
        self._descriptions: dict[str, dict[str, Any]] = {}  # by worker, as `dask_worker.describe` returns them
        self._lost: set[str] = set()
        self._plan: LaunchPlan = {}
        self._keys = new_keys()
        self._deadline: tuple[float, str] | None = None  # what a worker that misses it has not done
        self._processes = 0
        self._host_traffic: dict[str, list[int]] = {}
        self._routers_ready = False

    def open(self) -> None:
        """Connect, and compare the project's version on each worker; HostError where that fails."""
        self._client.open()
        self._wait_for_workers(self._options.chips, self._config.wait_s)

    def fileno(self) -> int:
        """Return what becomes readable when there is news."""
        return self._client.fileno()

    @property
    def starting(self) -> bool:
        """Whether routers are being started."""
        return bool(self._workers) and not self._routers_ready

    # -- workers ----------------------------------------------------------------------------------------------------------------

    def _wait_for_workers(self, chips: int, wait_s: float) -> None:
        """Wait until workers have room for `chips`; HostError where they have not, or where one has another version."""
        deadline = time.monotonic() + wait_s
        while True:
            present = [worker for worker in self._client.workers() if worker not in self._lost]
            unknown = [worker for worker in present if worker not in self._descriptions]
            if unknown:
                self._descriptions |= self._same_version(self._client.ask("describe", workers=unknown))
            self._descriptions = {worker: self._descriptions[worker] for worker in present if worker in self._descriptions}
            have = sum(description["chips"] for description in self._descriptions.values())
            if have >= chips and (self._config.kind == "scheduler" or len(present) >= self._config.workers or wait_s < 1):
                return
            if time.monotonic() > deadline:
                if have >= chips:
                    return
                at = f"at {self._client.address}"
                problem = f"no worker {at}; needs some with --resources 'chips=N', {chips} chips in all"
                if present:
                    sum_of_chips = f"{len(present)} workers {at} have chips={have} in all"
                    problem = f"{sum_of_chips} (dask worker --resources 'chips=N'); needs {chips}"
                raise HostError(f"--cluster: {problem}", Exit.DOES_NOT_FIT)
            time.sleep(0.1)

    def _same_version(self, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the workers' descriptions; HostError where one runs another version of the project than this process."""
        version_here, descriptions = content_sha256(), {}
        for worker, answer in answers.items():
            if not isinstance(answer, dict):  # Dask hands an error on as one of another kind, with its text
                place = self._client.project_at(worker)
                if place is None:
                    continue  # it has just come or just gone: asked again, or not there the next time
                why = f"the project cannot be imported there, or is another version ({answer}; package host: {place})"
                raise HostError(f"worker {worker}: {' '.join(why.split())}; install the same one as here, {version_here[:12]}")
            if answer["version"] != version_here:
                versions = f"has version {answer['version'][:12]} of the project; needs {version_here[:12]}, as here"
                if user_folders():
                    versions += f", with what {VARIABLE} names"
                raise HostError(f"worker {answer['name']} at {worker}: {versions}")
            descriptions[worker] = answer
        return descriptions

    # -- start ------------------------------------------------------------------------------------------------------------------

    def start_routers(self, plan: LaunchPlan) -> None:
        """Place chips, ask each worker whether there is room, and have its agent start; HostError where there is none."""
        self._plan, self._routers_ready = plan, False
        chips = sorted(chip_of(router["name"]) for router in plan["routers"])
        usable = [(worker, about) for worker, about in self._descriptions.items() if about["chips"]]
        usable.sort(key=lambda item: (str(item[1]["name"]).zfill(12), item[0]))
        blocks = deal_chips(chips, [about["chips"] for _, about in usable])
        self._workers = {
            worker: WorkerState(worker=worker, name=about["name"], host=about["host"], chips=block)
            for (worker, about), block in zip(usable, blocks, strict=True)
            if block
        }
        pes = [pe["name"] for pe in plan["layout"]["pes"]]
        for machine in self._workers.values():
            machine.pes = sum(chip_of(pe) in machine.chips for pe in pes)
        contents = self._missing_contents()
        self._check_room(contents)
        for worker, machine in self._workers.items():
            machine.stored_bytes, machine.is_asked = sum(map(len, contents[worker].values())), True
            self._client.attend(worker, len(machine.chips), self._start_command(machine), contents[worker])
        most_bytes = max(machine.stored_bytes for machine in self._workers.values())
        start_by = time.monotonic() + _START_S + most_bytes / _SEND_BYTES_S
        self._deadline = (start_by, "does not start: are its chips taken by another run?")

    def _missing_contents(self) -> dict[str, dict[str, bytes]]:
        """Return what each worker lacks of what its PEs load, by SHA-256."""
        contents = {}
        for worker, machine in self._workers.items():
            loads = {sha256 for pe, sha256 in self._plan["stored"].items() if chip_of(pe) in machine.chips}
            missing = self._client.ask("missing", sorted(loads), workers=[worker])[worker]
            if isinstance(missing, Exception):
                raise HostError(self._describe_loss(machine, _one_line(f"it does not answer ({missing})")), Exit.DIED)
            contents[worker] = {sha256: self._store[sha256] for sha256 in missing}
        return contents

    def _check_room(self, contents: Mapping[str, Mapping[str, bytes]]) -> None:
        where = {"interface": self._config.transport.interface, "public": self._config.transport.public}
        for worker, machine in self._workers.items():
            stored = sum(map(len, contents[worker].values()))
            answer = self._client.ask("check", machine.pes, len(machine.chips), stored, where, workers=[worker])[worker]
            if isinstance(answer, Exception):
                raise HostError(self._describe_loss(machine, _one_line(f"it does not answer ({answer})")), Exit.DIED)
            problem = answer["problem"]
            if problem:
                share = f"{len(machine.chips)} chips with {machine.pes} PEs"
                raise HostError(f"{machine.title} has no room for {share}: {problem}", Exit.DOES_NOT_FIT)
            machine.interface = answer["interface"]

    def _start_command(self, machine: WorkerState) -> dict[str, Any]:
        """Return the command that has an agent start a machine's routers, and what it needs for its PEs."""
        faults, routers = self._options.faults, []
        for router in self._plan["routers"]:
            name, wiring = router["name"], router["wiring"]
            if chip_of(name) in machine.chips:
                up, _, calls, called_by = wiring
                remote = {peer for peer in (up, *calls, *called_by) if peer == HOST or chip_of(peer) not in machine.chips}
                slow = faults.of_router(name)
                routers.append({"name": name, "wiring": wiring, "slow": slow, "remote_peers": sorted(remote)})
        pes = [
            {"name": name, "router": router_name(chip_of(name)), "slow_s": faults.slow.get(name, 0.0)}
            for name in (pe["name"] for pe in self._plan["layout"]["pes"])
            if chip_of(name) in machine.chips
        ]
        return {
            "stall_s": self._options.stall_s, "bad": self._options.faults.links,
            "routers": routers, "pes": pes, "queue": self._plan["queue"], "table_entries": self._plan["table_entries"],
            "most_bytes": self._plan["most_bytes"], "samples": self._plan["samples"],
            "transport": self._options.transport, "members": self._plan["members"], "keys": list(self._keys),
            "listening": [machine.interface, *self._config.transport.ports],
        }  # fmt: skip

    def start_pes(self, stop: Callable[[], bool]) -> None:
        """Have each agent start its PEs."""
        if not stop():
            self._command_all({"kind": "pes"})

    def _command_all(self, record: dict[str, Any]) -> None:
        for worker in self._workers:
            self._client.command(worker, record)

    # -- records of agents -----------------------------------------------------------------------------------------------------

    def take_records(self) -> list[dict[str, Any]]:
        """Return what has happened since the last call."""
        now = time.monotonic()
        for record in self._client.records():
            machine = self._workers.get(record.pop("machine"))
            if machine is not None:
                machine.heard_at = now
                self._on_record(machine, record, now)
            elif record["kind"] == "gone" and not any(other["kind"] == "gone" for other in self._records):
                # The scheduler is gone, and all workers with it.
                self._records.append({"kind": "gone", "problem": record["why"], "for_good": True})
        if self._deadline is not None and now > self._deadline[0]:
            late = next(m for m in self._workers.values() if not m.is_attended or m.ports is None)
            self._records.append({"kind": "failed", "problem": f"{late.title} {self._deadline[1]}"})
            self._deadline = None
        return super().take_records()

    def _on_record(self, machine: WorkerState, record: dict[str, Any], now: float) -> None:
        match record["kind"]:
            case "attended":
                machine.is_attended = True
                if self._deadline is not None and all(m.is_attended for m in self._workers.values()):
                    self._deadline = (now + _ROUTERS_S, f"has not started its routers within {_ROUTERS_S:.0f} s")
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
                name = f"{record['name']} of {machine.title}" if record["name"] in (FORK_SERVER, PE_SERVER) else record["name"]
                self._records.append({**record, "name": name})
            case "cut":
                self._records.append(record)
            case "refused":
                problem, code = f"{machine.title}: {record['text']}", record["code"]
                if code in (Exit.DIED, Exit.STALLED):  # its fork server: another agent can start there
                    machine.state, self._deadline = "lost", None
                    self._records.append({"kind": "gone", "problem": problem, "for_good": False, "code": code})
                else:
                    self._records.append({"kind": "failed", "problem": problem, "code": code})
            case "left" | "gone":
                machine.has_left = True
                if machine.state != "ended":
                    machine.state = "lost"
                    if "code" not in record:  # else the worker itself lives, and another agent can run there
                        self._lost.add(machine.worker)
                    why = record.get("why") or f"its agent ended (exit code {record['code']})"
                    self._records.append({"kind": "gone", "problem": self._describe_loss(machine, why), "for_good": False})

    def _all_listening(self) -> None:
        """When every router listens, send each the others' addresses, and the host that of its own router."""
        if any(machine.ports is None for machine in self._workers.values()):
            return
        addresses = {name: address_of(m.interface, port) for m in self._workers.values() for name, port in (m.ports or {}).items()}
        self._command_all({"kind": "calls", "addresses": addresses})
        for machine in self._workers.values():
            machine.state = "up"
        self._deadline, self._routers_ready = None, True
        address = addresses[self._plan["routers"][0]["name"]]
        self._records.append({"kind": "routers", "queue": self._plan["queue"], "address": address, "keys": list(self._keys)})

    # -- error lines ------------------------------------------------------------------------------------------------------------

    def _describe_loss(self, machine: WorkerState, why: str) -> str:
        first, last = machine.chips[0], machine.chips[-1]
        chips = f"chips {first} to {last}" if last > first else f"chip {first}"
        return f"{machine.title} with {chips} is lost: {why}"

    def describe_cut(self, cut: Mapping[str, Any]) -> str:
        """Return the line on a link between two machines that cannot be used: `name` called `peer` for `for_s` seconds."""
        ends = [f"{cut[end]} on {self._location(cut[end])}" for end in ("name", "peer")]
        return f"network cut: {ends[0]} cannot reach {ends[1]} for {cut['for_s']:.0f} s"

    def _location(self, name: str) -> str:
        machine = next((m for m in self._workers.values() if chip_of(name) in m.chips), None)
        return f"worker {machine.name} ({machine.worker})" if machine else "this machine"

    # -- figures ----------------------------------------------------------------------------------------------------------------

    def note_host_traffic(self, traffic: dict[str, Any]) -> None:
        """Note the host's counts of its link to its router."""
        self._host_traffic = traffic["bytes"]

    def machine_rows(self) -> list[dict[str, Any]]:
        """Return what the monitor shows of each machine."""
        now = time.monotonic()
        return [
            {
                **m.report_entry(),
                "load": m.load,
                "refused": sum(m.refused.values()),
                "heard_s": now - m.heard_at if m.heard_at else None,
            }
            for m in self._workers.values()
        ]

    def process_count(self) -> int:
        """Return how many processes have been started, with an agent and its fork server for each machine."""
        return self._processes

    def pe_uss_bytes(self) -> int | None:
        """Return what a PE's process uses alone, in bytes, on the machine where it is most."""
        return max((m.pe_uss_bytes for m in self._workers.values() if m.pe_uss_bytes), default=None)

    def report(self) -> dict[str, Any]:
        """Return the report's block on machines."""
        machines = self._retired + [machine.report_entry() for machine in self._workers.values()]
        names = {chip: m.name for m in self._workers.values() for chip in m.chips}
        counted = [(m.name, traffic["bytes"]) for m in self._workers.values() for traffic in m.traffic.values()]
        pairs: Counter[str] = Counter()
        for sender, counts in [*counted, (HOST, self._host_traffic)]:
            for peer, (sent, _) in counts.items():
                pairs[f"{sender}>{HOST if peer == HOST else names.get(chip_of(peer), '?')}"] += sent
        refused = {kind: sum(m["refused"][kind] for m in machines) for kind in REFUSALS}
        return {
            "engine": self._config.kind, "scheduler": self._client.address, "version": content_sha256(), "machines": machines,
            "links_bytes": dict(sorted(pairs.items())), "refused": refused,
        }  # fmt: skip

    # -- the end ----------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """End all routers and PEs, and wait for workers that can take over."""
        self._retired += [machine.report_entry() for machine in self._workers.values()]
        self._end_agents(0.0, _LEAVE_S)
        self._workers, self._keys, self._deadline = {}, new_keys(), None
        self._client.records()
        self._records = []
        self._descriptions = {worker: about for worker, about in self._descriptions.items() if worker not in self._lost}
        self._wait_for_workers(self._options.chips, _NEW_WORKER_S if self._config.kind != "jobqueue" else self._config.wait_s)

    def _end_agents(self, patience_s: float, within_s: float) -> None:
        """End every agent, and wait up to `within_s` until each has reported that or is lost."""
        for machine in self._workers.values():
            if machine.state != "lost":
                machine.state = "ended"
        self._command_all({"kind": "end", "patience_s": patience_s})
        deadline = time.monotonic() + within_s
        asked = [machine for machine in self._workers.values() if machine.is_asked]
        while time.monotonic() < deadline and not all(m.has_left or m.state == "lost" for m in asked):
            self.take_records()
            time.sleep(0.02)
        self._client.forget(list(self._workers))

    def end(self, patience_s: float) -> None:
        """End every agent and close the connection."""
        try:
            if self._workers:
                is_killed = self._config.kind == "local" and not patience_s
                self._end_agents(patience_s, _KILL_S if is_killed else patience_s + _LEAVE_S)
        finally:
            self._client.close()
