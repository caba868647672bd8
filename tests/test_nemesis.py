"""A drawn signal to a drawn process at a drawn moment: the right answer or the right line, in time, with nothing left.

`make chaos N=500` is the long form; what it has measured is in `docs/reliability.md`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from multiprocessing import reduction, spawn
from types import SimpleNamespace

import pytest

from host.errors import Exit, HostError
from host.launch.launcher import Launcher
from host.processes import fork_server_link
from host.processes.fork_environment import is_hang_up
from host.processes.kernel_view import StandstillClock, exit_code_of, is_at_work, is_stopped
from host.processes.process_group import End
from host.workloads.lm.options import Options as LmOptions
from tests.tools.nemesis.checker import judge
from tests.tools.nemesis.stage import Evidence, Stage, play
from tests.tools.nemesis.trial import SETUPS, SIGNALS, Trial, draw, moments_of
from tests.tools.processes import SLOW, children, gone, sockets

pytestmark = pytest.mark.timeout(240)

NAMES = {"fork server", "host", "router", "PE server", "PE", "launcher"}


# --- what is drawn, and how it is judged ---


def test_a_trial_is_drawn_from_its_seed_and_number_alone():
    trials = [draw(7, number) for number in range(400)]
    assert trials == [draw(7, number) for number in range(400)]
    assert trials != [draw(8, number) for number in range(400)]
    assert {trial.signal for trial in trials} == set(SIGNALS)
    assert {trial.setup for trial in trials} == set(SETUPS) - {"full"}
    assert Counter(trial.victim for trial in trials).keys() >= NAMES | {"helper", "worker", "agent"}
    for trial in trials:
        assert trial.victim in moments_of(SETUPS[trial.setup])[trial.moment]
        assert (trial.victim, trial.signal) != ("launcher", "SIGSTOP")  # nobody could end it


def test_under_restart_every_kind_of_process_is_killed_and_stopped():
    trials = [draw(7, number, restart=True) for number in range(600)]
    hit = {(trial.victim, trial.signal) for trial in trials}
    assert hit >= {(victim, signal) for victim in NAMES | {"worker", "agent"} for signal in ("SIGKILL", "SIGSTOP")} - {
        ("launcher", "SIGSTOP")
    }
    assert {signal for _, signal in hit} == {"SIGKILL", "SIGSEGV", "SIGSTOP"}
    assert {trial.setup for trial in trials} == {"tiny", "chips", "cluster"}


TRIAL = Trial(
    number=0, setup="tiny", moment="running", victim="PE", signal="SIGKILL", delay_s=0.0, pause_s=0.5, share=0.5
)  # fmt: skip
WELL = {"partial": False, "events": {"sha256": "abc"}}
LINE = "PE(1,1,0)@0 died (SIGKILL) while RUNNING, at tick 3"


@pytest.mark.parametrize(
    ("trial", "evidence", "kinds"),
    [
        ({}, {"code": 0, "report": WELL}, []),
        ({}, {"code": 0, "report": {**WELL, "events": {"sha256": "abd"}}}, ["hash"]),
        ({}, {"code": 4, "line": LINE}, []),
        ({}, {"code": 4, "line": LINE.replace("PE(1,1,0)", "PE(1,1,1)")}, ["misnamed"]),
        ({}, {"code": 5, "line": "stalled: PE(1,1,0)@0 did not send"}, ["code"]),
        ({}, {"code": 4, "line": LINE, "to_end_s": 11.0}, ["late"]),
        ({}, {"code": 4, "line": LINE, "left": ["process host (stopped)"]}, ["leftover"]),
        ({}, {"code": 4, "line": LINE, "report": {**WELL, "problem": LINE}}, ["partial"]),
        ({}, {"code": 4, "line": LINE, "report": {**WELL, "partial": True, "problem": "another"}}, ["problem"]),
        ({}, {"code": 1, "line": "", "complained": "Traceback\nKeyError: 1\n"}, ["traceback", "code"]),
        ({}, {"code": None, "hung": True}, ["hang"]),
        ({"signal": "SIGTERM"}, {"code": 4, "line": LINE}, ["code"]),
        ({"signal": "STOP-CONT"}, {"code": 0, "report": WELL}, []),
        ({"restart": True}, {"code": 0, "report": WELL}, []),
        ({"restart": True}, {"code": 4, "line": LINE}, ["hash", "code"]),
        ({"restart": True, "victim": "launcher"}, {"code": 0, "report": WELL, "resumed": True}, []),
        ({"restart": True, "victim": "launcher"}, {"code": -9, "report": WELL}, []),
        ({"restart": True, "victim": "launcher"}, {"code": -9}, ["hash"]),
        ({"signal": "SIGSTOP"}, {"code": 5, "line": "stalled: PE(1,1,0)@0 did not send the batch of tick 3 for 3 s"}, []),
        ({"signal": "SIGSTOP", "victim": "fork server"}, {"code": 5, "line": "stalled: the fork server did not start x"}, []),
        ({"victim": "fork server"}, {"code": 4, "line": LINE}, ["misnamed"]),
        ({"victim": "launcher"}, {"code": -9}, []),
        ({"victim": "launcher", "signal": "SIGTERM"}, {"code": 143, "line": "interrupted"}, []),
    ],
)
def test_a_violation_is_called_by_its_kind(trial, evidence, kinds):
    trial = replace(TRIAL, **trial)
    struck = trial.victim if trial.victim != "PE" else "PE(1,1,0)@0"
    line = evidence.pop("line", "")
    evidence = {"struck": struck, "complained": f"gennaker: {line}\n" if line else "", "to_end_s": 1.0, **evidence}
    quiet = Evidence(code=0, report=WELL, total_s=2.0)
    wrong = judge(trial, Evidence(**evidence), quiet)
    assert [what.partition(":")[0] for what in wrong] == kinds, wrong


# --- some real ones; the seed is such that each hits another process ---


@pytest.fixture(scope="module")
def stage():
    made = Stage()
    yield made
    made.close()


@pytest.fixture(scope="module")
def quiet(stage):
    return play(stage, replace(TRIAL, moment=""), strikes=False)


@pytest.mark.parametrize(
    ("victim", "number", "moment"),
    [
        ("fork server", "SIGSTOP", "starting PE"),
        ("PE server", "SIGSTOP", "start PE"),
        ("PE server", "SIGKILL", "start PE"),
        ("router", "SIGKILL", "loading"),
        ("host", "SIGKILL", "report"),
    ],
)
@pytest.mark.slow
def test_a_signal_ends_a_run_as_it_should(stage, quiet, victim, number, moment):
    assert quiet.code == 0, quiet.complained
    trial = replace(TRIAL, victim=victim, signal=number, moment=moment)
    evidence = play(stage, trial)
    assert evidence.struck
    assert judge(trial, evidence, quiet) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setup", [name for name in SETUPS if name != "full"])
def test_twenty_drawn_signals_violate_nothing(stage, setup):
    quiet = play(stage, replace(TRIAL, setup=setup, moment=""), strikes=False)
    for number in range(20):
        trial = draw(11, number, (setup,))
        wrong = judge(trial, play(stage, trial), quiet)
        assert wrong == [], (trial, wrong)


# --- the bounds themselves ---


@pytest.mark.slow
def test_a_fork_server_that_is_stopped_while_a_run_goes_on_does_no_harm_and_is_ended(run):
    stopped: list[int] = []

    def observe(status):
        pid = fork_server_link._pid()
        if status["phase"] == "running" and not stopped:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    outcome = run(observe=observe, pes=7, tokens=30, faults=SLOW)
    assert outcome.code is Exit.OK, outcome.problem
    assert gone(lambda: is_stopped(stopped[0]))
    assert gone(children)
    assert gone(sockets)
    assert run().code is Exit.OK  # who runs next has another


def test_what_has_come_to_its_end_is_whole_whoever_dies_then():
    """The report waits in the pipe when a death is noticed: nobody who has died by then is needed any more."""
    launcher = Launcher(LmOptions("seeded"), lambda layout: None, lambda status: None)
    launcher._plan, launcher._is_prepared = {"mapping": []}, True
    report = {"partial": False, "emulation": {"run_s": 1.0, "units": 1}, "conservation": {"wrong": []}}
    record = {"kind": "report", "report": report, "interrupted": False, "mismatch": None, "tick": 9}
    launcher._host = SimpleNamespace(read=lambda _: [record], send=lambda *_, **__: None, heard_at=0.0)
    launcher._processes.is_alive = lambda _: True
    launcher._dead_processes = lambda: ["router@0"]
    launcher._processes.end_of, launcher._processes.has_left = lambda name: End(name, "SIGKILL"), lambda name: False
    outcome = launcher._on_death(["router@0"])
    assert (outcome.code, outcome.problem, outcome.report["partial"]) == (Exit.OK, None, False)


def test_a_clock_of_standstill_does_not_count_the_time_in_which_nobody_looked(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock, seen = StandstillClock(), []
    for step_s, stopped in ((0.1, False), (0.1, True), (1.0, True), (1.0, True), (60.0, True), (1.0, True), (1.0, False)):
        now[0] += step_s
        seen.append(round(clock.look(stopped), 3))
    assert seen == [0, 0, 1, 2, 0, 1, 0]  # after a minute without a look, as after Ctrl-Z, it begins anew


def test_the_kernel_tells_who_is_stopped_and_how_one_ended_that_nobody_has_reaped():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert not is_stopped(process.pid)
        assert gone(lambda: is_at_work(process.pid))  # it has started, and sleeps
        assert is_at_work(os.getpid())
        process.send_signal(signal.SIGSTOP)
        assert gone(lambda: not is_stopped(process.pid))
        assert exit_code_of(process.pid) is None
        process.kill()
        assert gone(lambda: exit_code_of(process.pid) is None)
        assert exit_code_of(process.pid) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert exit_code_of(process.pid) is None
    assert not is_stopped(process.pid)


def test_a_start_that_is_waited_for_in_vain_is_one_line(monkeypatch):
    """The fork server stops for good: whoever waits for its answer sees its end after the bound."""
    link = fork_server_link.ForkServerLink(0.5, str)
    pretended = SimpleNamespace(ended=0)
    monkeypatch.setattr(fork_server_link, "_pid", lambda: 1)
    monkeypatch.setattr(fork_server_link, "is_stopped", lambda pid: True)
    monkeypatch.setattr(fork_server_link, "children_of", lambda pid: [])
    monkeypatch.setattr(link, "_kill", lambda: setattr(pretended, "ended", 1))
    with link._watched("PE(1,1,0)@0"):
        assert gone(lambda: not pretended.ended, within_s=10.0)
    error = link.failed_start("PE(1,1,0)@0", EOFError())
    assert isinstance(error, HostError)
    assert error.code is Exit.STALLED
    assert str(error).startswith("stalled: the fork server did not start PE(1,1,0)@0 for ")
    assert str(error).endswith(" s: it is stopped")


def test_a_launcher_that_dies_before_it_has_sent_everything_is_no_bug():
    """It asks for a process with two messages: pipes to the fork server, then what to run to the new process."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    theirs.close()
    os.close(writing)
    with ours:
        for receive in (lambda: reduction.recvfds(ours, 4), lambda: spawn._main(reading, -1)):
            with pytest.raises(EOFError) as ended:
                receive()
            assert is_hang_up(ended.value, ended.tb)
    with pytest.raises(EOFError) as ended:
        raise EOFError
    assert not is_hang_up(ended.value, ended.tb)
