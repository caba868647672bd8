"""`Course`: the course of one run, as its launcher decides it: what is started, watched, replaced, explained and ended, and when.

Sans-I/O: it owns no clock, process, pipe or signal, but is given processes to ask and command (`RunProcesses`) and a clock. So
tests run the same decisions over processes and a time of their own (`tests/tools/simulation/`). The host decides what happens
in the processes. Whatever else happens, `follow` returns with every process gone: each wait has a bound, and at the end whoever
is left is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from host.errors import Exit, HostError
from host.launch.failures import MACHINE_LOSS_S, Failures
from host.launch.obituary import Blame, blame_stopped, describe_death
from host.launch.outcome import Outcome, judged
from host.launch.restarts import LAUNCHER, MACHINE, Restarts
from host.launch.run_processes import RunProcesses
from host.launch.silence import Silence
from host.options import RunOptions
from host.processes.backend import Backend
from host.processes.process_group import FORK_SERVER
from host.run.clock import Clock
from noc.packet import HOST

_LOOK_S = 0.1  # how often the launcher looks up when nothing happens
_ASLEEP_S = 1.0  # a gap between two looks that is no scheduling delay
_TELL_S = 0.5  # how often the host hears that processes are being started
_DEATH_S = 0.5  # after the host reports a failure: time for a dead process that explains it to be noticed
_POSTMORTEM_S = 1.5  # silence of the host, as it makes its report of a run that ends early
_INTERRUPT_S = 5.0  # for the host to end a run in order after Ctrl-C, and to report it; then it is asked for what it knows
_REPORT_S = 9.0  # for a report, while the host says that it is at it
_LEAVE_S = 3.0  # for stopped processes to be gone
_OF_NOBODY = ("failed", "routed", "running", "cut")  # records of a host that has not yet heard that it is to begin again


class Ending(Protocol):
    """Who asks for a run's end."""

    number: int  # of the signal that has asked for it; 0: nobody has

    @property
    def code(self) -> Exit:
        """The exit code of a run that is ended so."""


