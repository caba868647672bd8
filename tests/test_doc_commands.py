"""Every command of the README and of docs/ is copied from its page and run, on files as small as there are.

By default those run that take a second; the others are slow tests. What needs more than a machine of one's own (a cluster, a
package index, hours) stands in a table of docs/index.md: it is held against the command's own parser, and skipped with the reason.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from host.cli import main, whole_parser
from models.dvs.__main__ import main as dvs_main
from models.dvs.write_dataset import write_synthetic
from models.training.__main__ import _parser as training_parser
from tests.tools.doc_commands import PAGES, Command, blocks, commands_of
from tests.tools.doc_files import COPIES, make_files

ROOT = Path(__file__).resolve().parents[1]
PARSER = whole_parser("launch.py")
COMMANDS = [command for page in PAGES for command in commands_of(page)]
INDEX = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
WRITERS = ("import", "quantise", "export")
"""Commands whose second name is a file that must not be there yet."""
SHORTER = {
    "launch.py lm": ("--tokens", "20", "--stall", "300"), "launch.py dvs": ("--samples", "2"),
    "launch.py paper": ("--transport", "mem"), "launch.py verify": ("--tokens", "12"),
    "launch.py control": ("--episodes", "2", "--batch", "2", "--steps", "20", "--stall", "300"),
    "launch.py retrieval --inputs": (), "launch.py retrieval": ("--samples", "8"),
    "--bin-ms 1 --steps 600": ("--samples", "1", "--batch", "1"),
    "models.training gesture-conform": ("--samples", "2"),
}  # fmt: skip
"""What is typed behind a long command: it goes first, so that the rest is as on the page, and less of it."""


def table_of(heading: str) -> dict[str, str]:
    """Return a table of docs/index.md: names in its first column -> the second column."""
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|$", INDEX.split(f"## {heading}\n")[1].split("\n## ")[0], re.MULTILINE)
    return {name: text for names, text in rows for name in re.findall(r"`([^`]+)`", names)}  # of the first column


STANDS_FOR, ELSEWHERE = table_of("Names in commands"), table_of("What needs more than a machine")


def needs(command: Command) -> str | None:
    """Return what a command needs that this machine may not have, or None."""
    text = " ".join(command.words)
    return next((why for mark, why in ELSEWHERE.items() if re.search(rf"(^|[\s/]){re.escape(mark)}", text)), None)


def is_quick(command: Command) -> bool:
    """Whether a command runs in this process, in some seconds at most."""
    if command.program[-1] == "models.dvs":
        return "synthetic" not in command.words and command.arguments[0] == "show"
    if command.program != ("launch.py",):
        return False
    name, text = command.arguments[0], " ".join(command.arguments)
    is_small = "--transport mem" in text and "transformer" not in text
    return name in {"list", "price", "compare"} or (name == "info" and "lm" not in text) or is_small


HERE = [command for command in COMMANDS if needs(command) is None]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Return a function that makes recordings as long as real ones, once."""
    return cache(lambda: _synthetic(tmp_path_factory.mktemp("recordings")))


def _synthetic(folder):
    write_synthetic(folder, train=1, test=1, lights=1, repetitions=1)
    return folder


