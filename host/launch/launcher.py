"""`Launcher`: starts, watches and ends a run: the host process here, and the crew of routers and PEs wherever it is.

The launcher owns the processes; the host decides what happens in them. Those of this machine are its own family
(`host/processes/process_group.py`); where a run is on several machines, the backend that it is handed owns the others.
Whatever else happens, `run` returns with every process gone: each wait has a bound, and at the end whoever is left is
killed.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from host.errors import Exit, HostError
from host.launch.failures import Losses
from host.launch.outcome import Outcome
from host.options import RunOptions
from host.processes.backend import ConnectBackend, Crew, Here
from host.processes.process_group import SIGNALS, Family
from noc.packet import HOST, chip_of, router_name
from noc.wire import pack_status, unpack_status

_LOOK_S = 0.1  # how often the launcher looks up when nothing happens
_ASLEEP_S = 1.0  # a gap between two looks that is no scheduling delay
_GRACE_S = 0.5  # after a complaint: is there a death behind it?
_BEHIND_S = 1.5  # the same on several machines
_POSTMORTEM_S = 1.5  # for the host's account of a run that ends badly
_INTERRUPT_S = 5.0  # for the host to end a run in order after Ctrl-C
_PREPARE_S = 120.0  # for the host to read and map its input, of which it tells nothing meanwhile
_LEAVE_S = 3.0  # for stopped processes to be gone
_PIPE, _CREW = "pipe", "crew"  # the host's word, and the engine's


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
        self,
        options: RunOptions,
        mapped: Callable[[dict[str, Any]], None],
        observe: Callable[[dict[str, Any]], None],
        started: Callable[[str, int], None] = lambda *_: None,
        folder: Path | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        remote: ConnectBackend | None = None,
    ) -> None:
        self._options, self._folder, self._meanwhile, self._remote = options, folder, meanwhile, remote
        self._mapped, self._observe, self._started = mapped, observe, started
        self._family = Family(started)
        self._crew: Crew = Here(self._family, options)
        self._pipe: Any = None
        self._signal = 0
        self._losses = Losses()
        self._status: dict[str, Any] = {}
        self._plan: dict[str, Any] = {}
        self._start_began = 0.0
        self._start_s = 0.0
        self._expected_to_leave = False
        self._heard_at = time.monotonic()
        self._died_at = 0.0

    def run(self) -> Outcome:
        """Start everything, see the run through, and leave no process behind."""
        outcome = self._run()
        machines = self._crew.report()
        if outcome.report is not None and machines is not None:  # now that the routers have said their last
            outcome.report["machines"] = {**machines, "restarts": self._losses.restarts}
        return outcome

    def _run(self) -> Outcome:
        with self._signals():
            try:
                self._start()
                return self._watch()
            except HostError as error:
                return Outcome(error.code, self._last_words(str(error)), str(error), self._plan.get("mapping", []))
            except KeyboardInterrupt:  # a second Ctrl-C
                return self._interrupted(None)
            except (EOFError, ConnectionError, FileNotFoundError) as error:
                if self._signal:
                    return self._interrupted(None)
                problem = f"the fork server died while processes were started ({type(error).__name__})"
                return Outcome(Exit.DIED, None, problem, self._plan.get("mapping", []))
            finally:
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                self._end()

    # -- start ------------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into a wish to end in order; a second one ends at once."""

        def wish(number: int, _: Any) -> None:
            if self._signal:
                raise KeyboardInterrupt
            self._signal = number

        before = {number: signal.signal(number, wish) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        self._family.ready()  # before there are threads, and a resource tracker for workers of our own to find
        self._meanwhile()
        if self._remote is not None:
            self._crew = self._remote(self._family, self._started)
            self._crew.open()
            self._family.hear(self._crew, _CREW)
        from host.processes.child_main import run_host

        self._pipe, theirs = self._family.pipe(_PIPE)
        folder, stock = (str(path) if path else None for path in (self._folder, self._crew.stock))
        self._family.start(HOST, run_host, theirs, self._options.resolved(), folder, stock)
        theirs.close()

    # -- watch ------------------------------------------------------------------------------------------------------------------

    def _watch(self) -> Outcome:
        interrupted_at, looked_at = 0.0, time.monotonic()
        while True:
            for record in self._records(_LOOK_S):
                outcome = self._on_record(record)
                if outcome is not None:
                    return outcome
            outcome = self._news() or self._lost()
            if outcome is not None:
                return outcome
            dead = self._dead()
            if dead and not self._behind():
                return self._autopsy(dead)
            if self._signal and not interrupted_at:
                if not self._plan:
                    return self._interrupted(None)
                interrupted_at = time.monotonic()
                self._tell("interrupt")
            now = time.monotonic()
            if now - looked_at > _ASLEEP_S or self._crew.starting:
                self._heard_at = now  # this process itself stood still (Ctrl-Z): that is nobody's silence
            looked_at = now
            quiet_s = now - self._heard_at
            if quiet_s > (self._options.stall_s if self._plan else max(self._options.stall_s, _PREPARE_S)):
                return self._silent(quiet_s)
            if interrupted_at and time.monotonic() - interrupted_at > _INTERRUPT_S:
                return self._interrupted(None)

    def _records(self, timeout_s: float) -> list[dict[str, Any]]:
        """Wait for the host's records, or until a process ends, the crew has news, or `timeout_s` is over."""
        if _PIPE not in self._family.look(timeout_s):
            return []
        records = []
        self._heard_at = time.monotonic()
        try:
            while self._pipe.poll():
                records.append(unpack_status(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            time.sleep(_LOOK_S)  # the host is gone: its sentinel says so in a moment
        return records

    def _news(self) -> Outcome | None:
        """Take what the crew has to say; an outcome where the run cannot go on."""
        for record in self._crew.news():
            kind = record.pop("kind")
            if kind == "routers":
                self._tell("routers", **record)
            elif kind == "died":
                self._losses.died[record["name"]] = record["how"]
            elif kind == "gone":
                self._losses.gone(record["problem"], record["for_good"])
            elif kind == "cut":
                self._on_cut(record)
            elif kind == "failed":
                problem, code = record["problem"], Exit(record.get("code", Exit.USAGE))
                return Outcome(code, self._last_words(problem), problem, self._plan.get("mapping", []))
        return None

    def _on_cut(self, record: dict[str, Any]) -> None:
        self._losses.cut(self._crew.cut(record["name"], record["peer"], record["for_s"]))

    def _lost(self) -> Outcome | None:
        """Where a machine is lost or cut off: go on without it if that is wanted and possible, else return how the run ends."""
        verdict = self._losses.verdict()
        if verdict is None:
            return None
        (problem, code), tick = verdict, self._status.get("tick", 0)
        ends = not self._options.restart or self._losses.spent or self._signal or not self._plan
        if self._plan:  # said at once: ending what is left on other machines takes its time
            phase = "ending" if ends else "restarting"
            self._observe({**self._status, "phase": phase, "problem": problem, "machines": self._crew.rows()})
        if ends:
            report = self._last_words(f"{problem}, at tick {tick}")
            if self._signal:
                return self._interrupted(report)
            return Outcome(code, report, f"{problem}, at tick {tick}", self._plan.get("mapping", []))
        self._losses.restart(problem, tick)
        self._crew.again()
        self._tell("again")
        return None

    def _last_words(self, problem: str) -> dict[str, Any] | None:
        """Return the host's report of a run that ends here; None where there is none."""
        if not self._plan or HOST in self._family.dead():
            return None
        self._tell("postmortem", text=problem)
        report, deadline = None, time.monotonic() + _POSTMORTEM_S
        while report is None and time.monotonic() < deadline and self._family.alive(HOST):
            for record in self._records(_LOOK_S / 2):
                if record["kind"] in ("failed", "report"):
                    report = self._with_emulation(record["report"])
                    self._status["tick"] = record["tick"]
                    report["problem"] = problem
                elif record["kind"] == "status":
                    self._status.update(record)
        return report

    def _tell(self, kind: str, **record: Any) -> None:
        with contextlib.suppress(OSError):  # a host that is gone is found by its sentinel
            self._pipe.send_bytes(pack_status({"kind": kind, **record}))

    def _start_routers(self) -> None:
        self._start_began = time.perf_counter()
        self._crew.start_routers(self._plan)

    def _on_record(self, record: dict[str, Any]) -> Outcome | None:
        kind = record.pop("kind")
        if kind == "status":
            self._status.update({key: value for key, value in record.items() if key != "states"})
            if record["states"]:
                self._status["states"] = record["states"]
            rows = self._crew.rows()
            self._observe({**record, "machines": rows, "restarts": len(self._losses.restarts)} if rows else record)
        elif kind == "running":
            self._start_s = time.perf_counter() - self._start_began if self._start_began else 0.0
        elif kind == "refused":
            self._expected_to_leave = True
            return Outcome(Exit(record["code"]), problem=record["text"])
        elif kind == "mapped":
            self._plan = record
            self._mapped(record["layout"])
            if record["transport"] == "zmq":
                self._start_routers()
        elif kind == "routed":
            self._crew.start_pes(lambda: bool(self._signal))
        elif kind == "again":
            self._losses.restarts[-1]["position"] = record["position"]
            self._start_routers()
        elif kind == "cut":
            self._on_cut(record)
        elif kind == "traffic":
            self._crew.hear_host(record)
        elif kind == "report":
            return self._finish(record)
        elif kind == "failed":
            return self._failed(record)
        return None

    def _dead(self) -> list[str]:
        return [*self._family.dead(), *self._losses.died]

    # -- endings ----------------------------------------------------------------------------------------------------------------

    def _finish(self, record: dict[str, Any]) -> Outcome:
        report = self._with_emulation(record["report"])
        self._expected_to_leave = True
        self._tell("stop")
        outcome = Outcome(Exit.OK, report, None, self._plan["mapping"], record["mismatch"])
        wrong = (report["conservation"] or {}).get("wrong", [])
        if record["interrupted"]:
            return self._interrupted(report)
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
            outcome.code, outcome.problem = Exit.LOST, f"conservation: {wrong[0]}{more}"
        if record["mismatch"] and record["mismatch"]["difference"]:
            outcome.code, outcome.problem = Exit.MISMATCH, record["mismatch"]["difference"]
        return outcome

    def _failed(self, record: dict[str, Any]) -> Outcome | None:
        """The host gave up; a process or a machine that has just been lost is the better reason, and may be made up for."""
        deadline = time.monotonic() + (_BEHIND_S if self._crew.remote else _GRACE_S)
        while time.monotonic() < deadline and not (self._dead() or self._signal or self._losses.machine):
            self._news()
            time.sleep(_LOOK_S / 10)
        if self._losses.machine and not self._signal and self._options.restart:
            return self._lost()
        report = self._with_emulation(record["report"])
        if self._signal:
            return self._interrupted(report)
        dead = self._dead()
        problem, code = (self._obituary(dead, record["tick"]), Exit.DIED) if dead else (record["problem"], Exit(record["code"]))
        verdict = self._losses.verdict(at_once=True)
        if verdict is not None:
            problem, code = f"{verdict[0]}, at tick {record['tick']}", verdict[1]
        report["problem"] = problem
        return Outcome(code, report, problem, self._plan.get("mapping", []))

    def _behind(self) -> bool:
        """Whether to wait a moment, because a machine may be lost with those that died on it."""
        if HOST in self._family.dead() or not self._crew.remote:
            return False
        self._died_at = self._died_at or time.monotonic()
        return time.monotonic() - self._died_at < _GRACE_S

    def _autopsy(self, dead: list[str]) -> Outcome:
        """A process has ended that should not have: let the host, if it lives, say how far the run was."""
        if self._plan:
            self._observe({"phase": "starting", **self._status, "dead": dead})
        report = self._last_words("a process died")
        if self._signal:  # what was dying was on its way out
            return self._interrupted(report)
        problem = self._obituary(dead, self._status.get("tick", 0))
        if report is not None:
            report["problem"] = problem
        return Outcome(Exit.DIED, report, problem, self._plan.get("mapping", []))

    def _silent(self, quiet_s: float) -> Outcome:
        problem = f"stalled: {HOST} has said nothing for {quiet_s:.0f} s, at tick {self._status.get('tick', 0)}"
        return Outcome(Exit.STALLED, None, problem, self._plan.get("mapping", []))

    def _obituary(self, dead: list[str], tick: int) -> str:
        """Return the line that names who died, how, in what state and at which tick."""
        name = next((n for n in dead if n != HOST and n != router_name(chip_of(n))), dead[0])
        died = self._losses.died
        how = died[name] if name in died else self._family.how(name, _GRACE_S)
        phase = self._status.get("phase", "starting")
        state = "RUNNING" if phase == "running" else self._status.get("states", {}).get(name, phase.upper())
        more = f"; {len(dead) - 1} more died" if len(dead) > 1 else ""
        return f"{name} died ({how}) while {state}, at tick {tick}{more}"

    def _interrupted(self, report: dict[str, Any] | None) -> Outcome:
        code = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}.get(signal.Signals(self._signal), Exit.INTERRUPTED)
        return Outcome(code, report, "interrupted", self._plan.get("mapping", []))

    def _with_emulation(self, report: dict[str, Any]) -> dict[str, Any]:
        """Complete the report with what only the owner of the processes knows."""
        emulation = report["emulation"]
        units = emulation.pop("units")
        emulation |= {
            "processes": self._crew.processes() + int(self._crew.remote),
            "start_s": self._start_s,
            "prepare_s": self._plan.get("prepare_s", 0.0),
            "first_compile_s": self._plan.get("compile_s", 0.0),
            "ms_per_token": 1e3 * emulation["run_s"] / units if units else None,
            "pe_uss_bytes": self._crew.uss_bytes(),
        }
        return report

    def _end(self) -> None:
        """Leave nothing behind, on any machine, and wait until that is so."""
        patience_s = _LEAVE_S if self._expected_to_leave and not self._signal else 0.0
        try:
            self._crew.end(patience_s)
            for record in self._records(0.0) if self._crew.remote and self._pipe is not None else ():
                if record["kind"] == "traffic":  # the host's last words, on its link
                    self._crew.hear_host(record)
        finally:
            self._family.end(patience_s)
            if self._crew.stock is not None:
                shutil.rmtree(self._crew.stock, ignore_errors=True)
