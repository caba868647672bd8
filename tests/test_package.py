"""The package: what it says of itself, its program under each of its names, its completions and its container."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("gennaker", "host", "models", "noc", "pe")


def run_program(*command: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=50,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path},
    )


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a user who has packages of the same names as ours, each of which must not be imported."""
    for name in ("models", "host", "noc", "pe"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    return tmp_path


@pytest.mark.slow_but("launch.py")
@pytest.mark.parametrize("command", [(str(ROOT / "launch.py"),), ("-m", "gennaker")], ids=["launch.py", "-m gennaker"])
def test_the_program_runs_beside_packages_of_the_same_names(folder, command):
    done = run_program(*command, "--version", cwd=folder, path=str(ROOT))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gennaker {PROJECT['project']['version']}\n", "")


def test_an_import_says_in_one_line_what_hides_the_package(folder):
    done = run_program("-c", "import gennaker", cwd=folder, path=str(ROOT))
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: gennaker: its package 'host' is hidden by {folder / 'host'}"), said
    assert f"put {ROOT} first on sys.path" in said


def test_the_script_is_the_program():
    module, _, function = PROJECT["project"]["scripts"]["gennaker"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.slow
def test_help_and_refusals_name_the_command_as_it_was_typed(tmp_path):
    foreign = tmp_path / "net.pth"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("net/data.pkl", b"")
    for command, name in (((str(ROOT / "launch.py"),), "launch.py"), (("-m", "gennaker"), "gennaker")):
        page = run_program(*command, "fit", "--help", cwd=tmp_path, path=str(ROOT)).stdout
        assert page.startswith(f"usage: {name} fit ")
        done = run_program(*command, "lm", "--toxens", "4", cwd=tmp_path, path=str(ROOT))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"gennaker: unrecognized arguments: --toxens; see {name} --help\n"
        refusal = run_program(*command, "info", str(foreign), cwd=tmp_path, path=str(ROOT)).stderr
        assert f"`{name} import FILE NEW`" in refusal


def test_no_requirement_stands_twice_and_every_extra_is_told_apart():
    needs = {"": PROJECT["project"]["dependencies"], **PROJECT["project"]["optional-dependencies"]}
    names = [re.split(r"[\[<>= ]", need)[0] for group in needs.values() for need in group if not need.startswith("gennaker[")]
    assert sorted(names) == sorted(set(names))


def test_what_is_typed_goes_along():
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()] == []


def test_every_mention_of_the_version_is_the_same():
    yaml_text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert yaml.safe_load(yaml_text)["version"] == PROJECT["project"]["version"]


def test_the_changelog_has_the_version_s_heading():
    """A version under way is `.dev0`, with its changes under `[Unreleased]`; every other has a heading with its date."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    released = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:]]
    assert headings[0] == "[Unreleased]"
    assert released
    assert all(released)
    versions = [tuple(map(int, match.groups())) for match in released if match]
    assert versions == sorted(set(versions), reverse=True)
    current = PROJECT["project"]["version"]
    number = tuple(map(int, current.removesuffix(".dev0").split(".")))
    assert number > versions[0] if current.endswith(".dev0") else number == versions[0]


def test_the_citation_has_what_the_format_demands():
    """Those keys and forms are of the Citation File Format, version 1.2.0."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert all({"type", "title", "authors"} <= work.keys() for work in citation["references"])


@pytest.mark.parametrize(("name", "shell"), [("gennaker", "bash"), ("_gennaker", "zsh")])
def test_completions_are_those_of_the_flags(name, shell):
    pytest.importorskip("shtab")
    spec = importlib.util.spec_from_file_location("write_completions", ROOT / "completions" / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored = (ROOT / "completions" / name).read_text(encoding="utf-8")
    assert stored == module.completion(shell), "write them again: python completions/write.py"


def test_bash_completes_commands_flags_and_choices(tmp_path):
    bash = shutil.which("bash")
    assert bash, "a shell that these files are for"

    def complete(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        script = (
            f"source '{ROOT / 'completions' / 'gennaker'}'; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};"
            " _shtab_gennaker; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        return subprocess.run([bash, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=20).stdout.split()

    assert "price" in complete("gennaker", "pr")
    assert complete("gennaker", "lm", "--tok") == ["--tokens"]
    (tmp_path / "mine.safetensors").touch()
    assert complete("gennaker", "info", "mi") == ["mine.safetensors"]


def test_the_container_takes_along_what_the_package_is():
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(copied) == {*PACKAGES, "completions"}


def test_the_container_s_file_has_nothing_that_a_linter_finds():
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint is not here (extra `dev`)")
    checked = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_container_can_be_built(tmp_path):
    """Where a daemon is: the image answers as the program does."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True, timeout=60).returncode:
        pytest.skip("no daemon of Docker here")
    name = tmp_path / "image"
    subprocess.run(["docker", "build", "--iidfile", str(name), str(ROOT)], check=True, capture_output=True, timeout=1700)
    image = name.read_text(encoding="utf-8").strip()
    said = subprocess.run(["docker", "run", "--rm", "--init", image, "--version"], capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert "gennaker" in said.stdout.lower()