@pytest.fixture
def place(files, tmp_path, monkeypatch):
    """Return a folder with what the project has and what a user brings, in which a command runs."""
    for source in (*ROOT.iterdir(), *files.iterdir()):
        if source.name not in ("runs", "run") or source.parent == files:
            (tmp_path / source.name).symlink_to(source)
    for name in ("runs", "run"):
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        for source in (files / name).iterdir():
            (tmp_path / name / source.name).symlink_to(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_program(*words: str, place: Path) -> str:
    """Run Python on these words in a folder; return what it printed."""
    done = subprocess.run([sys.executable, *words], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@cache
def help_of_peers() -> str:
    return run_program("-m", "bench.peers", "--help", place=ROOT)


def clear(place: Path, command: Command) -> None:
    """Take away what the command is to make."""
    words = command.arguments
    targets = [words[2]] if words and words[0] in WRITERS else []
    targets += [after for word, after in pairwise(words) if word in ("--out", "--outputs")]
    if command.program[-1] == "models.dvs" and words[0] == "write":
        targets.append(words[1])
    for name in targets:
        (place / name).unlink(missing_ok=True)


def test_there_are_commands_of_many_pages():
    assert len(COMMANDS) > 90
    assert len({command.page for command in COMMANDS}) >= 12


@pytest.mark.few(30)
@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_one_that_its_program_takes(command):
    """Whether it can be run here or not: its names, flags and values are read by the program's own parser."""
    program, words = command.program[-1], list(command.arguments)
    if program == "launch.py":
        PARSER.parse_args(words)
    elif program == "models.training":
        training_parser().parse_args(words)
    elif program == "bench.peers":
        page = subprocess.run(
            [sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert [word for word in words if word.startswith("--") and word not in page] == []
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program == "pip":
        extras = re.findall(r"\.\[([\w,]+)\]", words[-1])
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for names in extras for extra in names.split(","))
    else:
        assert program in ("models.dvs", "dask")  # the one is always run, the other is not ours


def test_every_name_of_a_file_comes_with_the_project_or_is_explained():
    unexplained = set()
    for command in COMMANDS:
        made = {word for word in command.words if word.startswith(("runs/", "y.np"))}
        for word in command.arguments:
            plain = word.rstrip("/")
            if re.search(r"\.(toml|safetensors|nir|np[yz]|pth|cpt|txt|aedat|csv|json)$|^[A-Z]+$|/$", word) and word not in made:
                known = (ROOT / plain).exists() or {word, plain, plain.split("/")[0]} & STANDS_FOR.keys()
                unexplained |= set() if known or needs(command) else {f"{command.page}: {word}"}
    assert unexplained == set()


@pytest.mark.wide
def test_the_table_of_names_has_no_name_too_many(files):
    text = " ".join(word for command in COMMANDS for word in command.words)
    assert [name for name in STANDS_FOR if name.rstrip("/") not in text] == []
    assert [name for name in ELSEWHERE if name not in text] == []
    assert COPIES.keys() <= {str(path.relative_to(files)) for path in files.rglob("*")}


@pytest.mark.few(1)
@pytest.mark.parametrize("command", [command for command in HERE if is_quick(command)], ids=str)
def test_a_quick_command_runs_as_it_stands(command, place, capsys):
    clear(place, command)
    words = list(command.arguments)
    assert (dvs_main if command.program[-1] == "models.dvs" else main)(words) in (0, None), capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("command", [command for command in HERE if not is_quick(command)], ids=str)
def test_a_command_runs_as_it_stands(command, place, recordings):
    clear(place, command)
    if any("DvsGesture" in word for word in command.words):
        (place / "DvsGesture").symlink_to(recordings())
    text = " ".join((*command.program, *command.arguments))
    more = next((flags for begin, flags in SHORTER.items() if begin in text and not {"--generate"} & {*command.words}), ())
    program = [str(ROOT / "launch.py")] if command.program == ("launch.py",) else list(command.program)
    run_program(*program, *command.arguments, *more, place=place)


@pytest.mark.parametrize("command", [command for command in COMMANDS if needs(command)], ids=str)
def test_a_command_for_elsewhere_says_what_it_needs(command):
    pytest.skip(f"needs {needs(command)}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_a_page_shows_below_a_command_is_what_it_prints(tmp_path):
    """Of the trained model, so that every figure on the page is today's; `...` stands for lines that are left out."""
    shown = [command for command in COMMANDS if command.output]
    assert len(shown) >= 3
    for name in ("docs", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    for command in shown:
        words = [*command.arguments, *(("--out", "RUN") if command.arguments[0] == "lm" else ())]
        text = run_program(str(ROOT / "launch.py"), *words, place=tmp_path)
        printed = {" ".join(line.split()) for line in text.splitlines()}
        missing = [line for line in command.output if line.strip() not in ("", "...") and " ".join(line.split()) not in printed]
        assert missing == [], text


@pytest.mark.wide_but("1")
@pytest.mark.parametrize("number", range(2))
def test_python_of_the_readme_runs(number, place):
    """The six lines after the two commands, and a checkpoint made of arrays."""
    block = blocks(ROOT / "README.md", "python")[number]
    names: dict[str, object] = {}
    if number == 0:
        import numpy as np

        (place / "gru.pth").symlink_to("reg.pth")
        names = {"x": np.load("x.npy"), "observation": np.load("x.npy")[0, 0]}
    exec(compile(block, "README.md", "exec"), names)
    assert names["run"].energy_j.value > 0 if number == 0 else (place / "mine.safetensors").is_file()
