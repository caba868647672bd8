"""The host process: prepares the job, drives the run over a transport, and reports to the launcher.

This half of the host has clock and sockets; the decisions are in `host/run/run.py`. Every wait has a bound: the launcher's
pipe is looked at ten times a second, a tick that does not complete is asked after, and one that stays away for `stall_s`
ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from host.cost.ledger import RunLedger
from host.cost.ledger_writer import FILE as LEDGER_FILE
from host.errors import Exit
from host.options import transport_named
from host.run.clock import SYSTEM_CLOCK, Clock
from host.run.content_store import ContentStore
from host.run.journal import Journal, journal_for
from host.run.late_compile import compile_late
from host.run.launch_plan import layout_of
from host.run.live_price import LivePrice
from host.run.pipe import Pipe, send_record
from host.run.prepared import REFUSALS, code_of, prepared
from host.run.recorder import Recorder
from host.run.recovery import goes_on
from host.run.report import build_report
from host.run.run import Run
from host.run.saved import SavedRun, save_for, write_saved
from host.run.snapshot import ActivitySnapshot
from host.run.stalls import describe_stall
from host.run.verify import Witness
from host.workloads.contract import Job
from noc.memory_chip import MemoryChip
from noc.packet import HOST, Outgoing
from noc.serve import post
from noc.transport import Transport
from noc.wire import WireError, decode, unpack_status
from pe.compiled_columns import CompiledColumns
from pe.core import Pe
from pe.link import PeLink

STATUS_EVERY_S = 0.1
ASK_AFTER_S = 1.0  # a tick that takes longer is asked after, and shown as stalled
ANSWER_WITHIN_S = 0.5  # for a router to say what it lacks, before a run that stands still is ended
_ASLEEP_S = 1.0  # a gap between two looks that is no scheduling delay
_POLL_S = 0.05


def drive(
    pipe: Pipe, options: dict[str, Any], folder: str | None, content_folder: str | None, compile_s: float, *,
    resume: bool = False, need: str = "",
) -> None:  # fmt: skip
    """Prepare and run what `options` (`RunOptions.resolved`) ask for; tell the launcher over `pipe`.

    The ledger goes straight into `folder`, where there is one: it is too large for the pipe. So does what the PEs load, into
    `content_folder`, where PEs are on other machines. `compile_s`: what the fork server took to compile kernels, for the report;
    `resume`: go on from the journal in `folder`, where a host before this one has written one; `need`: what the fork server loads
    for such a run.
    """
    began = time.perf_counter()
    try:
        job = prepared(options)
        witness = (job.witness or Witness(job.placement)) if job.options.verify else None
        saved = save_for(job, Path(folder) if folder else None)
        run = Run(
            job.placement, job.source, job.readout, late=job.options.faults.is_late, witness=witness,
            repeatable=job.options.restart, snapshot_positions=job.options.snapshot, probes=job.probes, fills=job.fills,
            saved=saved, recorder=Recorder(job.placement, Path(folder) if folder else None),
        )  # fmt: skip
        journal = journal_for(job, run, folder, resume=resume)
    except REFUSALS as error:
        return send_record(pipe, "refused", text=str(error), code=int(code_of(error)))
    compile_late(job.placement, need)
    if content_folder is not None:
        store = ContentStore(Path(content_folder))
        run.stored = {name: store.add(load) for name, load in run.loads()}
    told = {"prepare_s": time.perf_counter() - began, "compile_s": compile_s, "goes_on": goes_on(run.replay)}
    send_record(pipe, "mapped", **told, **layout_of(job, run))
    loop = HostLoop(pipe, job, run, witness, saved, Path(folder) if folder else None, journal)
    try:
        loop.run_processes() if transport_named(job.options.transport).PROCESSES else loop.run_in_memory()
    finally:
        if saved is not None:
            saved.close()
    return None


class HostLoop:
    """The host's work in one run, over one transport: messages, the clock, and the launcher's commands."""

    def __init__(
        self, pipe: Pipe, job: Job, run: Run, witness: Witness | None, saved: SavedRun | None, folder: Path | None,
        journal: Journal | None = None, clock: Clock = SYSTEM_CLOCK,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._folder, self._saved, self._journal = folder, saved, journal
        self._pipe, self._job, self._run, self._witness = pipe, job, run, witness
        self._send = partial(send_record, pipe)
        self._next_status = 0.0
        self._restarts = False  # with other routers and PEs
        self._started = self._clock.now()
        self._running_since: float | None = None
        self._told_running = False  # of these routers and PEs
        self._run_s = 0.0
        self._last_progress = self._watched_at = self._clock.now()
        self._progress_mark: Any = None
        self._asked_at = 0.0
        self._has_stalled = False
        self._last_counts = (0, 0, 0)  # ticks, events and packets, at the last status
        placement = job.placement
        self._snapshot = ActivitySnapshot(placement, self._run.counts)
        self._price = LivePrice(placement, self._run.recorder)
        # Copies between PEs of each population's events: what goes to the host is no packet between PEs, as in the report.
        self._packets = {
            part.population: placement.copies(placed)[part.population] - (part.population in placement.network.outputs)
            for placed in placement.pes
            for part in placed.share
        }
        self._sram_worst = 1.0 - placement.worst()["free"] / placement.request.size.data_bytes

    def run_processes(self) -> None:
        """Run with one set of routers and PEs after another, until the launcher asks for no more."""
        while (command := self._receive_command()) is not None and command["kind"] in ("routers", "again"):
            if command["kind"] == "routers":
                self._run_with(self._connect(command))
                if not self._restarts:
                    return
            self._restarts = self._told_running = False
            self._run.prepare_restart()
            self._send("again", **goes_on(self._run.replay))
            self._run_s, self._progress_mark = 0.0, None

    def _connect(self, command: dict[str, Any]) -> Transport:
        """Return the way to the host's router: on this machine, or encrypted on another."""
        router = self._run.routers[-1]
        if "keys" not in command:
            way: Transport = transport_named(self._job.options.transport).connect(
                HOST, command["address"], command["queue"], peer=router, identity=command["identity"]
            )
            return way
        from noc.transport_tcp import Keys, MachineLinks

        links = MachineLinks(HOST, Keys(*command["keys"]), command["queue"], None, lambda record: self._send(**record))
        links.call({router: command["address"]})
        return links

    def _run_with(self, transport: Transport) -> None:
        """Work with one set of routers and PEs until the run is over or they are."""
        run, send, is_routed = self._run, partial(post, transport), False
        send(run.begin())
        while not run.done:
            received = transport.receive(_POLL_S)
            if received is not None:
                self._handle(*received, send)
            if run.phase == "loading" and not is_routed:
                is_routed = True
                self._send("routed")
            if not self._tend_run(send):
                break
        transport.close()

    def run_in_memory(self) -> None:
        """Run with routers and PEs in this process."""
        run, placement = self._run, self._job.placement
        faults = self._job.options.faults
        network = transport_named(self._job.options.transport).network(faults.shuffle, faults.links)
        send = partial(network.post, HOST)
        chip = MemoryChip(
            host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
            pes=[placed.name for placed in placement.pes], make_pe=Pe, network=network, link_pe=PeLink,
            make_columns=CompiledColumns,
        )  # fmt: skip

        def after_each() -> Outgoing:
            out = run.settle()
            self._tend_run(send)
            return out

        chip.boot_routers(run.begin(), after_each)
        chip.boot_pes(after_each)
        while not run.done and self._tend_run(send):
            network.run(after_each)
            self._clock.sleep(_POLL_S / 10)

    def _handle(self, sender: str, raw: bytes, send: Callable[[Outgoing], None]) -> None:
        try:
            out = self._run.handle(sender, decode(raw))
        except WireError as error:
            out = self._run.malformed(sender, str(error))
        send(out)
        send(self._run.settle())

    def _tend_run(self, send: Callable[[Outgoing], None]) -> bool:
        """Report, carry out commands, watch for stalls; False when the run is over and the process should leave."""
        run, now = self._run, self._clock.now()
        if run.phase == "running" and not self._told_running:
            self._running_since, self._told_running = self._running_since or self._clock.now(), True
            self._send("running")
        if run.phase in ("reading", "read", "failed") and self._running_since is not None and not self._run_s:
            self._run_s = self._running_s()
        if run.phase == "read":
            self._send("status", **self._status())  # the monitor's last frame says what the report does
            run.phase = "reported"
            self._send_report(None)
            return self._execute_command(send)  # the launcher measures the processes, then answers
        if run.phase == "failed":
            self._send_report(run.fault, Exit.STALLED if self._has_stalled else Exit.FAULT)
            # The launcher ends every process; its pipe's end ends this one. Others were sent before it heard of the failure.
            while (command := self._receive_command()) is not None and command["kind"] not in ("again", "stop"):
                pass
            self._restarts = command is not None and command["kind"] == "again"
            return False
        if now < self._next_status or run.phase == "stopping":
            return True
        self._next_status = now + STATUS_EVERY_S
        if self._journal is not None and run.phase == "running":
            self._journal.look(now)
        self._check_progress(now, send)
        self._send("status", **self._status())
        while self._pipe.poll():
            if not self._execute_command(send):
                return False
        return True

    def _execute_command(self, send: Callable[[Outgoing], None]) -> bool:
        """Carry out the launcher's next command (waiting for it); False where the launcher is gone."""
        run, command = self._run, self._receive_command()
        if command is None:
            return False
        if command["kind"] == "interrupt":
            run.interrupted = True
            send(run.pump())
            if run.phase not in ("running", "reading", "reported"):
                self._send_report("interrupted")
        elif command["kind"] == "postmortem" and run.phase != "reported":  # else it is on its way
            self._send_report(command["text"])
        elif command["kind"] == "stop":
            send(run.stop())
        elif command["kind"] == "starting":  # who has not been started cannot have stalled
            self._last_progress = self._clock.now()
        elif command["kind"] == "again":
            self._restarts = True
            return False
        return True

    def _receive_command(self) -> dict[str, Any] | None:
        """Return the launcher's next command (waiting for it), or None where the launcher is gone."""
        try:
            return unpack_status(self._pipe.recv_bytes())
        except (EOFError, OSError):
            return None

    def _check_progress(self, now: float, send: Callable[[Outgoing], None]) -> None:
        """Ask after a tick that takes long; end the run where nothing at all has moved for `stall_s`."""
        run = self._run
        moved = run.completed, len(run.pids), len(run.accounts.pes), run.filling.pieces_written
        mark = (run.phase, moved, tuple(run.states.values()))
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
                run.overdue.mark_silent_routers()
            run.fault, run.phase = f"stalled: {describe_stall(run)} for {waited:.0f} s", "failed"

    def _status(self) -> dict[str, Any]:
        run, placement = self._run, self._job.placement
        progress = self._job.readout.progress()
        running_s = self._running_s()
        events = {n: run.counts.events(n) for n in placement.network.layers}
        packets = sum(events[n] * self._packets.get(n, 0) for n in placement.network.layers)
        before = self._last_counts
        ticks = max(run.completed - before[0], 1)
        self._last_counts = (run.completed, sum(events.values()), packets)
        if run.phase == "running":
            self._price.update(self._clock.now())
        late = run.oldest_missing() if self._clock.now() - self._last_progress > ASK_AFTER_S else None
        return {
            "phase": run.phase, "tick": run.completed, "elapsed_s": self._clock.now() - self._started,
            "ready": sum(state.value not in ("BOOT", "IDLE", "LOADING") for state in run.states.values()),
            "states": {name: state.value for name, state in run.states.items()} if run.phase != "running" else {},
            "stalled": late[1] if late is not None else [],
            "done": progress.done, "total": progress.total, "per_s": progress.done / running_s if running_s else 0.0,
            "metrics": [metric._asdict() for metric in progress.metrics], "shown": dict(progress.shown),
            "events_per_tick": (sum(events.values()) - before[1]) / ticks, "packets_per_tick": (packets - before[2]) / ticks,
            "activity": run.events.activity(), "pe_activity": self._pe_activity(),
            "links": self._snapshot.links(run.recent, run.recent_input), "sram_worst": self._sram_worst,
            "modelled": self._price.status,
        }  # fmt: skip

    def _pe_activity(self) -> list[float]:
        shares = getattr(self._job.readout, "pe_shares", None)
        return shares() if shares else self._snapshot.activity(self._run.recent)

    def _running_s(self) -> float:
        return self._clock.now() - self._running_since if self._running_since else 0.0

    def _send_report(self, problem: str | None, code: Exit = Exit.OK) -> None:
        self._tell_alive()
        run, (ledger, unwritten) = self._run, self._save_ledger()
        saved, trouble = self._write_saved()
        trouble = unwritten or trouble
        problem, code = (problem, code) if problem or not trouble else (trouble, Exit.USAGE)
        report = build_report(self._job, run, ledger, partial=run.interrupted or problem is not None, alive=self._tell_alive)
        report |= saved
        report["emulation"]["run_s"] = self._run_s or self._running_s()
        mismatch = self._witness.finish() if self._witness and problem is None and not run.interrupted else None
        self._send(
            "failed" if problem else "report", report=report, problem=problem, code=int(code), mismatch=mismatch,
            tick=run.completed, interrupted=run.interrupted,
        )  # fmt: skip

    def _write_saved(self) -> tuple[dict[str, Any], str | None]:
        """Write what the run kept; return the report's `saved`, {} where it kept nothing, and what went wrong."""
        if self._saved is None:
            return {}, None
        try:
            return {"saved": write_saved(self._saved, self._job.options, self._folder, self._tell_alive)}, None
        except OSError as error:
            return {}, f"--save: cannot be written ({error.strerror})"

    def _tell_alive(self) -> None:
        """Let the launcher know that this process works, as often as it hears of a run."""
        if (now := self._clock.now()) >= self._next_status:
            self._next_status = now + STATUS_EVERY_S
            self._send("status", **self._status())

    def _save_ledger(self) -> tuple[RunLedger, str | None]:
        """Complete the ledger in the run folder, where there is one and it has a position; return it, and what went wrong."""
        try:
            return self._run.recorder.save(), None
        except OSError as error:
            return self._run.recorder.empty(), f"--out {self._folder}: {LEDGER_FILE} cannot be written ({error.strerror})"
