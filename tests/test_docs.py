"""What the documentation names is there: files and folders, targets of links, commands and their flags."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from host.cli import main
from host.experiments.columns import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"runs"}  # where runs are written
FILE = re.compile(r"[\w.*-]+(/[\w.*-]+)*/?")


def paths_in(text: str) -> list[str]:
    """Return what stands in backticks, alone, and can only be a path of the project."""
    words = [word for word in re.findall(r"`([^`\s]+)`", text) if FILE.fullmatch(word)]
    return [word for word in words if word.split("/")[0] in OURS and "/" in word and "NAME" not in word]


def missing_paths(text: str) -> list[str]:
    """Return the paths of a page that are not there; `*` stands for at least one."""
    return [path for path in paths_in(text) if not list(ROOT.glob(path.rstrip("/")))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_every_link_is_there(page):
    text = page.read_text(encoding="utf-8")
    assert missing_paths(text) == []
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_missing_path_would_be_noticed():
    text = "`host/nowhere.py` and `models/nowhere/`, but `host/cli.py`, `tests/test_cli*.py` and `DIR/runs`"
    assert missing_paths(text) == ["host/nowhere.py", "models/nowhere/"]


def test_the_tree_of_the_design_is_the_tree_of_the_project():
    """Every room of host/ and models/ stands in it, and every file that lies flat in host/."""
    tree = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("```")[1]
    rooms = {
        path.name for package in ("host", "models") for path in (ROOT / package).iterdir() if path.is_dir() and path.name[0] != "_"
    }
    assert rooms - set(re.findall(r"\b([a-z]+)/", tree)) == set()
    flat = {path.name for path in (ROOT / "host").glob("*.py")} - {"__init__.py"}
    assert flat == set(re.findall(r"\b[a-z_]+\.py", tree)) - {"launch.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_its_flags_are_there(page, capsys):
    for command, rest in set(re.findall(r"launch\.py ([a-z]+)\b([^\n`#]*)", page.read_text(encoding="utf-8"))):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert f"launch.py {command}" in text
        assert [flag for flag in re.findall(r"--[a-z-]+", rest) if flag not in text] == [], f"{command}{rest}"


def test_every_column_of_a_sweep_is_listed():
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    listed = text.split("- **Columns**")[1].split("\n- **")[0]
    assert set(COLUMNS) - set(re.findall(r"`(\w+)`", listed)) == set()
