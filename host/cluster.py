"""`Cluster`: starts, watches and stops the processes of a run. The only file that knows multiprocessing (and psutil).

The launcher owns the processes; the host decides what happens in them. All children are forked by one fork server,
which dies with the launcher, and each child dies with the fork server, so nothing outlives a launcher that is killed.
Whatever else happens, `run` returns with every process gone: each wait has a bound, and at the end whoever is left is
killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import selectors
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from host.errors import Exit
from host.forking import no_main_module, our_path, too_few_descriptors
from host.mortality import FOLDER_VARIABLE, LAUNCHER_VARIABLE
from host.options import RunOptions
from noc.packet import HOST, chip_of, router_name
from noc.wire import pack_status, unpack_status

_LOOK_S = 0.1  # how often the launcher looks up when nothing happens
_ASLEEP_S = 1.0  # a gap between two looks that is no scheduling delay
_GRACE_S = 0.5  # after a complaint: is there a death behind it?
_POSTMORTEM_S = 1.5  # for the host's account of a run that ends badly
_INTERRUPT_S = 5.0  # for the host to end a run in order after Ctrl-C
_PREPARE_S = 120.0  # for the host to read and map its input, of which it tells nothing meanwhile
_MEASURED_PES = 200  # whose memory is looked at: a look takes milliseconds
_LEAVE_S = 3.0  # for stopped processes to be gone
_PIPE = "pipe"  # among the names of processes, the host's word
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Outcome:
    """How a run ended: exit code, the report (complete or partial), one line on what went wrong, and the mapping table."""

    code: Exit
    report: dict[str, Any] | None = None
    problem: str | None = None
    mapping: list[dict[str, Any]] = field(default_factory=list)
    mismatch: dict[str, Any] | None = None


class Cluster:
    """The processes of one run.

    Args:
        options: what to run.
        mapped: called once with the layout, when the network is on the chip.
        observe: called with each status record of the host (about ten a second).
        started: called with each process name and pid, as they start (tests kill them by it).
        folder: where the host writes the run's ledger, or None.

    """

    def __init__(
        self,
        options: RunOptions,
        mapped: Callable[[dict[str, Any]], None],
        observe: Callable[[dict[str, Any]], None],
        started: Callable[[str, int], None] = lambda *_: None,
        folder: Path | None = None,
    ) -> None:
        self._options, self._mapped, self._observe, self._started, self._folder = options, mapped, observe, started, folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["host.preload"])
        self._processes: dict[str, Any] = {}
        self._pipe: Any = None
        self._selector = selectors.DefaultSelector()
        self._ended: set[str] = set()
        self._addresses: dict[str, str] = {}  # of routers
        self._signal = 0
        self._status: dict[str, Any] = {}
        self._plan: dict[str, Any] = {}
        self._start_began = 0.0
        self._start_s = 0.0
        self._expected_to_leave = False
        self._heard_at = time.monotonic()

    def run(self) -> Outcome:
        """Start everything, see the run through, and leave no process behind."""
        with self._signals():
            try:
                self._start_host()
                return self._watch()
            except KeyboardInterrupt:  # a second Ctrl-C
                return self._interrupted(None)
            except (EOFError, ConnectionError, FileNotFoundError) as error:
                if self._signal:
                    return self._interrupted(None)
                problem = f"the fork server died while processes were started ({type(error).__name__})"
                return Outcome(Exit.DIED, None, problem, self._plan.get("mapping", []))
            finally:
                for number in _SIGNALS:
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

        before = {number: signal.signal(number, wish) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start_host(self) -> None:
        os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
        os.environ[FOLDER_VARIABLE] = multiprocessing.util.get_temp_dir()
        # First, because it unblocks the signals again.
        multiprocessing.resource_tracker.ensure_running()
        # The fork server inherits the mask, so a Ctrl-C cannot hit it before it has left the terminal's signals to us.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with our_path():
                multiprocessing.forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        from host.children import run_host

        self._pipe, theirs = self._context.Pipe()
        folder = str(self._folder) if self._folder else None
        self._start(HOST, run_host, theirs, self._options.resolved(), folder)
        theirs.close()
        self._selector.register(self._pipe, selectors.EVENT_READ, _PIPE)

    def _start(self, name: str, target: Callable[..., None], *args: Any) -> None:
        process = self._context.Process(target=target, args=args, name=name, daemon=True)
        with no_main_module():
            process.start()
        # Else each start asks every child there is whether it lives; `_look` and `_end` do that for all.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        self._processes[name] = process
        self._selector.register(process.sentinel, selectors.EVENT_READ, name)
        assert process.pid is not None
        self._started(name, process.pid)

    def _start_routers(self) -> None:
        from host.children import run_router
        from noc.transport_zmq import new_address

        self._start_began = time.perf_counter()
        queue, routers = self._plan["queue"], self._plan["routers"]
        self._addresses = {router["name"]: new_address() for router in routers}
        for router in routers:
            name, wiring = router["name"], tuple(router["wiring"])
            slow = self._options.faults.of_router(name)
            self._start(name, run_router, name, self._addresses, queue, self._plan["table_entries"], wiring, slow)
        self._tell("routers", queue=queue, address=self._addresses[routers[0]["name"]])

    def _start_pes(self) -> None:
        from host.children import run_pe

        for pe in self._plan["layout"]["pes"]:
            if self._signal:
                return
            name = pe["name"]
            router = router_name(chip_of(name))
            slow_s = self._options.faults.slow.get(name, 0.0)
            self._start(name, run_pe, name, router, self._addresses[router], slow_s)

    # -- watch ------------------------------------------------------------------------------------------------------------------

    def _watch(self) -> Outcome:
        interrupted_at, looked_at = 0.0, time.monotonic()
        while True:
            for record in self._records(_LOOK_S):
                outcome = self._on_record(record)
                if outcome is not None:
                    return outcome
            dead = self._dead()
            if dead:
                return self._autopsy(dead)
            if self._signal and not interrupted_at:
                if not self._plan:
                    return self._interrupted(None)
                interrupted_at = time.monotonic()
                self._tell("interrupt")
            now = time.monotonic()
            if now - looked_at > _ASLEEP_S:
                self._heard_at = now  # this process itself stood still (Ctrl-Z): that is nobody's silence
            looked_at = now
            quiet_s = now - self._heard_at
            if quiet_s > (self._options.stall_s if self._plan else max(self._options.stall_s, _PREPARE_S)):
                return self._silent(quiet_s)
            if interrupted_at and time.monotonic() - interrupted_at > _INTERRUPT_S:
                return self._interrupted(None)

    def _records(self, timeout_s: float) -> list[dict[str, Any]]:
        """Wait for the host's records, or until a process ends or `timeout_s` is over."""
        if not self._look(timeout_s):
            return []
        records = []
        self._heard_at = time.monotonic()
        try:
            while self._pipe.poll():
                records.append(unpack_status(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            time.sleep(_LOOK_S)  # the host is gone: its sentinel says so in a moment
        return records

    def _look(self, timeout_s: float) -> bool:
        """Note which processes have ended; return whether the host has said something.

        With a thousand processes, asking each whether it lives would cost more than what they do.
        """
        said = False
        for key, _ in self._selector.select(timeout_s):
            if key.data == _PIPE:
                said = True
            else:
                self._selector.unregister(key.fileobj)
                self._ended.add(key.data)
        return said

    def _tell(self, kind: str, **record: Any) -> None:
        with contextlib.suppress(OSError):  # a host that is gone is found by its sentinel
            self._pipe.send_bytes(pack_status({"kind": kind, **record}))

    def _on_record(self, record: dict[str, Any]) -> Outcome | None:
        kind = record.pop("kind")
        if kind == "status":
            self._status.update({key: value for key, value in record.items() if key != "states"})
            if record["states"]:
                self._status["states"] = record["states"]
            self._observe(record)
        elif kind == "running":
            self._start_s = time.perf_counter() - self._start_began if self._start_began else 0.0
        elif kind == "refused":
            self._expected_to_leave = True
            return Outcome(Exit(record["code"]), problem=record["text"])
        elif kind == "mapped":
            self._plan = record
            short = too_few_descriptors(len(record["layout"]["pes"]))
            if short:
                return Outcome(Exit.USAGE, problem=short)
            self._mapped(record["layout"])
            if record["transport"] == "zmq":
                self._start_routers()
        elif kind == "routed":
            self._start_pes()
        elif kind == "report":
            return self._finish(record)
        elif kind == "failed":
            return self._failed(record)
        return None

    def _dead(self) -> list[str]:
        self._look(0)
        return [name for name in self._processes if name in self._ended] if self._ended else []

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
            outcome.code, outcome.problem = (
                Exit.LOST,
                f"conservation: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""),
            )
        if record["mismatch"] and record["mismatch"]["difference"]:
            outcome.code, outcome.problem = Exit.MISMATCH, record["mismatch"]["difference"]
        return outcome

    def _failed(self, record: dict[str, Any]) -> Outcome:
        """The host gave up; a process that has just died is the better reason."""
        deadline = time.monotonic() + _GRACE_S
        while time.monotonic() < deadline and not self._dead() and not self._signal:
            time.sleep(_LOOK_S / 10)
        report = self._with_emulation(record["report"])
        if self._signal:
            return self._interrupted(report)
        dead = self._dead()
        problem = self._obituary(dead, record["tick"]) if dead else record["problem"]
        code = Exit.DIED if dead else Exit(record["code"])
        report["problem"] = problem
        return Outcome(code, report, problem, self._plan.get("mapping", []))

    def _autopsy(self, dead: list[str]) -> Outcome:
        """A process has ended that should not have: let the host, if it lives, say how far the run was."""
        report = None
        if self._plan:
            self._observe({"phase": "starting", **self._status, "dead": dead})
        if HOST not in dead and self._plan:
            self._tell("postmortem", text="a process died")
            deadline = time.monotonic() + _POSTMORTEM_S
            while report is None and time.monotonic() < deadline and self._processes[HOST].is_alive():
                for record in self._records(_LOOK_S / 2):
                    if record["kind"] in ("failed", "report"):
                        report = self._with_emulation(record["report"])
                        self._status["tick"] = record["tick"]
                    elif record["kind"] == "status":
                        self._status.update(record)
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
        name = next((n for n in dead if n not in (HOST, *self._addresses)), dead[0])
        process = self._processes[name]
        process.join(_GRACE_S)
        code = process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        hint = ": it ran past its memory" if how in ("SIGSEGV", "SIGBUS") else ""
        phase = self._status.get("phase", "starting")
        state = "RUNNING" if phase == "running" else self._status.get("states", {}).get(name, phase.upper())
        more = f"; {len(dead) - 1} more died" if len(dead) > 1 else ""
        return f"{name} died ({how}{hint}) while {state}, at tick {tick}{more}"

    def _interrupted(self, report: dict[str, Any] | None) -> Outcome:
        code = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}.get(signal.Signals(self._signal), Exit.INTERRUPTED)
        return Outcome(code, report, "interrupted", self._plan.get("mapping", []))

    def _with_emulation(self, report: dict[str, Any]) -> dict[str, Any]:
        """Complete the report with what only the owner of the processes knows."""
        emulation = report["emulation"]
        tokens = report["lm"]["tokens"]
        pes = [process for name, process in self._processes.items() if name not in (HOST, *self._addresses)]
        uss = [n for process in pes[:: 1 + len(pes) // _MEASURED_PES] if (n := _uss(process.pid))]
        emulation |= {
            "processes": len(self._processes),
            "start_s": self._start_s,
            "prepare_s": self._plan.get("prepare_s", 0.0),
            "first_compile_s": self._plan.get("compile_s", 0.0),
            "ms_per_token": 1e3 * emulation["run_s"] / tokens if tokens else None,
            "pe_uss_bytes": int(statistics.median(uss)) if uss else None,
        }
        return report

    def _end(self) -> None:
        """Leave no process behind, and wait until that is so."""
        deadline = time.monotonic() + (_LEAVE_S if self._expected_to_leave and not self._signal else 0.0)
        for process in self._processes.values():
            process.join(max(deadline - time.monotonic(), 0.0))
        for process in self._processes.values():
            if process.is_alive():
                process.kill()  # also ends one that is stopped
        for process in self._processes.values():
            process.join(_LEAVE_S)
        self._selector.close()
        if self._pipe is not None:
            self._pipe.close()


def _uss(pid: int) -> int:
    """Return a process's unique set size in bytes: what would be freed if it ended; 0 where it is gone."""
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error:
        return 0
