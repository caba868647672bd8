"""Nothing hangs, nothing is left behind: what happens when a process dies, stands still or hears nonsense.

Real processes, killed with real signals. "Nothing" means no process, no socket (abstract ones have no file), no shared memory.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from host.errors import Exit
from host.faults import Faults
from host.launch.launcher import Launcher
from host.run_folder import read_report
from host.workloads.lm.options import Options as LmOptions
from tests.tools.grids import some
from tests.tools.processes import SLOW, children, gone, hit, shared_memory, sockets
from tests.tools.work import crowding

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.wide_but("host-starting")
@pytest.mark.parametrize("phase", ["starting", "running"])
@pytest.mark.parametrize("name", ["PE(1,1,2)@0", "router@0", "host"])
def test_a_killed_process_is_named_and_the_run_ends(run, name, phase):
    outcome, seconds = hit(run, name, signal.SIGKILL, phase)
    assert outcome.code is Exit.DIED
    state = "RUNNING" if phase == "running" else r"\w+"
    assert re.fullmatch(
        rf"{re.escape(name)} died \(SIGKILL\) while {state}, at tick \d+; with --restart a run goes on", outcome.problem
    ), outcome.problem
    assert "\n" not in outcome.problem
    assert seconds < 5 * crowding()
    assert gone(children)
    assert gone(sockets)


_BATCH = """
import os
from host.processes.scheduling import let_others_finish
os.sched_setscheduler(0, getattr(os, POLICY), os.sched_param(0))
let_others_finish()
print(os.sched_getscheduler(0) == getattr(os, AFTER))
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux")
@pytest.mark.parametrize(("policy", "after"), [("SCHED_OTHER", "SCHED_BATCH"), ("SCHED_IDLE", "SCHED_IDLE")])
def test_a_policy_that_a_user_has_chosen_is_left(policy, after):
    source = _BATCH.replace("POLICY", repr(policy)).replace("AFTER", repr(after))
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False)
    if "PermissionError" in done.stderr:
        pytest.skip("this system refuses other policies")
    assert done.stdout == "True\n", done.stderr


@pytest.mark.skipif(getattr(os, "sched_getscheduler", lambda _: -1)(0) != 0, reason="needs Linux, and its usual policy here")
def test_no_pe_and_no_router_interrupts_another_when_it_is_woken(run):
    pids, policies = {}, {}

    def look(status):
        if status.get("phase") == "running" and not policies:
            policies.update({name: os.sched_getscheduler(pid) for name, pid in pids.items()})

    assert run(pes=4, tokens=40, faults=SLOW, started=pids.__setitem__, observe=look).code is Exit.OK
    assert policies == dict.fromkeys(pids, os.SCHED_BATCH) | {"host": os.SCHED_OTHER}


@pytest.mark.wide
def test_a_pe_that_runs_past_its_memory_is_named(run):
    outcome, _ = hit(run, "PE(1,1,2)@0", signal.SIGSEGV)
    assert outcome.code is Exit.DIED
    assert outcome.problem.startswith("PE(1,1,2)@0 died (SIGSEGV: it ran past its memory) while RUNNING, at tick ")


def test_a_report_of_a_run_that_ended_badly_is_marked_as_partial(run):
    outcome, _ = hit(run, "PE(1,1,2)@0", signal.SIGKILL)
    assert outcome.report["partial"] is True
    assert outcome.report["problem"] == outcome.problem
    assert 0 < outcome.report["result"]["tokens"] < 150


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("PE(1,1,2)@0", r"stalled: PE\(1,1,2\)@0 did not send the batch of tick \d+ for 2 s"),
        ("router@0", r"stalled: router@0 did not pass on tick \d+ for 2 s"),
        ("host", r"stalled: host has said nothing for 2 s, at tick \d+"),
    ],
)
def test_a_process_that_stands_still_is_named(run, name, line):
    outcome, seconds = hit(run, name, signal.SIGSTOP, stall_s=2.0)
    assert outcome.code is Exit.STALLED
    assert re.fullmatch(line + "; with --restart a run goes on", outcome.problem), outcome.problem
    assert seconds < 5 * crowding()
    assert gone(children)


