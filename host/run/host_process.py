"""The host process: prepares the job, drives the run over a transport, and reports to the launcher.

This is the clocked, socketed half of the host; the decisions are in `host/run/run.py`. Every wait here has a bound: the
launcher's pipe is looked at ten times a second, a tick that does not complete is asked after, and one that stays away
for `stall_s` ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.cost.cost_table import load_table
from host.cost.neurobench import metrics
from host.cost.price import price
from host.cost.price_report import price_block
from host.errors import Exit, HostError
from host.options import restored
from host.processes import fork_server
from host.processes.child_main import Pipe
from host.run.content_store import Store
from host.run.launch_plan import layout_of
from host.run.report import build_report
from host.run.run import Run
from host.run.snapshot import Glance
from host.run.verify import Witness
from host.workloads.dvs.results import per_sample
from host.workloads.job import Job, prepare
from models.network import ModelError
from models.text.tokeniser import TextError
from noc.chip import ChipError
from noc.packet import HOST, LEDGER, Outgoing, chip_of, router_name
from noc.router import ChipRouter
from noc.serve import post
from noc.transport import Transport
from noc.transport_mem import MemNetwork
from noc.transport_zmq import ZmqTransport
from noc.wire import WireError, decode, pack_status, unpack_status
from noc.wiring import wiring_of
from pe.core import Pe
from pe.lifecycle import State

STATUS_EVERY_S = 0.1
MOST_CHIPS = 48  # a board: with more, names and processes are beyond one machine
ASK_AFTER_S = 1.0  # a tick that takes longer is asked after, and shown as stalled
ANSWER_WITHIN_S = 0.5  # for a router to say what it lacks, before a run that stands still is ended
_ASLEEP_S = 1.0  # a gap between two looks that is no scheduling delay
_POLL_S = 0.05
_EVENTS = LEDGER.index("events")


def drive(pipe: Pipe, options: dict[str, Any], folder: str | None = None, stock: str | None = None) -> None:
    """Prepare and run what `options` (`RunOptions.resolved`) ask for; tell the launcher over `pipe`.

    The ledger goes straight into `folder`, where there is one: it is too large for the pipe. So does what the PEs load, into
    `stock`, where PEs are on other machines.
    """
    began = time.perf_counter()
    try:
        job = prepare(restored(options))
        chips = len(job.placement.machine.live)
        if chips > MOST_CHIPS:
            raise HostError(f"--chips {chips}: at most {MOST_CHIPS} run; price more with `fit` and `scale`")
    except HostError as error:
        return _tell(pipe, "refused", text=str(error), code=int(error.code))
    except (ModelError, TextError, ChipError) as error:
        return _tell(pipe, "refused", text=str(error), code=int(Exit.USAGE))
    witness = Witness(job) if job.options.verify else None
    see = witness.see if witness else None
    run = Run(job.placement, job.workload, job.options.faults.is_late, see, job.sequence_at, job.options.restart)
    if stock is not None:
        store = Store(Path(stock))
        run.stored = {name: store.add(load) for name, load in run.loads()}
    _tell(pipe, "mapped", prepare_s=time.perf_counter() - began, compile_s=fork_server.COMPILE_S, **layout_of(job, run))
    _Drive(pipe, job, run, witness, Path(folder) if folder else None).go()
    return None


def _tell(pipe: Pipe, kind: str, **record: Any) -> None:
    pipe.send_bytes(pack_status({"kind": kind, **record}))


class _Drive:
    """One run over one transport."""

    def __init__(self, pipe: Pipe, job: Job, run: Run, witness: Witness | None, folder: Path | None) -> None:
        self._folder = folder
        self._pipe, self._job, self._run, self._witness = pipe, job, run, witness
        self._next_status = 0.0
        self._again = False  # with other routers and PEs
        self._started = time.perf_counter()
        self._running_since: float | None = None
        self._run_s = 0.0
        self._last_progress = self._watched_at = time.monotonic()
        self._progress_mark: Any = None
        self._asked_at = 0.0
        self._has_stalled = False
        self._last_counts = (0, 0, 0, 0.0)
        placement = job.placement
        self._glance = Glance(placement)
        # Copies between PEs of each population's events: what goes to the host is no packet between PEs, as in the report.
        self._packets = {
            part.population: placement.copies(placed)[part.population] - (part.population == placement.network.output)
            for placed in placement.pes
            for part in placed.share
        }
        self._sram_worst = 1.0 - placement.worst()["free"] / placement.request.size.data_bytes

    def go(self) -> None:
        """Run to the end, whichever it is."""
        (self._over_zmq if self._job.options.transport == "zmq" else self._in_memory)()

    # -- transports -------------------------------------------------------------------------------------------------------------

    def _over_zmq(self) -> None:
        command = self._command()
        while command is not None and command["kind"] in ("routers", "again"):
            if command["kind"] == "routers":
                self._live(self._transport(command))
            if command["kind"] == "again" or self._again:
                self._again = False
                _tell(self._pipe, "again", position=self._run.again())
                self._run_s = 0.0
            else:
                return
            command = self._command()

    def _transport(self, command: dict[str, Any]) -> Transport:
        """Return the way to the host's router: on this machine, or encrypted on another."""
        router = self._run.routers[-1]
        if "keys" not in command:
            return ZmqTransport(HOST, command["address"], command["queue"], peer=router)
        from noc.transport_tcp import Keys, MachineLinks

        links = MachineLinks(HOST, Keys(*command["keys"]), command["queue"], None, self._pass_on)
        links.call({router: command["address"]})
        return links

    def _pass_on(self, record: dict[str, Any]) -> None:
        _tell(self._pipe, **record)

    def _live(self, transport: Transport) -> None:
        """Work with one set of routers and PEs until the run is over or they are."""
        run = self._run
        post(transport, run.begin())
        told = False
        while not run.done:
            received = transport.receive(_POLL_S)
            if received is not None:
                self._take(received, lambda out: post(transport, out))
            if run.phase == "loading" and not told:
                told = True
                _tell(self._pipe, "routed")
            if not self._look_around(lambda out: post(transport, out)):
                break
        transport.close()

    def _in_memory(self) -> None:
        run, placement = self._run, self._job.placement
        network = MemNetwork(self._job.options.faults.shuffle)
        network.attach(HOST, run)
        routers = {
            name: ChipRouter(name, placement.chip.router_entries, wiring_of(placement.machine, chip_of(name)))
            for name in run.routers
        }
        pes = {placed.name: Pe(placed.name, router_name(placed.pe.chip)) for placed in placement.pes}
        for endpoint, core in (routers | pes).items():
            network.attach(endpoint, core)

        def after_each() -> Outgoing:
            out = run.settle()
            self._look_around(lambda more: network.post(HOST, more))
            return out

        for endpoint, router in routers.items():
            network.post(endpoint, router.boot())
        network.post(HOST, run.begin())
        network.run(after_each)
        for endpoint, core in pes.items():
            network.post(endpoint, core.boot())
        network.run(after_each)
        while not run.done and self._look_around(lambda more: network.post(HOST, more)):
            network.run(after_each)
            time.sleep(_POLL_S / 10)

    def _take(self, received: tuple[str, bytes], send: Callable[[Outgoing], None]) -> None:
        sender, raw = received
        try:
            out = self._run.handle(sender, decode(raw))
        except WireError as error:
            out = self._run.malformed(sender, str(error))
        send(out)
        send(self._run.settle())

    # -- the clock --------------------------------------------------------------------------------------------------------------

    def _look_around(self, send: Callable[[Outgoing], None]) -> bool:
        """Report, obey the launcher, watch for stalls; False when the run is over and the process should leave."""
        run, now = self._run, time.monotonic()
        if run.phase == "running" and self._running_since is None:
            self._running_since = time.perf_counter()
            _tell(self._pipe, "running")
        if run.phase in ("reading", "read", "failed") and self._running_since is not None and not self._run_s:
            self._run_s = time.perf_counter() - self._running_since
        if run.phase == "read":
            run.phase = "reported"
            self._report(None)
            return self._obey(send)  # the launcher measures the processes, then answers
        if run.phase == "failed":
            self._report(run.fault, Exit.STALLED if self._has_stalled else Exit.FAULT)
            command = self._command()  # the launcher ends every process; its pipe's end ends this one
            self._again = command is not None and command["kind"] == "again"
            return False
        if now < self._next_status or run.phase == "stopping":
            return True
        self._next_status = now + STATUS_EVERY_S
        self._watch(now, send)
        _tell(self._pipe, "status", **self._status())
        while self._pipe.poll():
            if not self._obey(send):
                return False
        return True

    def _obey(self, send: Callable[[Outgoing], None]) -> bool:
        """Carry out the launcher's next command (waiting for it); False where the launcher is gone."""
        run, command = self._run, self._command()
        if command is None:
            return False
        if command["kind"] == "interrupt":
            run.interrupted = True
            send(run.pump())
            if run.phase not in ("running", "reading", "reported"):
                self._report("interrupted")
        elif command["kind"] == "postmortem":
            self._report(command["text"])
        elif command["kind"] == "stop":
            send(run.stop())
        elif command["kind"] == "again":
            self._again = True
            return False
        return True

    def _command(self) -> dict[str, Any] | None:
        """Return the launcher's next command (waiting for it), or None where the launcher is gone."""
        try:
            return unpack_status(self._pipe.recv_bytes())
        except (EOFError, OSError):
            return None

    def _watch(self, now: float, send: Callable[[Outgoing], None]) -> None:
        """Ask after a tick that takes long; end the run where nothing at all has moved for `stall_s`."""
        run = self._run
        mark = (run.phase, run.completed, len(run.pids), len(run.readings), tuple(run.states.values()))
        asleep = now - self._watched_at > _ASLEEP_S  # this process itself stood still (Ctrl-Z)
        self._watched_at = now
        if mark != self._progress_mark or asleep:
            self._progress_mark, self._last_progress = mark, now
            return
        waited = now - self._last_progress
        if waited > ASK_AFTER_S and run.phase in ("running", "reading") and now - self._asked_at > ASK_AFTER_S:
            self._asked_at = now
            send(run.query())
        if waited > self._job.options.stall_s and run.phase not in ("failed", "reported", "stopping"):
            self._has_stalled = True
            if now - self._asked_at > ANSWER_WITHIN_S:
                run.give_up()
            run.fault, run.phase = f"stalled: {self._stalled_text()} for {waited:.0f} s", "failed"

    def _stalled_text(self) -> str:
        run = self._run
        late = run.missing_first() if run.phase == "running" else None
        if late is not None:
            more = f" and {len(late[1]) - 3} more" if len(late[1]) > 3 else ""
            what = "pass on" if late[1][0] in run.routers else "send the batch of"
            return f"{', '.join(late[1][:3])}{more} did not {what} tick {late[0]}"
        if run.phase == "running":
            return f"{run.routers[-1]} did not complete tick {run.completed} nor say why"
        if run.phase == "starting":
            silent = [name for name in reversed(run.routers) if name not in run.configured]
            return f"{', '.join(silent[:3])} did not answer"
        order = list(State)  # as a life goes
        furthest = max(order.index(state) for state in run.states.values())
        behind = [name for name, state in run.states.items() if order.index(state) < furthest]
        behind += [name for name in run.routers if run.phase == "reading" and name not in run.router_readings]
        return f"{', '.join(behind[:3]) or run.routers[-1]} made no progress while {run.phase}"

    def _stalled(self) -> list[str]:
        late = self._run.missing_first()
        return late[1] if late is not None and time.monotonic() - self._last_progress > ASK_AFTER_S else []

    # -- records ----------------------------------------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        run, placement = self._run, self._job.placement
        progress = self._job.workload.progress()
        running_s = time.perf_counter() - self._running_since if self._running_since else 0.0
        events = run.totals[:, _EVENTS]
        packets = int(sum(events[n] * self._packets.get(n, 0) for n in placement.network.layers))
        before = self._last_counts
        ticks = max(run.completed - before[0], 1)
        self._last_counts = (run.completed, int(events.sum()), packets, running_s)
        return {
            "phase": run.phase,
            "ready": sum(state.value not in ("BOOT", "IDLE", "LOADING") for state in run.states.values()),
            "tick": run.completed,
            "tokens_per_s": progress["tokens"] / running_s if running_s else 0.0,
            "activity": run.events.activity(),
            "events_per_tick": (int(events.sum()) - before[1]) / ticks,
            "packets_per_tick": (packets - before[2]) / ticks,
            "pe_activity": self._glance.activity(run.recent),
            "links": self._glance.links(run.recent, run.recent_input),
            "sram_worst": self._sram_worst,
            "elapsed_s": time.perf_counter() - self._started,
            "stalled": self._stalled(),
            "states": {name: state.value for name, state in run.states.items()} if run.phase != "running" else {},
            **progress,
        }

    def _report(self, problem: str | None, code: Exit = Exit.OK) -> None:
        run = self._run
        report = build_report(self._job, run, partial=run.interrupted or problem is not None)
        report["emulation"]["run_s"] = self._run_s or (time.perf_counter() - self._running_since if self._running_since else 0.0)
        report["modelled"], report["neurobench"] = self._measured()
        for name, block in self._job.blocks().items():
            report[name] = block | per_sample(block, report["modelled"])
        mismatch = self._witness.finish() if self._witness and problem is None and not run.interrupted else None
        kind = "failed" if problem else "report"
        _tell(
            self._pipe,
            kind,
            report=report,
            problem=problem,
            code=int(code),
            mismatch=mismatch,
            tick=run.completed,
            interrupted=run.interrupted,
        )

    def _measured(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Keep the ledger; return what the run cost on the modelled chip, and NeuroBench's metrics; None without a position."""
        ledger, job = self._run.recorder.ledger(), self._job
        if not ledger.positions:
            return None, None
        if self._folder is not None:
            try:
                ledger.save(self._folder)
            except OSError as error:
                self._run.fault = self._run.fault or f"--out {self._folder}: cannot be written ({error.strerror})"
        network, width = job.placement.network, job.placement.network.populations[0].units
        table = (job.facts["vocabulary"], width) if job.facts.get("vocabulary") else ()
        return (
            price_block(price(ledger, job.placement.chip, load_table()), ledger),
            metrics(network, ledger, job.placement.deployed_bytes(), table),
        )
