"""Every folder of `host/workloads/` keeps what the contract says: it is found by its name and tried on its smallest example.

A new workload gets these tests by having `example.py` (`host/workloads/registry.py`). By default each way that a run can go
is tried once (`ROWS`); the rest of the matrix is slow.
"""

from __future__ import annotations

import csv
import gzip
import html
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from test_monitor import SIZES, fits, seen, terminal  # noqa: F401 - fixtures

from host.errors import Exit
from host.faults import Faults
from host.flags import flag_of, option_fields
from host.run.run import Run
from host.run_folder import read_report
from host.show.summary import published, summary
from host.workloads.contract import ENERGY, PER_ENERGY, STEPS, TIME
from host.workloads.registry import default_workload, prepare, restore_options, workload_of, workloads
from tests.tools.examples import Example, Played, has_reference, launch, leaves
from tests.tools.losses import report_of, run_with_losses
from tests.tools.processes import children, gone
from tests.tools.workers import workers

ROOT = Path(__file__).resolve().parents[1]
SLOW_S = 0.1  # a message of one PE: long enough for a run to be hit
WORKERS = "two workers that are there"  # for the cluster of a row; `local:2` starts its own, for seconds

pytestmark = pytest.mark.timeout(120)  # the first run on a machine compiles the kernels


class Row(NamedTuple):
    """One way to run."""

    transport: str
    chips: int
    batch: int
    verify: bool = False
    cluster: str | None = None

    def __str__(self) -> str:
        words = f"{self.transport}-{self.chips}-chips-batch-{self.batch}"
        return words + "-verify" * self.verify + f"-{self.cluster or ''}".rstrip("-").replace(" ", "-")


ROWS = (
    Row("mem", chips=1, batch=1, verify=True),
    Row("zmq", chips=2, batch=2),
    Row("zmq", chips=2, batch=1, cluster=WORKERS),
)
"""Each value of each column once."""
PLAIN = ROWS[0]._asdict()
OVER_PROCESSES = ("arrays", "dnn", "snn")
"""Numbers in and out, tensors over DRAM, and spikes with a batch: the workloads that are always run over processes; the others too
are in their own tests.
"""
ALWAYS = [*(f"{name}-{ROWS[0]}" for name in workloads()), *(f"{name}-{ROWS[1]}" for name in OVER_PROCESSES)]
MATRIX = [
    Row(*values)
    for values in itertools.product(("mem", "zmq"), (1, 2), (1, 2), (False, True), (None, "local:2"))
    if values[0] == "zmq" or values[-1] is None
]