class Course:
    """The course of one run.

    Args:
        options: what to run.
        mapped: called once with the layout, when the network is on the chip.
        observe: called with each status record of the host (about ten a second).
        processes: the run's, of which nothing has been started.
        clock: what the bounds on waits go by.
        ending: who may ask for the end; whoever asks twice raises KeyboardInterrupt.
        meanwhile: called once, when there is nothing else to do: while the fork server loads what its children need.
        resume: go on from the journal in the run's folder, which another launcher has left.

    """

    def __init__(
        self, options: RunOptions, mapped: Callable[[dict[str, Any]], None], observe: Callable[[dict[str, Any]], None], *,
        processes: RunProcesses, clock: Clock, ending: Ending, meanwhile: Callable[[], None] = lambda: None, resume: bool = False,
    ) -> None:  # fmt: skip
        self._options, self._meanwhile = options, meanwhile
        self._mapped, self._observe = mapped, observe
        self._all, self._clock, self._ending = processes, clock, ending
        self._processes, self._host = self._all.group, self._all.host
        self._failures = Failures(clock)
        self._restarts, self._resume = Restarts(options.restart, clock), resume
        self._status: dict[str, Any] = {}
        self._plan: dict[str, Any] = {}
        self._start_began = 0.0
        self._start_s = 0.0
        self._expected_to_leave = False
        self._is_prepared = False  # the host has said what it runs
        self._awaits_again = False  # the host has been told to begin again, and has not said from where
        self._died_at = self._told_at = 0.0
        self._whole: dict[str, Any] | None = None  # the host's report of a run that came to its end
        self._silence = Silence(self._processes, clock.now, options.stall_s)

    def follow(self) -> Outcome:
        """Start everything, see the run through, and leave no process behind."""
        try:
            outcome = self._follow()
        except KeyboardInterrupt:  # a second Ctrl-C
            outcome = self._interrupted()
        finally:
            self._end()
        machines = self._backend.report()
        if outcome.report is not None and machines is not None:  # now that routers have sent their last counts
            rows = [{key: row[key] for key in ("problem", "tick", "position") if key in row} for row in self._restarts.rows]
            outcome.report["machines"] = {**machines, "restarts": rows}
        if outcome.report is not None and self._restarts.is_asked:
            outcome.report["recovery"] = self._restarts.report()
        return outcome

    def _follow(self) -> Outcome:
        begin = self._start
        while True:
            try:
                begin()
                return self._watch()
            except HostError as error:
                outcome = self._on_error(error)
                if outcome is not None:
                    return outcome
                begin = self._start_anew

    def _on_error(self, error: HostError) -> Outcome | None:
        """Return the outcome of a run in which something could not be started; None where it begins once more."""
        if self._signal and error.code in (Exit.DIED, Exit.STALLED):  # what was being started was being ended
            return self._interrupted()
        blame = Blame(FORK_SERVER, str(error)) if self._processes.fork_server_end() else None
        if blame is not None and self._may_go_on(blame):
            return None
        problem = self._restarts.explain(*blame) if blame is not None else str(error)
        return self._outcome(error.code, problem, self._postmortem(problem))

    @property
    def _signal(self) -> int:
        return self._ending.number

    def _start(self) -> None:
        if self._resume:
            self._restarts.note(LAUNCHER, f"{LAUNCHER} was killed, or its machine went down")
        self._all.start(self._meanwhile, resume=self._resume)

    def _start_anew(self) -> None:
        self._is_prepared = self._awaits_again = False
        self._all.start_anew()

    @property
    def _backend(self) -> Backend:
        return self._all.backend

    def _may_go_on(self, blame: Blame) -> bool:
        """Tell whether the run goes on without what failed, and note that it does."""
        if self._signal or self._whole is not None or self._failures.is_final or not self._restarts.allows(blame.part):
            return False
        self._restarts.note(*blame, self._status.get("tick", 0))
        if self._plan:  # shown at once: ending what is left takes time
            self._show("restarting", blame.problem)
        self._failures.forget()
        self._died_at = 0.0
        return True

    def _show(self, phase: str, problem: str) -> None:
        self._observe({**self._status, "phase": phase, "problem": problem, "machines": self._backend.machine_rows()})

    def _replace(self, blame: Blame) -> bool:
        """Replace what failed, and whatever stands on it, if the run may go on; tell whether it does."""
        host_fails = blame.part in (HOST, FORK_SERVER) or HOST in self._processes.ended() or self._processes.is_stopped(HOST)
        if not self._may_go_on(blame):
            return False
        if host_fails or not self._is_prepared:
            self._start_anew()
        else:
            self._backend.reset()
            self._awaits_again = True
            self._send("again")
        return True

    def _watch(self) -> Outcome:
        interrupted_at, awake_at = 0.0, self._clock.now()
        while True:
            for record in self._host.read(_LOOK_S):
                outcome = self._on_record(record)
                if outcome is not None:
                    return outcome
            outcome = self._take_backend_records() or self._on_loss()
            if outcome is not None:
                return outcome
            dead = self._dead_processes()
            if dead and not self._may_be_lost_machine():
                outcome = self._on_death(dead)
                if outcome is not None:
                    return outcome
            if self._signal and not interrupted_at:
                if not self._is_prepared:
                    return self._interrupted()
                interrupted_at = self._clock.now()
                self._send("interrupt")
            now = self._clock.now()
            if now - self._told_at > _TELL_S and self._backend.starts_pes:
                self._tell_start()
            if now - awake_at > _ASLEEP_S or self._backend.starting:
                self._host.heard_at = now  # this process itself stood still (Ctrl-Z), or routers are starting
            awake_at = now
            if silent_s := self._silence.too_long_s(self._host.heard_at, self._is_prepared):
                tick = self._status.get("tick", 0)
                problem = f"stalled: {HOST} has said nothing for {silent_s:.0f} s, at tick {tick}"
                if not self._replace(Blame(HOST, problem)):
                    return self._outcome(Exit.STALLED, self._restarts.explain(HOST, problem))
            if interrupted_at and now - interrupted_at > _INTERRUPT_S:  # what it knows without that order is better than nothing
                return self._interrupted(self._postmortem("interrupted"))

    def _is_ending(self) -> bool:
        """Tell, while many processes are being started here or on other machines, whether that is in vain; tell the host that it
        goes on.
        """
        if self._clock.now() - self._told_at > _TELL_S:
            self._tell_start()
        return bool(self._signal or self._processes.ended()) or self._silence.stopped_s() > self._options.stall_s

    def _tell_start(self) -> None:
        self._told_at = self._clock.now()
        self._send("starting")

    def _take_backend_records(self) -> Outcome | None:
        """Note the backend's records; return an outcome where the run cannot go on."""
        for record in self._backend.take_records():
            kind = record.pop("kind")
            if kind == "routers":
                self._send("routers", **record)
            elif kind == "died":
                self._failures.died[record["name"]] = record["how"]
            elif kind == "gone":
                self._failures.note_lost_machine(**record)
            elif kind == "cut":
                self._failures.note_cut(self._backend.describe_cut(record))
            elif kind == "failed":
                return self._outcome(Exit(record.get("code", Exit.USAGE)), record["problem"], self._postmortem(record["problem"]))
        return None

    def _on_loss(self) -> Outcome | None:
        """Restart without a machine that is lost or cut off, if that is asked for and possible, else return how the run ends."""
        verdict = self._failures.verdict()
        if verdict is None:
            return None
        problem, code = verdict
        if self._plan and self._replace(Blame(MACHINE, problem)):
            return None
        if self._plan:  # shown at once: ending what is left on other machines takes time
            self._show("ending", problem)
        problem = self._restarts.explain(MACHINE, f"{problem}, at tick {self._status.get('tick', 0)}")
        report = self._postmortem(problem)
        return self._interrupted(report) if self._signal else self._outcome(code, problem, report)

    def _postmortem(self, problem: str) -> dict[str, Any] | None:
        """Ask the host for its report of a run that ends here, and return it; None where there is none."""
        report, lives, began = None, self._is_prepared, self._clock.now()
        if lives:
            self._send("postmortem", text=problem)
        while report is None and lives:
            if self._clock.now() > min(began + _REPORT_S, max(began, self._host.heard_at) + _POSTMORTEM_S):
                break
            lives = self._processes.is_alive(HOST)  # before the last look into its pipe
            for record in self._host.read(_LOOK_S / 2 if lives else 0.0):
                if record["kind"] == "report" and not record["interrupted"]:
                    self._whole = record
                    return None
                if record["kind"] in ("failed", "report"):
                    report = self._all.complete(record["report"], self._plan, self._start_s)
                    self._status["tick"] = record["tick"]
                elif record["kind"] == "status":
                    self._note_status(record)
        return report

    def _note_status(self, record: Mapping[str, Any]) -> None:
        """Take in what the host says of itself; a death is named with what went on before the host noticed it."""
        self._status |= {key: value for key, value in record.items() if value != "failed" and (key != "states" or value)}

    def _send(self, kind: str, **record: Any) -> None:
        self._host.send(kind, **record)

    def _start_routers(self) -> None:
        self._start_began = self._clock.now()
        self._backend.start_routers(self._plan)

    def _on_record(self, record: dict[str, Any]) -> Outcome | None:
        kind = record.pop("kind")
        if self._awaits_again and kind in _OF_NOBODY:
            return None
        if kind == "status":
            self._note_status(record)
            rows = self._backend.machine_rows()
            self._observe({**record, "machines": rows, "restarts": len(self._restarts.rows)} if rows else record)
        elif kind == "running":
            self._start_s = self._clock.now() - self._start_began if self._start_began else 0.0
            self._restarts.note_running()
        elif kind == "refused":
            self._expected_to_leave, self._processes.fork_server_is_cold = True, record.get("is_cold", False)
            return Outcome(Exit(record["code"]), problem=record["text"])
        elif kind == "mapped":
            is_first, self._plan, self._is_prepared = not self._plan, record, True
            if is_first:
                self._mapped(record["layout"])
            if self._restarts.is_under_way:
                self._restarts.note_position(**record["goes_on"])
            if record["processes"]:
                self._start_routers()
        elif kind == "routed":
            self._backend.start_pes(self._is_ending)
        elif kind == "again":
            self._awaits_again = False
            self._restarts.note_position(**record)
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
        report = self._all.complete(record["report"], self._plan, self._start_s)
        self._expected_to_leave = True
        self._send("stop")
        if record["interrupted"]:
            return self._interrupted(report)
        return judged(report, self._plan.get("mapping", []), record["mismatch"])

    def _on_failed_host(self, record: dict[str, Any]) -> Outcome | None:
        """Return the outcome after the host gave up; None where the run restarts. A dead process or lost machine explains more."""
        deadline = self._clock.now() + (MACHINE_LOSS_S if self._backend.remote else _DEATH_S)
        while self._clock.now() < deadline and not (self._dead_processes() or self._signal or self._failures.lost_machine):
            self._take_backend_records()
            self._clock.sleep(_LOOK_S / 10)
        if self._failures.lost_machine and not self._signal and self._options.restart:
            return self._on_loss()
        if self._signal:
            return self._interrupted(self._all.complete(record["report"], self._plan, self._start_s))
        blame, code = Blame("", record["problem"]), Exit(record["code"])
        if code is Exit.STALLED:
            blame = blame_stopped(blame.problem, self._processes)
        if self._dead_processes():
            blame, code = self._describe_death(record["tick"]), Exit.DIED
        verdict = self._failures.verdict(at_once=True)
        if verdict is not None:
            blame, code = Blame(MACHINE, f"{verdict[0]}, at tick {record['tick']}"), verdict[1]
        if code in (Exit.DIED, Exit.STALLED):  # whatever else a host ends for is wrong again in other processes
            if self._replace(blame):
                return None
            blame = blame._replace(problem=self._restarts.explain(*blame))
        return self._outcome(code, blame.problem, self._all.complete(record["report"], self._plan, self._start_s))

    def _may_be_lost_machine(self) -> bool:
        """Whether to wait a moment, because the processes that died may be those of a machine that is lost."""
        if HOST in self._processes.ended() or not self._backend.remote:
            return False
        self._died_at = self._died_at or self._clock.now()
        return self._clock.now() - self._died_at < _DEATH_S

    def _on_death(self, dead: Sequence[str]) -> Outcome | None:
        """Return the outcome after a process has died, with the host's report, if that one lives; None where the run goes on."""
        if self._plan:
            self._observe({"phase": "starting", **self._status, "dead": dead})
        if self._restarts.is_asked and self._replace(self._describe_death(self._status.get("tick", 0))):
            return None
        report = self._postmortem("a process died")
        if self._signal:  # the process was being ended
            return self._interrupted(report)
        return self._outcome(Exit.DIED, self._restarts.explain(*self._describe_death(self._status.get("tick", 0))), report)

    def _describe_death(self, tick: int) -> Blame:
        def dead() -> list[str]:
            self._take_backend_records()
            return self._dead_processes()

        within_s = MACHINE_LOSS_S if self._backend.remote else _DEATH_S
        return describe_death(
            dead, self._failures.died, self._processes, self._status, tick=tick, within_s=within_s, clock=self._clock
        )

    def _interrupted(self, report: dict[str, Any] | None = None) -> Outcome:
        if self._whole is not None:  # it was over before
            return self._finish(self._whole)
        return self._outcome(self._ending.code, "interrupted", report)

    def _end(self) -> None:
        """End every process on every machine, and wait until none is left."""
        self._all.end(_LEAVE_S if self._expected_to_leave and not self._signal else 0.0)