@pytest.mark.wide
def test_a_slow_pe_is_no_stalled_one(run):
    """The limit is on standing still, not on taking long: the run lasts longer than the limit and ends well."""
    began = time.monotonic()
    limit_s = crowding()
    outcome = run(pes=3, tokens=40, stall_s=limit_s, faults=Faults({"PE(1,1,1)@0": 0.03 * limit_s}))
    assert outcome.code is Exit.OK
    assert time.monotonic() - began > limit_s


@pytest.mark.wide_but("15")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_run_in_order_with_a_partial_report(run, number):
    sent: list[int] = []

    def observe(status) -> None:
        if status["phase"] == "running" and status["tick"] > 3 and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    outcome = run(observe=observe, pes=7, tokens=390, faults=SLOW)  # long enough for a launcher that gets no core for seconds
    assert outcome.code is (Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED)
    assert outcome.problem == "interrupted"
    assert outcome.report["partial"] is True
    if outcome.report["conservation"] is not None:  # counted where all was through within 5 s
        assert outcome.report["conservation"]["wrong"] == []  # even then no packet is lost
    assert gone(children)


@pytest.mark.wide
@pytest.mark.parametrize("runs", some((6, 20), (6).__eq__))
def test_any_number_of_runs_leaves_nothing(run, runs):
    shared_before = shared_memory()
    descriptors_before = psutil.Process().num_fds()
    outcomes = [run(pes=4, tokens=5) for _ in range(runs)]
    assert [outcome.problem for outcome in outcomes] == [None] * runs
    hashes = {outcome.report["events"]["sha256"] for outcome in outcomes}
    assert len(hashes) == 1
    assert gone(children)
    assert gone(sockets)
    assert gone(lambda: shared_memory() - shared_before)
    assert psutil.Process().num_fds() <= descriptors_before + 4  # the fork server's own, kept for the next run


