"""Whatever dies or stands still under `--restart`, the run goes on in other processes, to the same hash."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host.errors import Exit, HostError
from host.launch.launcher import Launcher
from host.launch.needed_members import needed_members
from host.launch.resume_file import Unfinished, kept, read_unfinished
from host.processes import fork_server_link
from host.run_folder import read_report
from host.workloads.lm.options import Options as LmOptions
from tests.tools.examples import launch
from tests.tools.grids import some
from tests.tools.processes import SLOW, answer, children, gone, hit, sockets
from tests.tools.work import crowding

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def undisturbed(folder):
    """What a run gives that nobody hits: `hit`'s, in one process."""
    options = LmOptions(
        checkpoint=str(folder / "tiny.safetensors"), text=str(folder / "text.txt"), pes=25, tokens=150
    )  # fmt: skip
    return answer(Launcher(options, lambda _: None, lambda _: None).run())


PARTS = [
    ("PE(1,1,2)@0", signal.SIGKILL, "running"), ("router@0", signal.SIGKILL, "running"),
    ("PE(1,1,2)@0", signal.SIGKILL, "starting"), ("host", signal.SIGKILL, "running"),
    ("PE(1,1,2)@0", signal.SIGSTOP, "running"), ("host", signal.SIGSTOP, "running"),
]  # fmt: skip


@pytest.mark.few(1)
@pytest.mark.parametrize(("name", "number", "phase"), some(PARTS, lambda part: part in (PARTS[1], PARTS[4])))
def test_a_part_that_dies_or_stands_still_is_named_and_replaced(run, undisturbed, name, number, phase):
    stall_s = 2.0 * crowding() if number == signal.SIGSTOP else 30.0
    outcome, _ = hit(run, name, number, phase, restart=True, stall_s=stall_s)
    assert answer(outcome) == undisturbed
    restarts = outcome.report["recovery"]["restarts"]
    restart = next(row for row in restarts if row["part"] == name)  # a busy machine may make others stand still, too
    assert len(restarts) == 1 or number == signal.SIGSTOP, restarts
    assert (f"{name} died (SIGKILL)" if number == signal.SIGKILL else "stalled: ") in restart["problem"]
    assert restart["back_s"] > 0
    assert outcome.report["recovery"]["counts_of_set"] == len(restarts) + 1
    assert gone(children)
    assert gone(sockets)


@pytest.mark.slow
def test_a_pe_server_that_dies_takes_its_pes_with_it_and_these_and_routers_are_replaced(run, undisturbed):
    struck: list[int] = []

    def observe(status):
        if status["phase"] == "running" and status["tick"] > 3 and not struck:
            struck.append(next(p.ppid() for p in children() if p.name().startswith("PE(")))
            os.kill(struck[0], signal.SIGKILL)

    outcome = run(observe=observe, pes=25, tokens=150, faults=SLOW, restart=True)
    assert answer(outcome) == undisturbed
    (restart,) = outcome.report["recovery"]["restarts"]
    assert restart["part"] == "the PE server"
    assert re.match(r"the PE server died \(SIGKILL\), and every PE here with it", restart["problem"])
    assert gone(children)
    assert gone(sockets)


@pytest.mark.slow
def test_a_fork_server_that_dies_takes_everything_with_it_and_all_of_it_is_replaced(run, undisturbed):
    struck: list[int] = []

    def observe(status):
        if status["phase"] == "running" and status["tick"] > 3 and not struck:
            struck.append(fork_server_link._pid())
            os.kill(struck[0], signal.SIGKILL)

    outcome = run(observe=observe, pes=25, tokens=150, faults=SLOW, restart=True)
    assert answer(outcome) == undisturbed
    (restart,) = outcome.report["recovery"]["restarts"]
    assert restart["part"] == "the fork server"
    assert re.match(r"the fork server died \(SIGKILL\)", restart["problem"])
    assert gone(children)
    assert gone(sockets)


