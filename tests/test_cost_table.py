"""The cost table: every constant has a source and a grade, a user's changes are checked, and what is wrong is said in one line."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import host.cost.formats
from host.cost import cost_table, twins
from host.cost.cost_table import CHOICES, CLOCK_FACTS, CLOCKS, apply_settings, load_table
from host.errors import HostError
from noc.chip import DATA_FILE as CHIP_FILE
from noc.chip import load_chip

SHIPPED = tomllib.loads(cost_table.DATA_FILE.read_text(encoding="utf-8"))
SPEC = load_chip()
HOST = Path(cost_table.__file__).parent


def test_every_constant_has_a_value_a_unit_a_grade_and_a_source():
    for name, entry in SHIPPED["constants"].items():
        assert {"value", "unit", "grade", "source"} <= set(entry), name
        assert entry["grade"] in ("P", "S", "D", "NF"), name
        assert bool(entry.get("assumed")) == (entry["grade"] == "NF"), name


@pytest.mark.wide
def test_names_are_the_files_and_each_is_used():
    assert list(SHIPPED["settings"]) == list(CHOICES)
    read = set()
    for file in HOST.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                read.add((ast.unparse(node.value), node.slice.value))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "port.by_weight":
                name = ast.literal_eval(node.args[1])
                read |= {("table", name), ("table", f"int8_{name}"), ("table", f"int4_{name}")}
    brought = set(twins.constants())
    assert {name for owner, name in read if owner == "table"} | brought == set(SHIPPED["constants"]) | brought
    assert {name for owner, name in read if owner.split(".")[-1] == "settings"} >= set(CHOICES)


def test_a_constant_says_when_it_is_in_use():
    conditions = {f"{name}={choice}" for name, choices in CHOICES.items() for choice in choices}
    conditions |= {"links", "transfers", "weights=int8", "weights=int4", "sums=added", "traces", "scheduled"}
    conditions |= {f"{family}={name}" for family in ("format", "kernel") for name in twins.names(f"{family}s")}
    for name, one in load_table().constants.items():
        assert set(one.used_when) <= conditions, name
    for name, used_when in cost_table.CHIP_NUMBERS.items():
        assert name in SPEC.facts
        assert set(used_when) <= conditions, name


def test_a_clock_is_a_preset_of_the_chip():
    presets = tomllib.loads(CHIP_FILE.read_text(encoding="utf-8"))["preset"]
    assert set(CLOCKS.values()) == set(presets)
    assert all(set(preset) == set(CLOCK_FACTS) for preset in presets.values())


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_users_table_changes_what_it_names(tmp_path):
    path = written(
        tmp_path,
        "[constants]\ncsr_row_cycles = 20\ndma_wait_noc_cycles = {value = 30, low = 20, high = 60, source = 'my scope'}\n"
        "[settings]\nschedule = 'pipelined'",
    )
    table, shipped = load_table(path), load_table()
    assert (table["csr_row_cycles"], table.settings["schedule"]) == (20, "pipelined")
    mine = table.constants["dma_wait_noc_cycles"]
    assert (mine.value, mine.low, mine.high, mine.grade, mine.source, mine.assumed) == (30, 20, 60, "user", "my scope", False)
    assert (mine.unit, table["csr_weight_cycles"]) == ("NoC cycle", shipped["csr_weight_cycles"])
    assert shipped["csr_row_cycles"] == 16  # a change is a copy


WRONG_FILES = [
    ("[constants]\ncsr_row_cycels = 3", "csr_row_cycels: unknown; the nearest name is 'csr_row_cycles'"),
    ("[constants]\ncsr_row_cycles = -3", "csr_row_cycles.value: needs a finite number from 0, has -3"),
    ("[constants]\ncsr_row_cycles = nan", "needs a finite number from 0, has nan"),
    ("[constants]\ncsr_row_cycles = inf", "needs a finite number from 0, has inf"),
    ("[constants]\ncsr_row_cycles = true", "needs a finite number from 0, has True"),
    ("[constants]\ncsr_row_cycles = 'many'", "needs a finite number from 0, has 'many'"),
    ("[constants]\ncsr_row_cycles = 1" + 400 * "0", "has an integer of 1329 bits"),
    ("[constants]\ncsr_row_cycles = [1, 2]", "has [1, 2]"),
    ("[constants]\nvalue_bytes = 0.5", "value_bytes.value: needs a whole number from 0 to 65,536, has 0.5"),
    ("[constants]\nwaiting_power_share = 1.1", "needs a finite number from 0 to 1, has 1.1"),
    ("[constants]\ncsr_row_cycles = {low = 1}", "csr_row_cycles: lacks its value"),
    ("[constants]\ncsr_row_cycles = {value = 1, low = 2}", "needs low <= value <= high, has 2, 1, 1"),
    ("[constants]\ncsr_row_cycles = {value = 1, lo = 2}", "csr_row_cycles.lo: unknown; the nearest name is 'low'"),
    ("constants = 5", "'constants': needs the tables [constants] and [settings]"),
    ("[prices]\nx = 1", "'prices': needs the tables [constants] and [settings]"),
    ("[settings]\nschedule = 'fast'", "schedule: needs one of sequential, pipelined, has 'fast'"),
    ("[settings]\nschedule = 5", "has 5"),
    ("[settings]\nshedule = 'pipelined'", "shedule: unknown setting; the nearest name is 'schedule'"),
    ("no toml", "cannot be read as TOML"),
    ("[constants]\ncsr_row_cycles = 1" + 5000 * "0", "cannot be read as TOML"),  # more digits than Python converts
]


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


@pytest.mark.few(12)
@pytest.mark.parametrize(("text", "line"), WRONG_FILES, ids=[row[1][:40] for row in WRONG_FILES])
def test_a_table_that_cannot_be_used_gets_one_line(tmp_path, text, line):
    path = written(tmp_path, text)
    with pytest.raises(HostError) as caught:
        load_table(path)
    assert line in one_line(caught)
    assert str(path) in one_line(caught)


def test_a_table_that_is_not_there_or_is_no_text(tmp_path):
    with pytest.raises(HostError, match="cannot be read"):
        load_table(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\x00")
    with pytest.raises(HostError, match="cannot be read as TOML"):
        load_table(tmp_path / "bytes.toml")
    with pytest.raises(HostError, match="a folder"):
        load_table(tmp_path)


@pytest.mark.parametrize("name", ["csr_row_cycles", "waiting_power_share"])
@pytest.mark.parametrize("key", ["value", "unit", "grade", "source", None])
def test_a_shipped_table_without_a_key_gets_one_line(monkeypatch, tmp_path, name, key):
    lines = cost_table.DATA_FILE.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(name)]
    if key is not None:
        parts = {k: v for k, v in SHIPPED["constants"][name].items() if k not in (key, "assumed", "of_power")}
        kept.insert(kept.index("[constants]") + 1, f"{name} = {{{', '.join(f'{k} = {v!r}' for k, v in parts.items())}}}")
    monkeypatch.setattr(cost_table, "DATA_FILE", written(tmp_path, "\n".join(kept)))
    with pytest.raises(HostError) as caught:
        load_table()[name]
    assert (f"{name}: lacks its {key}" if key else f"costs.toml: lacks {name}") in one_line(caught)


def test_sets():
    table, preset, facts = apply_settings(
        load_table(), ["clock=300MHz", "messages=qpe", "csr_row_cycles=1.5e1", "chip.hop_cycles=4", "waiting_power_share=.5"]
    )
    assert preset == "spinnaker2-300mhz"
    assert facts == {"hop_cycles": 4.0}
    assert (table.settings["messages"], table["csr_row_cycles"], table["waiting_power_share"]) == ("qpe", 15, 0.5)
    assert table.constants["waiting_power_share"].low == table.constants["waiting_power_share"].high == 0.5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("clock", "--set clock: needs NAME=VALUE"),
        ("clock=200MHz", "needs one of 150MHz, 300MHz"),
        ("schedule=fast", "schedule: needs one of sequential, pipelined, has 'fast'"),
        ("shedule=pipelined", "unknown name; the nearest is 'schedule'"),
        ("csr_row_cycles=-1", "needs a finite number from 0, has -1.0"),
        ("csr_row_cycles=nan", "has 'nan'"),
        ("csr_row_cycles=1e999", "has inf"),
        ("csr_row_cycles=", "has ''"),
        ("powered_pes=150.5", "needs a whole number from 0"),
        ("waiting_power_share=2", "from 0 to 1, has 2.0"),
        ("chip.hop_cycles=many", "has 'many'"),
        ("=5", "unknown name"),
        ("", "needs NAME=VALUE"),
    ],
)
def test_a_wrong_set_gets_one_line(text, line):
    with pytest.raises(HostError) as caught:
        apply_settings(load_table(), [text])
    assert line in one_line(caught)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_setting_or_one_line(text):
    try:
        apply_settings(load_table(), [text])
    except HostError as error:
        assert str(error).isprintable()


def test_the_ends_of_a_table_and_power_going_another_way():
    def of(*ends):
        table = load_table().at(*ends)
        return table["branch_refill_cycles"], table["exp_unit_cycles"], table["waiting_power_share"], table["csr_row_cycles"]

    assert of("low", "low") == (1, 7, 0, 15)
    assert of("high", "high") == (2, 22, 1, 16)
    assert of("low", "high") == (1, 7, 1, 15)
    assert of("high", "low") == (2, 22, 0, 16)


# --- twins of a user's own ----------------------------------------------------------------------------------------------


@pytest.fixture
def user_twin(tmp_path, monkeypatch):
    """Write a file of a weight format's twin in a folder of a user's own; it is forgotten afterwards."""
    monkeypatch.setenv("GENNAKER_PATH", str(tmp_path))
    monkeypatch.setattr(host.cost.formats, "__path__", list(host.cost.formats.__path__))

    def write(text):
        file = tmp_path / "host" / "cost" / "formats" / "mine.py"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        return file

    yield write
    sys.modules.pop("host.cost.formats.mine", None)
    vars(host.cost.formats).pop("mine", None)
    twins.twin.cache_clear()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module\n", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')"),
        ("def cycles(:\n", "cannot be loaded (SyntaxError: "),
        ("def cycles():\n    pass\n", "lacks visited, sram_bytes; host/cost/twins.py says what it needs"),
    ],
)
def test_a_broken_twin_is_named_where_it_is_in_use_and_breaks_no_other_price(user_twin, text, words):
    file = user_twin(text)
    whole = load_table(used=twins.in_use("csr", ["egru"]))
    assert whole == load_table(used=["format=csr", "kernel=egru"])
    assert whole["csr_row_cycles"] == load_table()["csr_row_cycles"]  # of names alone
    with pytest.raises(HostError) as caught:
        load_table(used=twins.in_use("mine", ["egru"]))
    assert str(caught.value).startswith(f"cost twin {file}: {words}")
    assert "\n" not in str(caught.value)


def test_twins_that_are_not_in_use_are_not_loaded(user_twin):
    user_twin("raise RuntimeError('this file was loaded')\n")
    load_table(used=twins.in_use("csr", ["egru"]))
    assert "host.cost.formats.mine" not in sys.modules
    entry = {"value": 7, "unit": "cycle", "grade": "NF", "source": "made up"}
    whole = f"CONSTANTS = {{'mine_cycles': {entry}}}\nvisited = cycles = sram_bytes = None\n"
    Path(twins._file("formats", "mine")).write_text(whole)
    assert load_table(used=["format=mine"])["mine_cycles"] == load_table()["mine_cycles"] == 7
    assert "mine_cycles" not in load_table(used=["format=csr"]).constants
