"""`pytest --workers N` says what `pytest` alone says, names a test whose worker dies, and leaves nobody behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.tools.processes import gone
from tests.tools.work import crowding

ROOT = Path(__file__).resolve().parents[1]
CONFTEST = """
import pytest
from tests.tools.forked_workers import Foreman

def pytest_addoption(parser):
    parser.addoption("--workers", type=int, default=0)

def pytest_sessionstart(session):
    if number := session.config.getoption("workers"):
        session.config.pluginmanager.register(Foreman(number, lambda file: file.path.name == "test_b.py", lambda: None))

@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("session")
    yield path
    (path / "torn down").touch()
"""
FILES = {
    "test_a.py": """
import os, pytest
print("noise of a file")

@pytest.mark.parametrize("number", range(4))
def test_passes(number, folder, tmp_path):
    assert not (folder / "torn down").exists()
    os.system("echo noise of a child")

@pytest.mark.slow
def test_is_slow():
    raise AssertionError

def test_is_skipped():
    pytest.skip("a reason")

@pytest.fixture
def broken():
    yield
    raise ValueError("in the teardown")

def test_fails_when_torn_down(broken):
    pass
""",
    "test_b.py": """
def test_fails():
    print("said before")
    assert [1, 2] == [1, 3]

def test_passes(folder):
    assert not (folder / "torn down").exists()
""",
    "test_c.py": "import no_such_module\n",
    "test_d.py": "import pytest\npytest.importorskip('no_such_module', reason='not here')\n",
}
DIES = "import os, signal\ndef test_before(): pass\ndef test_dies(): os.kill(os.getpid(), signal.SIGKILL)\ndef test_after(): pass\n"
WAITS = "import time\ndef test_waits(tmp_path):\n    (tmp_path / 'waits').touch()\n    time.sleep(300)\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "-q -rs -m \'not slow\'"\nmarkers = ["slow: of minutes"]\n'
    )
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def start(project, files, *arguments):
    for name, text in files.items():
        (project / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments]
    command += ["--basetemp", str(project / "temporary")]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=variables, **how)


def said(project, files, *arguments):
    """Return the exit code of pytest and what it prints."""
    program = start(project, files, *arguments)
    text = program.communicate(timeout=60 * crowding())[0]
    return program.returncode, text


def test_workers_say_what_one_process_says(project):
    alone = said(project, FILES, "--continue-on-collection-errors")
    together = said(project, FILES, "--workers", "3")
    assert alone[0] == together[0] == 1
    count = "1 failed, 6 passed, 2 skipped, 1 deselected, 2 errors in"
    for _, text in (alone, together):
        assert count in text, text
        assert "said before" in text  # by one that fails
        assert "noise" not in text
        assert "ValueError: in the teardown" in text
        assert "No module named 'no_such_module'" in text
        assert re.search(r"^SKIPPED .*: a reason$", text, re.MULTILINE)
        assert re.search(r"^SKIPPED .*: not here$", text, re.MULTILINE)
    assert len(list((project / "temporary").glob("worker-*/session0/torn down"))) == 2  # of the files that use it


def test_a_test_that_ends_its_worker_is_named_and_the_others_run(project):
    code, text = said(project, {"test_a.py": FILES["test_b.py"], "test_dies.py": DIES}, "--workers", "2")
    assert code == 1
    assert "the worker that ran this ended (SIGKILL)" in text
    assert "_ test_dies _" in text
    assert "2 failed, 3 passed in" in text


def test_ctrl_c_ends_all_workers(project):
    program = start(project, {"test_a.py": WAITS, "test_b.py": WAITS}, "--workers", "2")
    try:
        deadline = time.monotonic() + 60 * crowding()
        while len(list(project.glob("temporary/worker-*/*0/waits"))) < 2:
            assert program.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        workers = psutil.Process(program.pid).children(recursive=True)
        assert len(workers) == 2
        program.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in program.communicate(timeout=30 * crowding())[0]
        assert program.returncode == 2
        assert gone(lambda: [worker for worker in workers if worker.is_running()])
    finally:
        program.kill()