@pytest.mark.wide
def test_a_part_that_dies_again_and_again_ends_the_run_as_without_restart(run):
    pids: dict[str, int] = {}

    def observe(status):
        if status["phase"] == "running" and "dead" not in status:
            with contextlib.suppress(ProcessLookupError):  # it is dead already, and not yet replaced
                os.kill(pids["PE(1,1,2)@0"], signal.SIGKILL)

    outcome = run(observe=observe, started=pids.__setitem__, pes=5, tokens=150, faults=SLOW, restart=True)
    assert outcome.code is Exit.DIED
    line = r"PE\(1,1,2\)@0 died \(SIGKILL\) while RUNNING, at tick \d+; it was replaced 3 times before"
    assert re.fullmatch(line, outcome.problem), outcome.problem
    assert [restart["part"] for restart in outcome.report["recovery"]["restarts"]] == ["PE(1,1,2)@0"] * 3
    assert gone(children)


@pytest.mark.slow
def test_what_the_host_hashes_with_is_compiled_before_the_host_starts():
    """A host that compiles says nothing meanwhile, and would be taken for one that stands still."""
    (module,) = set(needed_members(LmOptions(restart=True))) - set(needed_members(LmOptions()))
    look = f"from host.processes import warm_up; import {module} as m; warm_up.load_member({module!r})"
    done = subprocess.run(  # apart: who imports the fork server becomes one, which leaves signals to its launcher
        [sys.executable, "-c", f"{look}; print(len(m._compress.signatures))"], cwd=ROOT, capture_output=True, text=True
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_wrong_input_is_no_death(run, folder):
    outcome = run(checkpoint=str(folder / "text.txt"), restart=True)
    assert outcome.code is Exit.USAGE
    assert outcome.report is None
    with pytest.raises(HostError, match="--restart: goes with --transport zmq"):
        LmOptions("seeded", transport="mem", restart=True).check()


def _launch(*words, **more):
    command = [sys.executable, "launch.py", *map(str, words), "--no-monitor", "--no-pictures"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


@pytest.mark.wide
def test_a_run_whose_launcher_was_killed_is_gone_on_with(folder, tmp_path, undisturbed):
    out = tmp_path / "run"
    model = "--checkpoint", folder / "tiny.safetensors", "--text", folder / "text.txt", "--pes", 9, "--tokens", 150
    launcher = _launch("lm", *model, "--fault", "slow=PE(1,1,1)@0:0.02", "--restart", "--out", out)
    deadline = time.monotonic() + 60 * crowding()
    while not (out / "journal.msgpack").exists():
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launcher.send_signal(signal.SIGSTOP)  # so that it does not end before it is killed, however long the next line takes
    other = launch("lm", "--resume", out, cwd=ROOT)
    assert other.returncode == Exit.USAGE, other.stderr
    assert "is being run by another process" in other.stderr
    launcher.kill()
    launcher.communicate()
    assert not (out / "report.json").exists()
    resumed = launch("lm", "--resume", out, "--no-monitor", "--no-pictures", cwd=ROOT)
    assert resumed.returncode == 0, resumed.stderr
    report = read_report(out)
    assert report["events"]["sha256"] == undisturbed[0]
    (restart,) = report["recovery"]["restarts"]
    assert restart["part"] == "the launcher"
    assert restart["position"] > 0
    assert {"resume.json", "journal.msgpack"}.isdisjoint(path.name for path in out.iterdir())
    assert "is over, has a report" in launch("lm", "--resume", out, cwd=ROOT).stderr


def test_what_cannot_be_gone_on_with_is_told_in_a_line(tmp_path):
    with pytest.raises(HostError, match="is no folder"):
        read_unfinished(tmp_path / "none", "lm")
    with pytest.raises(HostError, match=r"has no resume\.json"):
        read_unfinished(tmp_path, "lm")
    with kept(tmp_path, Unfinished(LmOptions("seeded"), "", [])):
        assert read_unfinished(tmp_path, "lm").options == LmOptions("seeded")
        with pytest.raises(HostError, match="is a run of the workload 'lm'"):
            read_unfinished(tmp_path, "dvs")
        (tmp_path / "resume.json").write_text((tmp_path / "resume.json").read_text().replace('"code": "', '"code": "0'))
        with pytest.raises(HostError, match="was begun by version 0"):
            read_unfinished(tmp_path, "lm")
        (tmp_path / "resume.json").write_text("{")
        with pytest.raises(HostError, match="cannot be read"):
            read_unfinished(tmp_path, "lm")
