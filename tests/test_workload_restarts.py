"""Every workload goes on where its processes are lost, to the same events, answers and metrics, on its smallest example."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from host.errors import Exit
from host.faults import Faults
from host.run.run import Run
from host.run_folder import read_report
from host.workloads.registry import prepare, workloads
from noc.bad_links import LinkFaults
from noc.transports.mem import MemNetwork
from tests.tools.examples import Example
from tests.tools.grids import some
from tests.tools.losses import _live, report_of, run_with_losses
from tests.tools.processes import children, gone
from tests.tools.work import crowding

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def example(request, tmp_path):
    return Example(workloads()[request.param], tmp_path)


def outcome(job, run):
    return report_of(job, run), run.recorder.ledger().port_counts.tobytes()


def metrics(report):
    """Return what a run came to, without what belongs to a clock."""
    return {metric["name"]: metric["value"] for metric in report["metrics"] if not metric["name"].endswith("_s")}


def begun(example):
    job = prepare(example.options(transport="mem"))
    return job, Run(job.placement, job.source, job.readout, repeatable=True, probes=job.probes, fills=job.fills)


@pytest.mark.few(1)
@pytest.mark.slow_but("lm", "snn")
@pytest.mark.parametrize("example", workloads(), indirect=True)
def test_routers_and_pes_are_lost_in_one_process(example):
    job, run = begun(example)
    run_with_losses(run)
    whole = outcome(job, run)
    for losses in ((14, 25), (33,)):
        job, run = begun(example)
        run_with_losses(run, losses, shuffle=2, on_loss=lambda: report_of(job, run, partial=True))  # noqa: B023 - called at once
        assert outcome(job, run) == whole
    job, run = begun(example)
    _live(run, None, MemNetwork(1, LinkFaults(0.03, 0.03, 0.03, 0.03, 1)))
    assert outcome(job, run) == whole


@pytest.mark.wide
@pytest.mark.parametrize("example", some(workloads(), ("control",).__contains__), indirect=True)
def test_a_pe_is_killed_under_restart(example):
    whole = example.run(transport="mem")
    name = whole.layout["pes"][-1]["name"]

    def kill():
        next(process for process in children() if process.name() == name).kill()

    ran = example.run_and_strike(kill, transport="zmq", restart=True, faults=Faults(slow={whole.layout["pes"][0]["name"]: 0.1}))
    assert ran.outcome.code is Exit.OK, ran.outcome.problem
    (restart,) = ran.report["recovery"]["restarts"]
    assert restart["part"] == name
    assert restart["problem"].startswith(f"{name} died (SIGKILL) while RUNNING, at tick ")
    assert ran.report["events"] == whole.report["events"]
    assert metrics(ran.report) == metrics(whole.report)
    assert gone(children)


@pytest.mark.slow
@pytest.mark.parametrize("example", workloads(), indirect=True)
def test_a_run_whose_launcher_is_killed_is_resumed(example):
    whole = example.run(transport="mem")
    tick_s = max(5.0 / whole.report["emulation"]["ticks"], 0.1)  # long enough for a journal, which is written once a second
    out, slow = example.new_folder(), f"slow={whole.layout['pes'][0]['name']}:{tick_s}"

    def launch(*words):
        command = [sys.executable, ROOT / "launch.py", example.command, *words, "--no-monitor", "--no-pictures"]
        return subprocess.Popen(command, cwd=example.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    launcher = launch(*example.flags(restart=True, snapshot=1), "--fault", slow, "--out", out)
    deadline = time.monotonic() + 60 * crowding()
    while not (out / "journal.msgpack").exists():
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    launcher.kill()
    launcher.communicate()
    assert not (out / "report.json").exists()
    resumed = launch("--resume", out)
    said = resumed.communicate()[1]
    assert resumed.returncode == 0, said
    report = read_report(out)
    (restart,) = report["recovery"]["restarts"]
    assert restart["part"] == "the launcher"
    assert report["events"] == whole.report["events"]
    assert metrics(report) == metrics(whole.report)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["scheduler", "worker"])
def test_a_shipped_dnn_goes_on_without_its_scheduler_or_a_worker(tmp_path, who):
    example = Example(workloads()["dnn"], tmp_path, {"checkpoint": "digits-cnn", "samples": 4, "batch": 2, "pes": 9})
    whole = example.run(transport="mem")
    names = {layer: [pe["name"] for pe in whole.layout["pes"] if layer in str(pe)] for layer in ("scheduler", "worker")}
    name = names[who][-1]

    def kill():
        next(process for process in children() if process.name() == name).kill()

    ran = example.run_and_strike(kill, transport="zmq", restart=True, faults=Faults(slow={names["worker"][0]: 0.02}))
    assert ran.outcome.code is Exit.OK, ran.outcome.problem
    (restart,) = ran.report["recovery"]["restarts"]
    assert (restart["part"], restart["problem"].partition(" while")[0]) == (name, f"{name} died (SIGKILL)")
    assert ran.report["recovery"]["counts_of_set"] == 2
    assert ran.report["events"] == whole.report["events"]
    assert gone(children)
