"""The recipe of docs/cluster.md for a scheduler with TLS, its own lines run: certificate, settings, scheduler, worker, a run."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from host.run_folder import read_report
from tests.tools.work import crowding
from tests.tools.workers import QUIET, ROOT

pytest.importorskip("cryptography", reason="the extra `cluster` is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to make the certificate with"),
]
PAGE = (ROOT / "docs/cluster.md").read_text(encoding="utf-8").split("**TLS on a scheduler of your own.**")[1]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The scheduler's address and the environment of whoever has the certificate, with a worker of two chips."""
    home = tmp_path_factory.mktemp("home")
    keys, settings = home / ".dask", home / ".config/dask"  # DASK_CONFIG stands for the second: HOME has the compiled kernels
    keys.mkdir()
    settings.mkdir(parents=True)
    (language, yaml), (_, servers), (_, openssl) = BLOCKS[:3]
    assert language == "yaml"
    subprocess.run(openssl, shell=True, cwd=keys, check=True, capture_output=True)
    assert (keys / "key.pem").stat().st_mode & 0o077 == 0
    (settings / "tls.yaml").write_text(yaml.replace("/home/me", str(home)))
    scripts = Path(sys.executable).parent
    environment = {**os.environ, **QUIET, "DASK_CONFIG": str(settings), "PATH": f"{scripts}:{os.environ['PATH']}"}
    address = f"127.0.0.1:{free_port()}"
    scheduler, worker = (line.replace("head:8786", address) for line in servers.strip().splitlines())
    scheduler += f" --host 127.0.0.1 --port {address.split(':')[1]}"
    worker += " --host 127.0.0.1"
    processes = []
    with (home / "log").open("wb") as log:
        for command in (scheduler, worker):
            processes.append(subprocess.Popen(command.replace("'", "").split(), cwd=home, env=environment, stdout=log, stderr=log))
            time.sleep(1)
    yield f"tls://{address}", environment
    for process in processes:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()
    assert b"Traceback" not in (home / "log").read_bytes()


def launch(address, environment, folder):
    """Run two chips over the scheduler, and return how the command ended."""
    command = [sys.executable, str(ROOT / "launch.py"), "features", "--layers", "64", "--pes", "4", "--chips", "2", "--no-pictures"]
    command += ["--cluster", address, "--out", str(folder)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60 * crowding())


def test_the_lines_of_the_page_make_a_cluster_that_speaks_tls(recipe, tmp_path):
    address, environment = recipe
    done = launch(address, environment, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "plain text" not in done.stdout
    assert len(read_report(tmp_path / "run")["machines"]["machines"]) >= 1


def test_who_has_no_certificate_is_not_let_in(recipe, tmp_path):
    address, environment = recipe
    stranger = {**environment, "DASK_CONFIG": str(tmp_path)}
    for scheme in ("tls", "tcp"):
        done = launch(address.replace("tls", scheme), stranger, tmp_path / scheme)
        assert done.returncode != 0
        assert done.stderr.startswith("gennaker: "), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
