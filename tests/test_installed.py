"""The package as a user installs it: a wheel of a clean checkout, on every Python at hand, with the oldest and newest libraries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="needs the extra dev")

from tests.tools.doc_commands import blocks
from tests.tools.doc_files import make_files

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSIONS = ("3.11", "3.12", "3.13")
OLDEST = "3.11"  # the oldest libraries have wheels for the oldest Python alone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def interpreter(version: str) -> str | None:
    """Return a Python of this version: one on the path, or one that pyenv keeps."""
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}"))
    candidates = [shutil.which(f"python{version}"), *map(str, kept)]
    asks = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", asks], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return candidate
    return None


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Return the wheel and the sdist of what git knows, built in a folder of their own."""
    folder = tmp_path_factory.mktemp("package")
    source, out = folder / "source", folder / "out"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "build", "--outdir", out, source], check=True, capture_output=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_wheel_has_the_program_and_nothing_besides(packages):
    names = zipfile.ZipFile(packages[0]).namelist()
    top = {name.split("/")[0] for name in names}
    version = PROJECT["version"]
    assert top == {"gennaker", "host", "models", "noc", "pe", f"gennaker-{version}.dist-info", f"gennaker-{version}.data"}
    assert any(name.endswith("share/bash-completion/completions/gennaker") for name in names)
    assert any(name.startswith("models/shipped/") for name in names)


def test_the_sdist_has_what_the_readme_names(packages):
    with tarfile.open(packages[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in files if name.split("/")[0] in ("docs", "experiments", "examples", "tests", "bench")} <= names
    assert {"Makefile", "launch.py", "CHANGELOG.md", "CITATION.cff"} <= names


def oldest_requirements() -> str:
    """Return the lower bound of every requirement as a pin."""
    bounds = [re.match(r"([\w-]+)>=([\d.]+)", need) for need in PROJECT["dependencies"]]
    return "".join(f"{bound[1]}=={bound[2]}\n" for bound in bounds if bound)


@pytest.mark.parametrize(("version", "libraries"), [*((version, "newest") for version in VERSIONS), (OLDEST, "oldest")])
def test_an_installed_program_gives_the_one_answer(packages, tmp_path, version, libraries):
    """Beside a `models` of the user's own, from another folder, in a home of its own: the same hash as from this checkout."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} at hand")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    scripts, pins = tmp_path / "venv" / "bin", tmp_path / "pins.txt"
    pins.write_text(oldest_requirements() if libraries == "oldest" else "")
    command = [scripts / "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", pins, packages[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    work = tmp_path / "work"
    (work / "models").mkdir(parents=True)
    (work / "models" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    run = ["lm", "tiny", "--tokens", "40", "--out", "runs/a"]
    done = subprocess.run([scripts / "gennaker", *run], cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = subprocess.run(
        [sys.executable, ROOT / "launch.py", *run, "--out", tmp_path / "ours"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    hashes = [re.findall(r"[0-9a-f]{64}", text)[0] for text in (done.stdout, ours.stdout)]
    assert hashes[0] == hashes[1]
    run_six_lines(scripts / "python", tmp_path / "files", environment)


def run_six_lines(python: Path, folder: Path, environment: dict[str, str]) -> None:
    """Run the README's first lines of Python, as somebody does who has a file of torch and an array."""
    folder.mkdir()
    make_files(folder)
    (folder / "gru.pth").symlink_to("reg.pth")
    block = blocks(ROOT / "README.md", "python")[0]
    script = f"import numpy as np\nx = np.load('x.npy')\nobservation = x[0, 0]\n{block}print(action)\n"
    done = subprocess.run([python, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 2