@pytest.fixture(scope="module", params=tuple(workloads()))
def example(request, tmp_path_factory):
    """The smallest example of a workload, with the runs that several tests look at."""
    return Example(workloads()[request.param], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler with two workers."""
    with workers(tmp_path_factory.mktemp("dask"), a=1, b=1) as started:
        started.wait(2)
        yield started.address


def run_row(example, row, request):
    options = row._asdict()
    if row.cluster == WORKERS:
        options["cluster"] = request.getfixturevalue("scheduler")
    return example.run(**options)


# -- the options


def test_a_workload_has_a_command_of_its_own_and_names_no_metric_twice(example):
    workload = example.workload
    others = [name for other in workloads().values() if other != workload for name in other.commands]
    assert not set(workload.commands) & set(others)
    assert workload_of(example.options()) == workload
    assert all(name == metric.name and metric.value is None for name, metric in workload.metrics.items())
    assert len({metric.label for metric in workload.metrics.values()}) == len(workload.metrics)


def test_the_help_shows_every_option_with_its_default(example):
    done = launch(example.command, "--help", cwd=example.folder)
    assert (done.returncode, done.stderr) == (0, "")
    text = "".join(done.stdout.split())  # wherever lines are broken
    for entry in option_fields(example.workload.options):
        about, line = entry.metadata, ""
        if about["help"]:
            line = f"{flag_of(entry)} {about['metavar'] or ''} {about['help']}"
        if entry.default is not None and not isinstance(entry.default, bool):
            line += f"(default {entry.default:g})" if isinstance(entry.default, float) else f"(default {entry.default})"
        assert "".join(line.split()) in text, entry.name


def test_defaults_are_within_their_own_bounds(example):
    example.workload.options().check()
    for entry in option_fields(example.workload.options):
        assert entry.default is None or entry.metadata["bounds"].fits(entry.default), entry.name
        assert restore_options({"workload": example.workload.name, entry.name: entry.default}) == example.workload.options()


def test_options_come_back_from_their_record(example):
    late = example.options(faults=Faults(slow={"PE(1,1,0)@0": 0.5}, late=((3, 2),)))
    shuffled = example.options(transport="mem", faults=Faults(shuffle=7))
    for options in (example.workload.options(), example.options(), late, shuffled):
        assert restore_options(json.loads(json.dumps(options.resolved()))) == options


def test_a_config_that_cannot_be_used_ends_in_one_line(example, tmp_path):
    record, others = example.options().resolved(), sorted(set(workloads()) - {example.workload.name})
    wrong = {
        "has 'no_such_option', which is no option": {**record, "no_such_option": 1},
        "batch needs a whole number of at least 1, has 'two'": {**record, "batch": "two"},
        "verify needs true or false, has 1": {**record, "verify": 1},
        "checkpoint needs a text": {**record, "checkpoint": 5},
        "faults cannot be read": {**record, "faults": {"slow": 3}},
        "needs the options of": {**record, "workload": others[0] if others else "none"},
        "has None": {name: value for name, value in record.items() if name != "workload"},
        "has 'list'": [record],
    }
    for line, content in wrong.items():
        (tmp_path / "wrong.json").write_text(json.dumps(content))
        done = launch(example.command, "--config", "wrong.json", "--out", "out", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.USAGE, "", 1), done.stderr
        assert line in done.stderr
        assert "--config wrong.json: " in done.stderr
        assert not (tmp_path / "out").exists()


# -- the run


def check_row(example, row, request):
    plain, ran = example.run(**PLAIN), run_row(example, row, request)
    for outcome in (plain.outcome, ran.outcome):
        assert (outcome.code, outcome.problem) == (Exit.OK, None)
    report, expected = ran.report, plain.report
    assert (report["partial"], report["conservation"]["wrong"]) == (False, [])
    sequences, alone = report["events"]["sequences"], expected["events"]["sequences"]
    both = min(len(sequences), len(alone))
    assert sequences[:both] == alone[:both]  # a sequence's number says which it is, in any batch
    assert len(set(sequences)) == len(sequences) >= row.batch
    if row.batch == 1:
        assert report["events"] == expected["events"]
        assert known(report["result"]) == known(expected["result"])
    if row.verify:
        assert ran.outcome.mismatch["difference"] is None
        assert ran.outcome.mismatch["compared"] > 0
        assert report["verify"] == ran.outcome.mismatch
    names = [metric["name"] for metric in report["metrics"]]
    assert len(set(names)) == len(names)
    assert set(names) <= set(example.workload.metrics)
    assert all(metric["value"] is None or math.isfinite(metric["value"]) for metric in report["metrics"])
    assert any(metric["value"] is not None for metric in report["metrics"]) or not example.workload.metrics
    assert report["unit"] == example.workload.about.UNIT
    assert gone(children)


def known(result):
    """Return a result without what a clock measured."""
    return {path: value for path, value in leaves(result) if path != ".host_s"}


@pytest.mark.parametrize("row", ROWS[:2], ids=str)
@pytest.mark.slow_but(*ALWAYS)
def test_a_run_has_one_answer(example, row, request):
    check_row(example, row, request)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_run_on_two_workers_has_one_answer(tmp_path_factory, request):
    """The default workload's; `tests/test_cluster.py` has one that is always run."""
    check_row(Example(default_workload(), tmp_path_factory.mktemp("default")), ROWS[2], request)


@pytest.mark.slow
@pytest.mark.parametrize("row", MATRIX, ids=str)
def test_a_run_has_one_answer_whichever_way_it_goes(example, row, request):
    check_row(example, row, request)


@pytest.mark.few(4)
@pytest.mark.parametrize("row", ROWS[:2], ids=str)
@pytest.mark.slow_but(*ALWAYS)
def test_a_run_can_be_priced_again(example, row):
    ran = example.run(**row._asdict())
    done = launch("price", ran.folder, "--set", "clock=300MHz", cwd=example.folder)
    assert (done.returncode, done.stderr) == (0, "")
    done = launch("price", ran.folder, "--json", cwd=example.folder)
    prices = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert prices["recorded"] == prices["priced"] == json.loads(json.dumps(ran.report["modelled"]))


# -- what stays of a run: the command line's folder


@pytest.fixture(scope="module")
def typed(example):
    """The example as a user types it, from the folder of its files and without a number of PEs; and its report."""
    return type_run(example, "--no-pictures")


def type_run(example, *flags):
    """Run the example by the command line; return its folder, what was printed, and the report."""
    out = example.new_folder()
    done = launch(example.command, *example.flags(pes=None, transport="mem"), "--out", out, *flags, cwd=example.folder)
    assert (done.returncode, done.stderr) == (0, "")
    return out, done, read_report(out)


@pytest.mark.wide
@pytest.mark.slow_but("snn")
def test_the_page_and_the_trace_are_there(example):
    out, done, report = type_run(example)
    assert "Traceback" not in done.stdout
    page = (out / "report.html").read_text()
    assert "Traceback" not in page
    for section in example.workload.part("page", "sections", lambda _: [])(report):
        assert section in page
    labels = [metric["label"] for metric in report["metrics"] if metric["value"] is not None]
    assert all(html.escape(label) in page for label in labels)
    assert json.loads(gzip.decompress((out / "trace.json.gz").read_bytes()))["traceEvents"]


@pytest.mark.wide
@pytest.mark.slow_but("control", "dnn", "lm")
def test_the_config_alone_repeats_a_run_from_any_folder(example, typed, tmp_path):
    out, _, report = typed
    config = json.loads((out / "config.json").read_text())
    assert config["pes"] == report["mapping"]["pes"]  # not the None that was typed
    again = launch(example.command, "--config", out / "config.json", "--out", "again", "--no-pictures", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    repeated = read_report(tmp_path / "again")
    assert repeated["events"] == report["events"]
    assert known(repeated["result"]) == known(report["result"])
    assert repeated["metrics"] == report["metrics"]
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == config
    assert report["events"] == example.run(**PLAIN).report["events"]  # on as many PEs as the example names


# -- while it runs


def slow_pe(example):
    """Return a fault that makes a run over processes last long enough to be hit."""
    return Faults(slow={example.run(**PLAIN).layout["pes"][0]["name"]: SLOW_S})


@pytest.fixture(scope="module")
def interrupted(example):
    """A run over processes that got a Ctrl-C."""
    return example.run_and_strike(lambda: os.kill(os.getpid(), signal.SIGINT), transport="zmq", faults=slow_pe(example))


@pytest.mark.wide_but("lm")
@pytest.mark.slow_but("dnn", "dvs", "lm")
def test_ctrl_c_half_way_leaves_a_partial_report_and_no_process(example, interrupted):
    assert (interrupted.outcome.code, interrupted.outcome.problem) == (Exit.INTERRUPTED, "interrupted")
    assert gone(children)
    report = read_report(interrupted.folder)
    assert report["partial"] is True
    assert report["conservation"]["wrong"] == []
    assert {metric["name"] for metric in report["metrics"]} <= set(example.workload.metrics)
    example.workload.part("page", "sections", lambda _: [])(report)
    assert launch("price", interrupted.folder, cwd=example.folder).returncode == 0


@pytest.mark.slow
def test_ctrl_c_on_the_command_line(example):
    out, faults = example.new_folder(), slow_pe(example)
    fault = ",".join(f"slow={name}:{seconds}" for name, seconds in faults.slow.items())
    command = [sys.executable, str(ROOT / "launch.py"), example.command, *example.flags(), "--fault", fault]
    command += ["--no-monitor", "--out", str(out)]
    said = example.folder / "said"
    with said.open("w") as stream:
        launcher = subprocess.Popen(command, cwd=example.folder, stdout=stream, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 40
    while "running: " not in said.read_text():
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    family = psutil.Process(launcher.pid).children(recursive=True)
    assert len(family) >= 5  # fork server, host, router, PEs
    launcher.send_signal(signal.SIGINT)
    assert launcher.communicate(timeout=20)[1] == "gennaker: interrupted\n"
    assert launcher.returncode == Exit.INTERRUPTED
    assert read_report(out)["partial"] is True
    assert (out / "report.html").exists()
    assert psutil.wait_procs(family, timeout=5)[1] == []


@pytest.mark.wide_but("snn")
@pytest.mark.slow_but("dnn", "snn")
def test_a_killed_pe_is_named(example):
    name = example.run(**PLAIN).layout["pes"][-1]["name"]

    def kill():
        next(process for process in children() if process.name() == name).kill()

    ran = example.run_and_strike(kill, transport="zmq", faults=slow_pe(example))
    assert ran.outcome.code is Exit.DIED
    assert re.fullmatch(rf"{re.escape(name)} died \(SIGKILL\) while RUNNING, at tick \d+; with .*", ran.outcome.problem)
    assert (ran.report["partial"], ran.report["problem"]) == (True, ran.outcome.problem)
    assert gone(children)


@pytest.mark.slow_but("dnn", "dvs", "lm")
def test_a_finished_and_a_partial_run_have_a_summary(example, interrupted):
    for ran in (example.run(**PLAIN), interrupted):
        report = json.loads(json.dumps(ran.report))
        lines = example.workload.part("summary", "summary_lines", lambda *_: [])(report, published())
        text = summary(report, lines)
        assert report["events"]["sha256"] in text
        assert all("\n\n" not in line and line.strip() for line in text.splitlines())


@pytest.mark.few(1)
@pytest.mark.slow_but("dnn", "dvs", "lm")
def test_the_monitor_draws_a_real_run_at_any_size(example, interrupted, seen):  # noqa: F811 - the fixture
    ran = interrupted
    panel = example.workload.part("panel", "PANEL")
    running = [status for status in ran.statuses if status["phase"] == "running"]
    assert len(running) > 1
    for (width, height), status in itertools.product(SIZES, (ran.statuses[0], running[0], running[-1])):
        _, lines = seen(status, width, height, ran.layout, panel)
        assert fits(lines, width, height)
        text = "\n".join(lines)
        assert "Traceback" not in text
        assert status["phase"] in text
    assert all(metric["name"] in example.workload.metrics for status in ran.statuses for metric in status["metrics"])


@pytest.mark.few(7)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_job_goes_on_from_a_snapshot_half_way(example, batch):
    if not has_reference(prepare(example.options()).placement.network):
        pytest.skip("its plain reference is of tensors; tests/test_dnn_runs.py goes on from snapshots")
    whole, first, second = (prepare(example.options(batch=batch)) for _ in range(3))
    uninterrupted, played = Played(whole), Played(first)
    uninterrupted.play(sys.maxsize)
    played.play(len(uninterrupted.feeds) // 2 + 1)  # not just between two sequences
    assert 0 < len(played.feeds) < len(uninterrupted.feeds)
    second.source.restore(first.source.snapshot())
    second.readout.restore(first.readout.snapshot())
    assert (second.source.snapshot(), second.readout.snapshot()) == (first.source.snapshot(), first.readout.snapshot())
    assert second.readout.progress() == first.readout.progress()
    played.job = second
    played.play(sys.maxsize)
    assert played.feeds == uninterrupted.feeds
    assert known(second.readout.result()) == known(whole.readout.result())
    assert second.readout.metrics(None) == whole.readout.metrics(None)


# -- sweeps


def test_metrics_follow_a_price_as_the_workload_says(example):
    """What a sweep reckons them by where a point has another price than the run."""
    job = prepare(example.options(transport="mem"))
    run = Run(job.placement, job.source, job.readout, repeatable=True, probes=job.probes, fills=job.fills)
    run_with_losses(run)
    cost = report_of(job, run)["modelled"]
    assert example.workload.priced.keys() <= example.workload.metrics.keys()
    assert {*example.workload.priced.values()} <= {TIME, ENERGY, PER_ENERGY, STEPS}
    other = {**cost, "time_s": 2 * cost["time_s"], "energy_j": 5 * cost["energy_j"]}
    before, after = ({one.name: one.value for one in job.readout.metrics(price)} for price in (cost, other))
    assert before.keys() >= {name for name, follows in example.workload.priced.items() if follows != STEPS}
    scales = {TIME: 2, ENERGY: 5, PER_ENERGY: 1 / 5, None: 1}
    for name, follows in ((name, example.workload.priced.get(name)) for name, value in before.items() if value is not None):
        if follows != STEPS:
            assert after[name] == pytest.approx(scales[follows] * before[name]), name


@pytest.mark.wide
def test_a_sweep_varies_it_and_shows_its_metrics(example, tmp_path):
    options, metrics = example.workload.options, list(example.workload.metrics)[:1]
    swept = {entry.name for entry in option_fields(options) if entry.metadata["sweep"]} - {"pes", "transport"}
    base = {"workload": example.workload.name, **{name: value for name, value in example.chosen.items() if name in swept}}
    lines = ["[base]", *(f"{name} = {json.dumps(value)}" for name, value in base.items())]
    places = ["mem"] if prepare(example.options()).placement.transfers.allowed else ["mem", "recorded"]  # transfers need a run
    lines += [f"pes = {example.chosen['pes']}", "[grid]", f"transport = {json.dumps(places)}", 'clock = ["150MHz", "300MHz"]']
    priced = list(example.workload.priced)
    lines += [
        "[table]",
        f"columns = {json.dumps([*dict.fromkeys(['sha256', 'events', 'time_ms', 'energy_mj', *metrics, *priced])])}",
    ]
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    done = launch("scale", "tiny.toml", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines()))
    assert [row["problem"] for row in rows] == [""] * len(places) * 2
    (report,) = (
        each for each in map(read_report, (tmp_path / "out" / "runs").iterdir()) if each["emulation"]["transport"] == "mem"
    )
    assert {row["sha256"] for row in rows} == {report["events"]["sha256"], example.run(**PLAIN).report["events"]["sha256"]}
    mem, fast = rows[:2]
    assert all(row["time_ms"] == {"150MHz": mem, "300MHz": fast}[row["clock"]]["time_ms"] for row in rows)
    own = mem if float(mem["time_ms"]) == pytest.approx(1e3 * report["modelled"]["time_s"], rel=1e-5) else fast  # the chip's clock
    other = fast if own is mem else mem
    for name, value in ((m["name"], m["value"]) for m in report["metrics"] if m["name"] in {*metrics, *priced}):
        if value is not None:
            assert float(own[name]) == pytest.approx(value, rel=1e-5)
            times, joules = (float(other[column]) / float(own[column]) for column in ("time_ms", "energy_mj"))
            scale = {TIME: times, ENERGY: joules, PER_ENERGY: 1 / joules, None: 1.0}.get(example.workload.priced.get(name))
            assert other[name] == "" if scale is None else float(other[name]) == pytest.approx(scale * value, rel=1e-4)


# -- without one of them

REMOVED = "dvs"
QUICK = ("layering", "snapshot", "lifecycle", "stream")  # tests that start no process
COMMANDS = f"""
import importlib, pkgutil, sys
import host, host.workloads
from host.cli import main
assert host.__path__ == [sys.argv[1] + "/host"]
assert {REMOVED!r} not in [module.name for module in pkgutil.iter_modules(host.workloads.__path__)]
for line in sys.argv[2:]:
    try:
        code = main(line.split())
    except SystemExit as end:
        code = end.code
    print("ended", line.split()[0], code or 0, flush=True)
for module in pkgutil.walk_packages(host.__path__, "host."):
    if module.name != "host.processes.fork_server":  # its import makes a fork server of whoever does
        importlib.import_module(module.name)
print("imported all")
"""
# With `models`, `noc` and `pe` from here, where their kernels are compiled.
TESTS = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import models, noc, pe
del sys.path[0]
import pytest
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def copy_without(folder, *names):
    """Copy parts of the project into a folder, but for one workload's."""
    for name in names:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    shutil.rmtree(folder / "host" / "workloads" / REMOVED)
    return folder


def python(*arguments, cwd, timeout_s, **variables):
    """Run Python in a folder; return its exit code and what it said."""
    command, environment = [sys.executable, *map(str, arguments)], {**os.environ, **variables}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": timeout_s, "check": False}
    done = subprocess.run(command, cwd=cwd, env=environment, **how)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_all_else_works_without_a_workload(tmp_path):
    """`models`, `noc` and `pe` come from here, where their kernels are compiled: the copy has only `host`."""
    default = Example(default_workload(), tmp_path)
    checkpoint = default.chosen["checkpoint"]
    lines = [
        "--help",
        " ".join([default.command, *default.flags(transport="mem"), "--out", "out"]),
        f"fit {checkpoint}",
        f"info {checkpoint}",
        "price out",
        f"{REMOVED} --help",
    ]
    copy = tmp_path / "copy"
    copy.mkdir()
    path = os.pathsep.join([str(copy_without(copy, "host")), str(ROOT)])
    code, said = python("-c", COMMANDS, copy, *lines, cwd=tmp_path, timeout_s=50, PYTHONPATH=path)
    assert "Traceback" not in said, said
    assert code == 0, said
    assert re.findall(r"^ended (.*)$", said, re.MULTILINE) == [
        "--help 0",
        f"{default.command} 0",
        "fit 0",
        "info 0",
        "price 0",
        f"{REMOVED} 2",
    ]
    assert said.endswith("imported all\n")


@pytest.mark.slow
def test_tests_that_do_not_concern_it_pass_without_a_workload(tmp_path):
    copy_without(tmp_path, "gennaker", "host", "models", "noc", "pe", "launch.py", "tests", "pyproject.toml")
    code, said = python("-c", TESTS, *(f"tests/test_{name}.py" for name in QUICK), cwd=tmp_path, timeout_s=50)
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_whole_suite_passes_without_a_workload(tmp_path):
    """All but this file and those that import what is not there."""
    names = [path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.name not in ("build", "runs", "shared")]
    copy_without(tmp_path, *names)
    own = re.compile(rf"host\.workloads\.{REMOVED}|tests\.tools\.gestures|from test_{REMOVED}")
    for path in (tmp_path / "tests").rglob("test_*.py"):
        if own.search(path.read_text()) or path.name == Path(__file__).name:
            path.unlink()
    code, said = python(
        "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", cwd=tmp_path, timeout_s=5000, GENNAKER_PART_TESTS="1"
    )
    assert code == 0, said[-5000:]