@pytest.mark.few(1)
@pytest.mark.parametrize("after_s", some((0.3, 0.6, 0.9, 1.3, 2.0), (0.3, 0.9).__contains__))
def test_a_killed_launcher_prints_nothing_and_leaves_nothing(folder, tmp_path, temporary, after_s):
    command = [sys.executable, str(ROOT / "launch.py"), "lm", "--checkpoint", str(folder / "tiny.safetensors"), "--no-monitor"]
    command += ["--text", str(folder / "text.txt"), "--tokens", "150", "--pes", "25", "--fault", "slow=PE(1,1,1)@0:0.05"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    launcher = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(after_s)
    family = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    _, err = launcher.communicate(timeout=10)  # also waits until every child has closed the pipe it inherited
    assert err == b""
    left = psutil.wait_procs(family, timeout=2)[1]
    assert left == []
    assert gone(sockets)
    assert gone(lambda: list(temporary.rglob("*")))  # multiprocessing's own listening socket is a file


def test_nonsense_on_the_router_is_counted_and_named_and_harms_nobody(folder):
    """A stranger sends frames that are no message, a message from nobody, and bytes that are not even ZeroMQ's."""
    import zmq

    pids: dict[str, int] = {}
    options = LmOptions(checkpoint=str(folder / "tiny.safetensors"), text=str(folder / "text.txt"), tokens=60, pes=5, faults=SLOW)
    quiet = Launcher(options, lambda layout: None, lambda status: None).run()
    cluster = Launcher(options, lambda layout: None, lambda status: None, pids.__setitem__)

    def babble() -> None:
        while "PE(2,1,0)@0" not in pids:
            time.sleep(0.01)
        with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
            stranger.connect(cluster._backend._addresses["router@0"])
            stranger.send(b"\xc1 no msgpack")
            stranger.send_multipart([b"three", b"frames", b"here"])
            stranger.send(b"")
            stranger.send(b"\x93\x00\x05\x90")  # a well-formed batch, from an endpoint that the chip does not have
            stranger.close(linger=1000)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect("\0" + cluster._backend._addresses["router@0"].removeprefix("ipc://@"))
            raw.sendall(os.urandom(4096))

    thread = threading.Thread(target=babble)
    thread.start()
    outcome = cluster.run()
    thread.join()
    assert outcome.code is Exit.OK, outcome.problem
    assert outcome.report["events"]["sha256"] == quiet.report["events"]["sha256"]
    malformed = outcome.report["counters"]["malformed"]
    assert set(malformed) == {"host", "router@0 from stranger"}
    assert malformed["host"] == 0
    assert malformed["router@0 from stranger"] >= 4  # ZeroMQ takes some of the raw bytes for messages of its first version


@pytest.mark.parametrize(
    ("wrong", "difference", "code"),
    [
        ([], None, Exit.OK),
        (["router@0 handed 5 packets to PE(1,1,0)@0, which got 4"], None, Exit.LOST),
        ([], "first difference at position 3, layer 1, unit 7: run 1.0, reference 2.0", Exit.MISMATCH),
    ],
)
def test_lost_packets_and_differences_end_with_their_own_codes(wrong, difference, code):
    """What the launcher makes of the host's last record; `Run` and `Witness` have their own tests of what they find."""
    cluster = Launcher(LmOptions("seeded"), lambda layout: None, lambda status: None)
    cluster._plan, cluster._host = {"mapping": []}, SimpleNamespace(send=lambda *_, **__: None)
    report = {"partial": False, "emulation": {"run_s": 1.0, "units": 1}, "conservation": {"wrong": wrong}}
    outcome = cluster._finish({"report": report, "mismatch": {"compared": 1, "difference": difference}, "interrupted": False})
    assert outcome.code is code
    assert (outcome.problem is None) == (code is Exit.OK)
    assert all(part in outcome.problem for part in wrong)


@pytest.mark.wide
def test_the_cache_of_compiled_code_says_when_it_is_whole_and_a_users_own_does_too(tmp_path):
    asked = "from models.compute.compiling import cache_is_complete as complete, mark_cache_complete as mark"
    asked += "; print(complete()); mark(); print(complete())"
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        folder = tmp_path / name
        folder.mkdir()
        environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | {name: str(folder)}
        told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        assert told.stdout.split() == ["False", "True"]
        assert [*folder.rglob("whole-*")]


@pytest.mark.wide
@pytest.mark.timeout(120)
def test_for_a_run_that_is_refused_nothing_is_compiled(folder, tmp_path):
    """On a fresh machine wrong input is said in the time that it takes to read it."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command = [sys.executable, "launch.py", "lm", str(folder / "tiny.safetensors"), "--pes", "1000", "--out", str(tmp_path / "out")]
    told = subprocess.run([*command, "--text", str(folder / "text.txt")], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert told.returncode == Exit.DOES_NOT_FIT, told
    assert re.fullmatch(r"gennaker: --pes 1000: .*\n", told.stderr), told.stderr
    assert len([*(tmp_path / "cache").rglob("*.nbc")]) <= 1  # what is called as a neuron model is loaded
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_the_first_run_compiles_is_not_in_the_memory_of_its_pes(folder, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")  # as on a fresh machine
    tiny = ["lm", "--checkpoint", folder / "tiny.safetensors", "--text", folder / "text.txt", "--tokens", "24", "--pes", "5"]
    reports = []
    for out in (tmp_path / "first", tmp_path / "second"):
        command = [sys.executable, "launch.py", *map(str, tiny), "--no-pictures", "--out", str(out)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        reports.append(read_report(out))
    first, second = (report["emulation"] for report in reports)
    assert first["first_compile_s"] > 1
    assert second["first_compile_s"] == 0
    assert first["pe_uss_bytes"] < 1.1 * second["pe_uss_bytes"]
    assert reports[0]["events"] == reports[1]["events"]
