"""The Python face on real processes: the same bits, failures named, and nothing left behind, however it ends."""

import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import gennaker as gk
from models.checkpoint import Model, save
from models.seeded import seeded_egru
from tests.conftest import ROOT
from tests.tools.grids import pairs
from tests.tools.processes import children, gone, processes, sockets

FEATURES = 8
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("face") / "small.safetensors"
    save(path, Model(seeded_egru(FEATURES, (16, 12), 0.9, seed=3, threshold=0.1)))
    return path


@pytest.fixture(scope="module")
def plan(path):
    return gk.load(path).fit(pes=3, mapping="balanced")


@pytest.fixture
def temporary(monkeypatch):
    """A folder for everything temporary; it is empty again when the test has ended."""
    with tempfile.TemporaryDirectory(prefix="gnk-", dir="/tmp") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def nothing_is_left():
    return gone(lambda: [*children(), *sockets(), *_helpers()], within_s=10.0)


def _helpers():
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if p.status() != psutil.STATUS_ZOMBIE and "gennaker.helper" in " ".join(p.cmdline())
    ]


def script(code, **options):
    """Run a script of a user's in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# --- the same bits ---


@pytest.mark.wide
def test_runs_and_sessions_have_the_bits_of_one_process(plan, tmp_path, temporary):
    x = numbers(2, 8, FEATURES)
    here, there = plan.run(x, transport="mem"), plan.run(x)
    assert there.sha256 == here.sha256
    np.testing.assert_array_equal(there.outputs, here.outputs)
    np.testing.assert_array_equal(there.events, here.events)
    assert there.energy_j == here.energy_j
    assert there.report["emulation"]["processes"] == 5  # three PEs, a router, the host
    assert nothing_is_left()
    one = plan.run(x[0], transport="mem")
    with plan.session() as chip:
        assert len(children()) == 5  # the host is this process; with the PE server
        y = [chip.step(vector) for vector in x[0]]
        chip.save(tmp_path / "state")
        there = [chip.step(vector) for vector in x[1, :3]]
        np.testing.assert_allclose(chip.energy_j.value, plan.run(np.concatenate([x[0], x[1, :3]]), transport="mem").energy_j.value)
    assert nothing_is_left()
    np.testing.assert_array_equal(y, one.outputs)
    with plan.session(transport="mem", restore=tmp_path / "state") as chip:
        np.testing.assert_array_equal([chip.step(vector) for vector in x[1, :3]], there)
    del here, one, there, chip
    gc.collect()  # folders go with the results that have them, and those may wait in a cycle, as what compiles leaves
    assert gone(lambda: list(temporary.iterdir()), within_s=10.0), [*temporary.rglob("*")]


@pytest.mark.wide
def test_a_run_in_a_thread(plan):
    """Where no signal can be set up."""
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(plan.run(numbers(4, FEATURES))))
    thread.start()
    thread.join()
    assert outcome[0].sha256 == plan.run(numbers(4, FEATURES), transport="mem").sha256


# --- failures ---


@pytest.mark.wide_but("PE")
@pytest.mark.parametrize("victim", ["PE", "PE server", "fork server"])
def test_who_dies_is_named_and_the_session_is_over(plan, victim):
    x = numbers(3, FEATURES)
    chip = plan.session()
    chip.step(x[0])
    process = next(p for p in children() if p.name().startswith("PE("))
    line = rf"{re.escape(process.name())} died \(SIGKILL\) while RUNNING, at tick \d+"
    if victim == "PE server":  # which takes PEs with it
        process = process.parent()
        line = r"the PE server died \(SIGKILL\), and every PE here with it, while RUNNING, at tick \d+"
    if victim == "fork server":  # which takes all with it
        process = process.parent().parent()
        line = r"the fork server died \(SIGKILL\), and every process here with it, while RUNNING, at tick \d+"
    process.kill()
    with pytest.raises(gk.RunError) as caught:
        for _ in range(50):
            chip.step(x[1])
    assert re.fullmatch(line, str(caught.value)), caught.value
    assert caught.value.code == 4
    assert nothing_is_left()
    with pytest.raises(gk.Error, match=r"session: is over .*died"):
        chip.step(x[2])


@pytest.mark.slow
def test_a_pe_that_stands_still_is_named_within_the_limit(plan):
    chip = plan.session(stall_s=1.5)
    chip.step(numbers(FEATURES))
    stopped = next(p for p in children() if p.name().startswith("PE("))
    stopped.suspend()
    with pytest.raises(gk.RunError, match=r"stalled: PE\(.*\)@0.* did not send the batch of tick \d+ for \d+ s") as caught:
        for _ in range(50):
            chip.step(numbers(FEATURES))
    assert caught.value.code == 5
    assert nothing_is_left()


@pytest.mark.wide
def test_a_session_that_is_forgotten_leaves_nothing(plan):
    chip = plan.session()
    chip.step(numbers(FEATURES))
    del chip
    assert nothing_is_left()


@pytest.mark.slow
def test_an_error_in_the_loop_ends_the_session(plan):
    with pytest.raises(ZeroDivisionError), plan.session() as chip:
        chip.step(numbers(FEATURES))
        1 / 0  # noqa: B018 - it raises
    assert nothing_is_left()


# --- scripts ---


@pytest.mark.wide
def test_a_script_without_a_main_guard(path):
    done = script(f"""
        print("once")
        import numpy as np, gennaker as gk
        plan = gk.load({str(path)!r}).fit(pes=2)
        x = np.ones((3, 8), np.float32)
        print(plan.run(x).sha256 == plan.run(x, transport="mem").sha256)
    """)
    out, err = done.communicate(timeout=150)
    assert (out.split(), err, done.returncode) == (["once", "True"], "", 0)


@pytest.mark.wide
@pytest.mark.parametrize(("what", "ending"), pairs(["run", "session"], [signal.SIGINT, signal.SIGKILL]))
def test_whatever_ends_the_program_nothing_is_left(path, temporary, ending, what):
    work = {
        "run": "plan.run(np.ones((200_000, 8), np.float32), save=(), progress=False)",
        "session": "chip = plan.session()\nwhile True: chip.step(np.ones(8, np.float32))",
    }[what]
    program = script(
        f"import numpy as np, gennaker as gk\nplan = gk.load({str(path)!r}).fit(pes=2)\n{work}\n", start_new_session=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and sum(p.name().startswith("PE(") for p in _of(program.pid)) < 2:
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(program.pid, ending)
    _, err = program.communicate(timeout=60)
    assert program.returncode in {1 if ending == signal.SIGINT else -ending, -signal.SIGINT}
    assert ending == signal.SIGKILL or err.strip().endswith("KeyboardInterrupt")
    assert gone(lambda: _names_of_orphans(program.pid), within_s=15.0)
    assert gone(sockets, within_s=5.0)
    assert gone(lambda: list(temporary.iterdir()), within_s=15.0)


def _of(pid):
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _names_of_orphans(pid):
    """What was started here and still runs, but for this process and its own."""
    return [folder.name for folder in processes(started_here=True) if folder.name != str(os.getpid()) and _is_ours(folder)]


def _is_ours(folder):
    try:
        return b"PE(" in (folder / "comm").read_bytes() or b"router@" in (folder / "comm").read_bytes()
    except OSError:
        return False


# --- another package of a name of ours ---


def test_a_models_folder_of_the_users_own_is_named_in_one_line(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({str(ROOT)!r}); import gennaker"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: gennaker: its package 'models' is hidden by {tmp_path}/models, which comes first")
    assert "rename it, or put" in last


def test_a_models_module_that_is_imported_already_is_named(tmp_path):
    (tmp_path / "models.py").write_text("mine = 1\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import models; sys.path[:0] = [{str(ROOT)!r}]; import gennaker"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "'models' is hidden by" in done.stderr.strip().splitlines()[-1]
    assert "is imported already" in done.stderr.strip().splitlines()[-1]


# --- notebooks ---


@pytest.mark.slow
def test_a_notebook_shows_a_bar_and_tables_and_an_interrupted_cell_leaves_nothing(path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        f"import numpy as np, gennaker as gk\nplan = gk.load({str(path)!r}).fit(pes=2)\nplan",
        "run = plan.run(np.ones((5, 8), np.float32))\nrun",
        "import threading, os, signal\nthreading.Timer(15, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "plan.run(np.ones((500_000, 8), np.float32), save=())",
        "import psutil, time\n"
        "for _ in range(100):\n    left = [p.name() for p in psutil.Process().children(recursive=True) if p.name() != 'sh']\n"
        "    if not left: break\n    time.sleep(.1)\nprint(left)",
        "print(plan.run(np.ones((5, 8), np.float32)).sha256 == run.sha256)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert "<table>" in outputs[0][0]["data"]["text/html"]
    assert any("text/html" in out.get("data", {}) for out in outputs[1])
    assert "small.safetensors" in str(outputs[1])
    assert outputs[2][-1]["ename"] == "KeyboardInterrupt"
    assert outputs[3][0]["text"] == "[]\n"  # the shell keeps an eye on the folder that `run` has
    assert outputs[4][-1]["text"] == "True\n"
