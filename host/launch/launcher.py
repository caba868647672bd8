"""`Launcher`: starts, watches and ends a run: the host process here, routers and PEs by way of a backend.

The launcher owns the processes of this machine (`host/processes/process_group.py`), the backend those of others; the host
decides what happens in them. Whatever else happens, `run` returns with every process gone: each wait has a bound, and at the
end whoever is left is killed.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from host.errors import Exit, HostError
from host.launch.failures import MACHINE_LOSS_S, Failures
from host.launch.needed_members import needed_members
from host.launch.obituary import blame_stopped, describe_death
from host.launch.outcome import Outcome, complete_emulation, judged
from host.options import RunOptions
from host.processes.backend import Backend, ConnectBackend, LocalBackend
from host.processes.fork_server_link import SIGNALS
from host.processes.kernel_view import StandstillClock
from host.processes.process_group import ProcessGroup
from host.processes.room import shortage_to_start
from noc.packet import HOST
from noc.wire import pack_status, unpack_status

_LOOK_S = 0.1  # how often the launcher looks up when nothing happens
_ASLEEP_S = 1.0  # a gap between two looks that is no scheduling delay
_TELL_S = 0.5  # how often the host hears that processes are being started
_DEATH_S = 0.5  # after the host reports a failure: time for a dead process that explains it to be noticed
_POSTMORTEM_S = 1.5  # for the host's report of a run that ends badly
_INTERRUPT_S = 5.0  # for the host to end a run in order after Ctrl-C
_PREPARE_S = 120.0  # for the host to read and map its input; it is silent meanwhile
_LEAVE_S = 3.0  # for stopped processes to be gone
_PIPE, _BACKEND = "pipe", "backend"  # names of what is readable: the host's pipe, and the backend


class Launcher:
    """The processes of one run.

    Args:
        options: what to run.
        mapped: called once with the layout, when the network is on the chip.
        observe: called with each status record of the host (about ten a second).
        started: called with each process name and pid, as they start (tests kill them by it).
        folder: where the host writes the run's ledger, or None.
        meanwhile: called once, when this process has nothing else to do: while the fork server loads what its children need.
        remote: makes the backend of routers and PEs on other machines; None where they run on this one.

    """

    def __init__(
        self, options: RunOptions, mapped: Callable[[dict[str, Any]], None], observe: Callable[[dict[str, Any]], None],
        started: Callable[[str, int], None] = lambda *_: None, folder: Path | None = None,
        meanwhile: Callable[[], None] = lambda: None, remote: ConnectBackend | None = None,
    ) -> None:  # fmt: skip
        self._options, self._folder, self._meanwhile, self._remote = options, folder, meanwhile, remote
        self._mapped, self._observe, self._started = mapped, observe, started
        self._processes = ProcessGroup(started, options.stall_s)
        self._backend: Backend = LocalBackend(self._processes, options)
        self._pipe: Any = None
        self._signal = 0
        self._failures = Failures()
        self._status: dict[str, Any] = {}
        self._plan: dict[str, Any] = {}
        self._start_began = 0.0
        self._start_s = 0.0
        self._expected_to_leave = False
        self._heard_at = time.monotonic()
        self._died_at = self._told_at = 0.0
        self._whole: dict[str, Any] | None = None  # the host's report of a run that came to its end
        self._host_stands = StandstillClock()

    def run(self) -> Outcome:
        """Start everything, see the run through, and leave no process behind."""
        outcome = self._run()
        machines = self._backend.report()
        if outcome.report is not None and machines is not None:  # now that routers have sent their last counts
            outcome.report["machines"] = {**machines, "restarts": self._failures.restarts}
        return outcome

    def _run(self) -> Outcome:
        with self._signals():
            try:
                self._start()
                return self._watch()
            except HostError as error:
                if self._signal and error.code in (Exit.DIED, Exit.STALLED):  # what was being started was being ended
                    return self._interrupted()
                return self._outcome(error.code, str(error), self._postmortem(str(error)))
            except KeyboardInterrupt:  # a second Ctrl-C
                return self._interrupted()
            finally:
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                self._end()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the run in order, and a second one at once."""

        def note(number: int, _: Any) -> None:
            if self._signal:
                raise KeyboardInterrupt
            self._signal = number

        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as nohup has it for SIGHUP: what is ignored at the start stays so
                signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        problem = shortage_to_start()
        if problem:
            raise HostError(problem)
        preload = f"host.workloads.{self._options.workload}.prepare"
        # Before there are threads; workers of our own look for its resource tracker.
        self._processes.start_fork_server(preload, needed_members(self._options))
        self._meanwhile()
        if self._remote is not None:
            self._backend = self._remote(self._processes, self._started)
            self._backend.open()
            self._processes.watch(self._backend, _BACKEND)
        from host.processes.child_main import run_host

        self._pipe, child_end = self._processes.open_pipe(_PIPE)
        folder, content_folder = (str(path) if path else None for path in (self._folder, self._backend.content_folder))
        self._processes.start(HOST, run_host, child_end, self._options.resolved(), folder, content_folder)
        child_end.close()
        self._heard_at = time.monotonic()  # the fork server may have compiled for minutes

    def _watch(self) -> Outcome:
        interrupted_at, awake_at = 0.0, time.monotonic()
        while True:
            for record in self._read_records(_LOOK_S):
                outcome = self._on_record(record)
                if outcome is not None:
                    return outcome
            outcome = self._take_backend_records() or self._on_loss()
            if outcome is not None:
                return outcome
            dead = self._dead_processes()
            if dead and not self._may_be_lost_machine():
                return self._on_death(dead)
            if self._signal and not interrupted_at:
                if not self._plan:
                    return self._interrupted()
                interrupted_at = time.monotonic()
                self._send("interrupt")
            now = time.monotonic()
            if now - awake_at > _ASLEEP_S or self._backend.starting:
                self._heard_at = now  # this process itself stood still (Ctrl-Z), or routers are starting
            awake_at = now
            quiet_s, stall_s = now - self._heard_at, self._options.stall_s
            stopped_s = self._host_stands.look(quiet_s > _ASLEEP_S and self._processes.is_stopped(HOST))
            if stopped_s > stall_s or quiet_s > (stall_s if self._plan else max(stall_s, _PREPARE_S)):
                quiet_s = max(quiet_s, stopped_s)
                problem = f"stalled: {HOST} has said nothing for {quiet_s:.0f} s, at tick {self._status.get('tick', 0)}"
                return self._outcome(Exit.STALLED, problem)
            if interrupted_at and now - interrupted_at > _INTERRUPT_S:
                return self._interrupted()

    def _is_ending(self) -> bool:
        """Tell, while many processes are being started, whether that is in vain; tell the host that it goes on."""
        if time.monotonic() - self._told_at > _TELL_S:
            self._told_at = time.monotonic()
            self._send("starting")
        stopped_s = self._host_stands.look(self._processes.is_stopped(HOST))
        return bool(self._signal or self._processes.ended()) or stopped_s > self._options.stall_s

    def _read_records(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return the host's records, after waiting for them, an end of a process, records of the backend, or `timeout_s`."""
        if _PIPE not in self._processes.poll(timeout_s):
            return []
        records = []
        self._heard_at = time.monotonic()
        try:
            while self._pipe.poll():
                records.append(unpack_status(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            time.sleep(_LOOK_S)  # the host is gone: its sentinel is readable in a moment
        return records

    def _take_backend_records(self) -> Outcome | None:
        """Note the backend's records; return an outcome where the run cannot go on."""
        for record in self._backend.take_records():
            kind = record.pop("kind")
            if kind == "routers":
                self._send("routers", **record)
            elif kind == "died":
                self._failures.died[record["name"]] = record["how"]
            elif kind == "gone":
                self._failures.note_lost_machine(record["problem"], record["for_good"])
            elif kind == "cut":
                self._failures.note_cut(self._backend.describe_cut(record))
            elif kind == "failed":
                problem, code = record["problem"], Exit(record.get("code", Exit.USAGE))
                return self._outcome(code, problem, self._postmortem(problem))
        return None

    def _on_loss(self) -> Outcome | None:
        """Restart without a machine that is lost or cut off, if that is asked for and possible, else return how the run ends."""
        verdict = self._failures.verdict()
        if verdict is None:
            return None
        (problem, code), tick = verdict, self._status.get("tick", 0)
        ends = not self._options.restart or not self._failures.can_restart or self._signal or not self._plan
        if self._plan:  # shown at once: ending what is left on other machines takes time
            phase = "ending" if ends else "restarting"
            self._observe({**self._status, "phase": phase, "problem": problem, "machines": self._backend.machine_rows()})
        if ends:
            report = self._postmortem(f"{problem}, at tick {tick}")
            return self._interrupted(report) if self._signal else self._outcome(code, f"{problem}, at tick {tick}", report)
        self._failures.note_restart(problem, tick)
        self._backend.reset()
        self._send("again")
        return None

    def _postmortem(self, problem: str) -> dict[str, Any] | None:
        """Ask the host for its report of a run that ends here, and return it; None where there is none."""
        if not self._plan:
            return None
        self._send("postmortem", text=problem)
        report, lives, deadline = None, True, time.monotonic() + _POSTMORTEM_S
        while report is None and lives and time.monotonic() < deadline:
            lives = self._processes.is_alive(HOST)  # before the last look into its pipe
            for record in self._read_records(_LOOK_S / 2 if lives else 0.0):
                if record["kind"] == "report" and not record["interrupted"]:
                    self._whole = record
                    return None
                if record["kind"] in ("failed", "report"):
                    report = self._complete_report(record["report"])
                    self._status["tick"] = record["tick"]
                elif record["kind"] == "status":
                    self._note_status(record)
        return report

    def _note_status(self, record: Mapping[str, Any]) -> None:
        """Take in what the host says of itself; a death is named with what went on before the host noticed it."""
        self._status |= {key: value for key, value in record.items() if value != "failed" and (key != "states" or value)}

    def _send(self, kind: str, **record: Any) -> None:
        with contextlib.suppress(OSError):  # a host that is gone is noticed by its sentinel
            self._pipe.send_bytes(pack_status({"kind": kind, **record}))

    def _start_routers(self) -> None:
        self._start_began = time.perf_counter()
        self._backend.start_routers(self._plan)

    def _on_record(self, record: dict[str, Any]) -> Outcome | None:
        kind = record.pop("kind")
        if kind == "status":
            self._note_status(record)
            rows = self._backend.machine_rows()
            self._observe({**record, "machines": rows, "restarts": len(self._failures.restarts)} if rows else record)
        elif kind == "running":
            self._start_s = time.perf_counter() - self._start_began if self._start_began else 0.0
        elif kind == "refused":
            self._expected_to_leave = True
            return Outcome(Exit(record["code"]), problem=record["text"])
        elif kind == "mapped":
            self._plan = record
            self._mapped(record["layout"])
            if record["processes"]:
                self._start_routers()
        elif kind == "routed":
            self._backend.start_pes(self._is_ending)
        elif kind == "again":
            self._failures.restarts[-1]["position"] = record["position"]
            self._start_routers()
        elif kind == "cut":
            self._failures.note_cut(self._backend.describe_cut(record))
        elif kind == "traffic":
            self._backend.note_host_traffic(record)
        elif kind == "report":
            return self._finish(record)
        elif kind == "failed":
            return self._on_failed_host(record)
        return None

    def _dead_processes(self) -> list[str]:
        return [*self._processes.ended(), *self._failures.died]

    def _outcome(self, code: Exit, problem: str | None, report: dict[str, Any] | None = None) -> Outcome:
        if self._whole is not None:  # the run was over before anything went wrong
            return self._finish(self._whole)
        return Outcome(code, report, problem, mapping=self._plan.get("mapping", []))

    def _finish(self, record: dict[str, Any]) -> Outcome:
        report = self._complete_report(record["report"])
        self._expected_to_leave = True
        self._send("stop")
        if record["interrupted"]:
            return self._interrupted(report)
        return judged(report, self._plan.get("mapping", []), record["mismatch"])

    def _on_failed_host(self, record: dict[str, Any]) -> Outcome | None:
        """Return the outcome after the host gave up; None where the run restarts. A dead process or lost machine explains more."""
        deadline = time.monotonic() + (MACHINE_LOSS_S if self._backend.remote else _DEATH_S)
        while time.monotonic() < deadline and not (self._dead_processes() or self._signal or self._failures.lost_machine):
            self._take_backend_records()
            time.sleep(_LOOK_S / 10)
        if self._failures.lost_machine and not self._signal and self._options.restart:
            return self._on_loss()
        report = self._complete_report(record["report"])
        if self._signal:
            return self._interrupted(report)
        dead = self._dead_processes()
        problem, code = record["problem"], Exit(record["code"])
        if code is Exit.STALLED:
            problem = blame_stopped(problem, self._processes)
        if dead:
            problem, code = self._describe_death(record["tick"]), Exit.DIED
        verdict = self._failures.verdict(at_once=True)
        if verdict is not None:
            problem, code = f"{verdict[0]}, at tick {record['tick']}", verdict[1]
        return self._outcome(code, problem, report)

    def _may_be_lost_machine(self) -> bool:
        """Whether to wait a moment, because the processes that died may be those of a machine that is lost."""
        if HOST in self._processes.ended() or not self._backend.remote:
            return False
        self._died_at = self._died_at or time.monotonic()
        return time.monotonic() - self._died_at < _DEATH_S

    def _on_death(self, dead: list[str]) -> Outcome:
        """Return the outcome after a process has died, with the report of the host, if that one lives."""
        if self._plan:
            self._observe({"phase": "starting", **self._status, "dead": dead})
        report = self._postmortem("a process died")
        if self._signal:  # the process was being ended
            return self._interrupted(report)
        return self._outcome(Exit.DIED, self._describe_death(self._status.get("tick", 0)), report)

    def _describe_death(self, tick: int) -> str:
        def dead() -> list[str]:
            self._take_backend_records()
            return self._dead_processes()

        within_s = MACHINE_LOSS_S if self._backend.remote else _DEATH_S
        return describe_death(dead, self._failures.died, self._processes, self._status, tick=tick, within_s=within_s)

    def _interrupted(self, report: dict[str, Any] | None = None) -> Outcome:
        if self._whole is not None:  # it was over before
            return self._finish(self._whole)
        code = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}.get(signal.Signals(self._signal), Exit.INTERRUPTED)
        return self._outcome(code, "interrupted", report)

    def _complete_report(self, report: dict[str, Any]) -> dict[str, Any]:
        """Add to the report what only the owner of the processes knows."""
        processes = self._backend.process_count() + int(self._backend.remote)
        return complete_emulation(
            report, self._plan, processes=processes, start_s=self._start_s, pe_uss_bytes=self._backend.pe_uss_bytes()
        )

    def _end(self) -> None:
        """End every process on every machine, and wait until none is left."""
        patience_s = _LEAVE_S if self._expected_to_leave and not self._signal else 0.0
        try:
            self._backend.end(patience_s)
            for record in self._read_records(0.0) if self._backend.remote and self._pipe is not None else ():
                if record["kind"] == "traffic":  # the host's last counts of its link
                    self._backend.note_host_traffic(record)
        finally:
            self._processes.end(patience_s)
            if self._backend.content_folder is not None:
                shutil.rmtree(self._backend.content_folder, ignore_errors=True)
