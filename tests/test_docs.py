"""What the documentation names is there: files and folders, targets of links, commands and their flags."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import scaling_tables
from host.cli import main
from host.experiments.columns import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"runs"}  # where runs are written
SLOW = (pytest.mark.slow, pytest.mark.timeout(900))
SWEEPS = (
    "pes",
    "formats",
    "clock-and-schedule",
    "strong",
    "weak",
    "activity",
    "communication",
    "board",
    "placement",
    "machine",
    "snn-published",
)
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


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them: lower case, without marks, with dashes for blanks."""
    anchors: dict[str, int] = {}
    for line in re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines():
        if heading := re.match(r"#+ (.*)", line):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            anchors[name] = anchors.get(name, -1) + 1
            if anchors[name]:
                anchors[f"{name}-{anchors[name]}"] = 0
    return set(anchors)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_of_a_link_is_a_heading(page):
    text = page.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        if "://" not in link:
            assert anchor in anchors_of((page.parent / link).read_text(encoding="utf-8") if link else text), f"{link}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_section_that_is_named_beside_a_link_is_there(page):
    """As in `[python.md](python.md), "A closed loop"`."""
    for link, name in re.findall(r"\]\(([\w./-]+\.md)\), \"([^\"]+)\"", page.read_text(encoding="utf-8")):
        headings = re.findall(r"^#+ (.*)", (page.parent / link).read_text(encoding="utf-8"), re.MULTILINE)
        assert [heading for heading in headings if heading.startswith(name)], f"{link}: {name}"


def test_anchors_are_made_as_readers_make_them():
    text = "# One: `two` & three\n```\n# no heading\n```\n## Four\n## Four\n"
    assert anchors_of(text) == {"one-two--three", "four", "four-1"}


def test_a_missing_path_would_be_noticed():
    text = "`host/nowhere.py` and `models/nowhere/`, but `host/cli.py`, `tests/test_cli*.py` and `DIR/runs`"
    assert missing_paths(text) == ["host/nowhere.py", "models/nowhere/"]


def test_the_tree_of_the_design_is_the_tree_of_the_project():
    """Every room of host/ and models/ stands in it, and every file that lies flat in host/."""
    tree = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("```")[1]
    rooms = {
        path.name for package in ("host", "models") for path in (ROOT / package).iterdir() if path.is_dir() and path.name[0] != "_"
    }
    assert rooms - set(re.findall(r"\b([a-z_]+)/", tree)) == set()
    flat = {path.name for path in (ROOT / "host").glob("*.py")} - {"__init__.py"}
    assert flat == set(re.findall(r"\b[a-z_]+\.py", tree)) - {"launch.py"}


@pytest.mark.few(6)
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


@pytest.mark.parametrize("name", scaling_tables.PAGES)
def test_the_tables_of_sweeps_are_those_of_their_files(name):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert scaling_tables.rewritten(name, page) == page, "write it again: python -m bench.scaling_tables"


def test_a_changed_figure_of_a_sweep_would_be_noticed():
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    changed = page.replace("| 2.35 | 422 |", "| 2.33 | 422 |", 1)
    assert changed != page
    assert scaling_tables.rewritten("scaling.md", changed) == page


@pytest.mark.parametrize("sweep", ["machine-in-part", *(pytest.param(name, marks=SLOW) for name in SWEEPS)])
def test_a_sweep_of_the_scaling_page_gives_its_figures_today(sweep, tmp_path):
    """Without processes: what they would count is the same to the last integer (tests/test_offline.py)."""
    name = sweep.removesuffix("-in-part")
    text = (ROOT / "experiments" / f"{name}.toml").read_text(encoding="utf-8").replace("../models", str(ROOT / "models"))
    text = re.sub(r'transport = "(mem|zmq)"', 'transport = "recorded"', text.split("[[plot]]")[0])
    if name != sweep:
        text = re.sub(r"chips = \[.*\]", "chips = [3, 48]", text)
    (tmp_path / "sweep.toml").write_text(text, encoding="utf-8")
    assert main(["scale", str(tmp_path / "sweep.toml"), "--out", str(tmp_path / "out")]) == 0
    scaling_tables.keep(tmp_path / "out" / "table.csv", name, tmp_path)
    shown = (ROOT / "docs" / f"scaling-{name}.csv").read_text(encoding="utf-8").splitlines()
    today = (tmp_path / f"scaling-{name}.csv").read_text(encoding="utf-8").splitlines()
    assert len(today) == (len(shown) if name == sweep else 5)
    assert [line for line in today if line not in shown] == []
