"""Runs on the workers of an engine, which stand for machines: one answer, and nothing left behind on any of them."""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from host.run_folder import read_report
from tests.tools.command_lines import without_compiling
from tests.tools.grids import some
from tests.tools.processes import answer, children, gone, shared_memory
from tests.tools.work import crowding
from tests.tools.workers import ROOT, workers

pytestmark = [pytest.mark.wide, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two machines with two chips each."""
    with workers(tmp_path_factory.mktemp("dask"), a=2, b=2) as started:
        started.wait(2)
        yield started


@pytest.mark.parametrize(("chips", "machines"), some([(2, 2), (4, 4)], (2, 2).__eq__))
def test_the_answer_is_that_of_one_machine(run, reference, cluster, chips, machines):
    for name in ("c", "d")[: machines - 2]:
        cluster.add(name, 2)
    cluster.wait(machines)
    outcome = run(pes=8, chips=chips, cluster=cluster.address)
    assert answer(outcome) == reference
    block = outcome.report["machines"]
    assert [machine["chips"] for machine in block["machines"]] == [[chip] for chip in range(chips)]
    assert len(block["machines"]) == machines
    assert any(machine["stored_bytes"] > 0 for machine in block["machines"])  # one that ran before may have it all
    assert set(block["refused"].values()) == {0}
    assert block["restarts"] == []
    assert gone(children)
    assert gone(cluster.families)


@pytest.mark.slow
def test_what_a_worker_has_is_not_sent_again(run, cluster):
    stored_bytes = []
    for _ in range(2):
        machines = run(pes=8, chips=2, cluster=cluster.address).report["machines"]["machines"]
        stored_bytes.append([machine["stored_bytes"] for machine in machines])
    assert stored_bytes[1] == [0, 0]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_runs_leave_nothing(run, cluster):
    shared, descriptors = shared_memory(), None
    hashes = set()
    for _ in range(20):
        hashes.add(run(pes=4, chips=2, tokens=5, cluster=cluster.address).report["events"]["sha256"])
        assert gone(children)
        assert gone(cluster.families)
        descriptors = descriptors or psutil.Process().num_fds()  # after the first: the fork server's own are kept
    assert len(hashes) == 1
    assert gone(lambda: shared_memory() - shared)
    assert psutil.Process().num_fds() <= descriptors
    assert not list(Path(multiprocessing.util.get_temp_dir()).glob("stock-*"))  # what PEs load


def ports_of(process: psutil.Process) -> set[int]:
    """The TCP ports at which a process listens."""
    return {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}


def said_by(port: int, request: bytes) -> bytes:
    """What a port says by itself within a moment, and to a request."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        for words in (b"", request):
            with contextlib.suppress(OSError):
                connection.sendall(words)
                connection.settimeout(0.3)
                heard += connection.recv(1 << 12)
    return heard


@pytest.mark.slow
def test_workers_of_our_own_and_ctrl_c(folder, tmp_path):
    """`local:2` on the command line; the terminal's Ctrl-C reaches every process of the group, and the launcher ends in order."""
    command = [sys.executable, str(ROOT / "launch.py"), "lm", "--checkpoint", str(folder / "tiny.safetensors"), "--no-monitor"]
    command += ["--text", str(folder / "text.txt"), "--tokens", "390", "--pes", "4", "--chips", "2", "--cluster", "local:2"]
    command += ["--fault", "slow=PE(1,1,1)@0:0.05", "--out", str(tmp_path / "run"), "--no-pictures"]
    said = tmp_path / "said"
    with said.open("w") as out, (tmp_path / "err").open("w") as err:
        launcher = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=err, start_new_session=True)
    deadline = time.monotonic() + 120
    while "running: " not in said.read_text():
        assert launcher.poll() is None and time.monotonic() < deadline, (tmp_path / "err").read_text()
        time.sleep(0.05)
    family = psutil.Process(launcher.pid).children(recursive=True)
    assert len(family) > 10
    ports = [port for process in (psutil.Process(launcher.pid), *family) for port in ports_of(process)]
    assert len(ports) >= 5  # a scheduler, two nannies, two workers
    for port in ports:  # Dask speaks first where it speaks in plain text; a router begins as ZMTP does, TLS answers with an alert
        heard = said_by(port, b"GET / HTTP/1.0\r\n\r\n")
        is_zmtp = heard[:1] == b"\xff" and heard[9:10] == b"\x7f"
        assert not heard or is_zmtp or heard[:1] == b"\x15", (port, heard)
    os.killpg(launcher.pid, signal.SIGINT)
    assert launcher.wait(60) == 130
    assert without_compiling((tmp_path / "err").read_text()) == "gennaker: interrupted\n"
    report = read_report(tmp_path / "run")
    assert report["partial"] is True
    if report["conservation"] is not None:  # counted where all was through within 5 s
        assert report["conservation"]["wrong"] == []
    assert psutil.wait_procs(family, timeout=5 * crowding())[1] == []


@pytest.mark.slow
def test_a_killed_launcher_leaves_nothing_on_any_machine(folder, tmp_path, temporary, cluster):
    """Nobody is left to tell the agents: they end by themselves."""
    command = [sys.executable, str(ROOT / "launch.py"), "lm", "--checkpoint", str(folder / "tiny.safetensors"), "--no-monitor"]
    command += ["--text", str(folder / "text.txt"), "--tokens", "390", "--pes", "4", "--chips", "2", "--cluster", cluster.address]
    command += ["--fault", "slow=PE(1,1,1)@0:0.05", "--out", str(tmp_path / "run"), "--no-pictures"]
    said = tmp_path / "said"
    with said.open("w") as out:
        launcher = subprocess.Popen(
            command, cwd=tmp_path, stdout=out, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)}
        )
    deadline = time.monotonic() + 120
    while "running: " not in said.read_text():
        assert launcher.poll() is None, launcher.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cluster.families()
    launcher.kill()
    assert launcher.communicate(timeout=20)[1] == b""
    assert gone(cluster.families, within_s=20)
    assert gone(lambda: list(temporary.rglob("*")))
