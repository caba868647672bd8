"""`docs/report.schema.json` holds report.json to its shape, and docs/report.md lists exactly the keys that it has."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from host.cost.ledger_writer import SCHEMA as LEDGER
from host.errors import HostError
from host.experiments.offline_points import expect_into, record_into
from host.launch.recorded_run import run_into
from host.run_folder import BESIDE, read_report
from host.run_folder import SCHEMA as NUMBER
from host.workloads.registry import restore_options, workloads
from models import tile_steps
from models.kernels import scheduler
from tests.tools.processes import SLOW, children

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
FREE = {  # whose keys are names of PEs, layers, links, constants ...: any may be missing
    "malformed", "sent", "delivered", "dropped", "links", "stages_s", "work", "settings", "ActivationSparsityByLayer",
    "Task", "libraries", "dram",
}  # fmt: skip
validate = fastjsonschema.compile(SCHEMA)
pytestmark = pytest.mark.timeout(60)


MOVED = {(block, key) for blocks in BESIDE.values() for block, keys in blocks.items() for key in keys} | {("neurobench",)}
"""What may lie in a file beside `report.json`, so that the schema lets it be missing."""


def report_of(folder: Path, record: Mapping[str, Any], **how: Any) -> dict[str, Any]:
    """Run the options of a record; return the report with all that lies beside it."""
    folder.mkdir()
    run_into(folder, restore_options(record), **how)
    return read_report(folder)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The options of each workload's smallest run, by its name."""
    folder = tmp_path_factory.mktemp("files")
    return {
        name: {"workload": name, "transport": "mem", **workload.part("example", "smallest")(folder)}
        for name, workload in workloads().items()
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of `reports`' runs, each under its workload's name."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def reports(records, runs):
    """The report of each workload's smallest run, by its name."""
    return {name: report_of(runs / name, record) for name, record in records.items()}


@pytest.fixture
def tiny(folder):
    """The options of a run of the tiny language model on a text."""
    files = {"checkpoint": str(folder / "tiny.safetensors"), "text": str(folder / "text.txt")}
    return {"workload": "lm", **files, "tokens": 8, "pes": 5}


# -- reports that fit -----------------------------------------------------------------------------------------------------------


@pytest.mark.wide_but("lm")
@pytest.mark.parametrize("name", workloads())
def test_every_workload_s_report_fits(name, reports):
    validate(reports[name])
    assert reports[name]["workload"] == name


@pytest.mark.wide
def test_so_does_that_of_a_prompt(tiny, tmp_path):
    words = {"text": None, "tokens": None, "prompt": "w1 w2", "generate": 3, "transport": "mem"}
    report = report_of(tmp_path / "run", tiny | words)
    validate(report)
    assert report["result"]["text"].startswith("w1 w2")


@pytest.mark.wide
def test_so_does_that_of_two_chips_and_of_a_verified_run(tiny, tmp_path):
    report = report_of(tmp_path / "run", tiny | {"chips": 2, "transport": "mem", "verify": True})
    validate(report)
    assert report["modelled"]["links"]["crossed"] == 2
    assert report["verify"]["difference"] is None


@pytest.mark.wide
@pytest.mark.parametrize("name", ["launcher", "PE(1,1,2)@0", "host"])
def test_so_does_that_of_a_run_that_did_not_reach_its_end(name, tiny, tmp_path):
    """Interrupted, it has accounts; without a PE it has none; without its host process it has nothing."""
    struck: list[int] = []

    def strike(status: Mapping[str, Any]) -> None:
        if not struck and status["phase"] == "running" and status["tick"] > 3:
            struck.append(status["tick"])
            if name == "launcher":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                next(process for process in children() if process.name() == name).kill()

    options = tiny | {"tokens": 150, "faults": asdict(SLOW)}
    report = report_of(tmp_path / "run", options, observe=strike)
    validate(report)
    assert report["partial"]
    assert ("interrupted" if name == "launcher" else f"{name} died (SIGKILL)") in report["problem"]
    if name == "host":
        assert set(report) == {"schema", "workload", "partial", "problem", "provenance", "files"}
    else:
        assert (report["counters"]["packets_input"] is None) == (report["conservation"] is None) == (name != "launcher")


def test_so_do_those_of_points_without_processes(records, tmp_path):
    options = restore_options(records["lm"])
    record_into(tmp_path / "recorded", options, tmp_path)
    settings = {"depth": 1, "pes_a_chip": 4, "units_a_pe": 2, "fan_in": 2, "workload": "lm"}
    expect_into(tmp_path / "expected", settings, options)
    for name in ("recorded", "expected"):
        validate(read_report(tmp_path / name))
    with pytest.raises(HostError, match=r"'expected': prices uniform chains of EGRU layers by their sizes; has checkpoint a\.nir"):
        expect_into(tmp_path / "spiking", settings | {"checkpoint": "a.nir"}, options)


# -- what lies beside -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", workloads())
def test_a_report_is_a_row_of_a_few_dozen_columns_and_the_rest_lies_beside_it(name, reports, runs, tmp_path):
    report = reports[name]
    shutil.copytree(runs / name, tmp_path / "run")
    short = json.loads((tmp_path / "run" / "report.json").read_text())
    validate(short)
    assert len(list(columns(short))) < 100
    assert set(short["files"]) <= set(BESIDE)
    beside = {file: json.loads((tmp_path / "run" / file).read_text()) for file in short["files"]}
    assert all((block, key) in MOVED or (block,) in MOVED for of in beside.values() for block in of for key in of[block])
    for path in places(report):
        if path[:2] in MOVED and len(path) == 2:
            block, key = path
            assert key not in short[block]
            assert report[block][key] == next(of[block][key] for of in beside.values() if key in of.get(block, {}))
    (tmp_path / "run" / "modelled.json").unlink()
    with pytest.raises(HostError, match=r"modelled\.json"):
        read_report(tmp_path / "run")


def columns(block: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the columns that `pandas.json_normalize` makes of a report."""
    for key, value in block.items():
        if isinstance(value, dict):
            yield from columns(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


@pytest.mark.wide
@pytest.mark.usefixtures("reports")
def test_pandas_makes_these_columns_of_it(runs, records):
    pandas = pytest.importorskip("pandas")
    short = json.loads((runs / next(iter(records)) / "report.json").read_text())
    assert set(pandas.json_normalize(short).columns) == set(columns(short))


# -- reports that do not --------------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a report, of a list's first entry alone."""
    inside = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, part in inside:
        yield (*path, key)
        yield from places(part, (*path, key))


def change(report: Mapping[str, Any], path: tuple[Any, ...], how: str, *value: Any) -> dict[str, Any]:
    """Return a report with one thing removed (`pop`) or replaced (`__setitem__`)."""
    changed = copy.deepcopy(dict(report))
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    getattr(parent, how)(path[-1], *value)
    return changed


OF_KERNELS = tuple(("counters", name) for name in ("units", "exponentials", *scheduler.EXCHANGE_COUNTS, *tile_steps.COUNTS))
"""What EGRUs, schedulers and workers count; other neuron models count something else."""

OF_DNNS = (("modelled", "energy_parts_j", "array"), ("modelled", "energy_parts_j", "DRAM"))


def fits(report: Mapping[str, Any]) -> bool:
    """Tell whether a report fits the schema."""
    try:
        validate(report)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


@pytest.mark.few(2)
@pytest.mark.parametrize("name", workloads())
def test_a_missing_key_is_noticed_wherever_it_is(name, reports):
    keys = [path for path in places(reports[name]) if isinstance(path[-1], str) and not FREE & set(path[:-1])]
    keys = [path for path in keys if path not in OF_KERNELS + OF_DNNS and path not in MOVED and path != ("files",)]
    assert len(keys) > 70
    assert [path for path in keys if fits(change(reports[name], path, "pop"))] == []


@pytest.mark.few(1)
@pytest.mark.parametrize("name", workloads())
def test_a_wrong_type_is_noticed_wherever_it_is(name, reports):
    for path in places(reports[name]):
        assert not fits(change(reports[name], path, "__setitem__", {"no": ["such"]})), path


@pytest.mark.parametrize("name", workloads())
def test_a_key_too_many_is_noticed(name, reports):
    blocks = [(), *(path for path in places(reports[name]) if not FREE & set(path))]
    for path in blocks:
        place = reports[name]
        for key in path:
            place = place[key]
        if isinstance(place, dict):
            # Among the counters stand those of the neuron models, whole numbers by their names.
            surplus = 0.5 if path == ("counters",) else 1
            assert not fits(change(reports[name], (*path, "surplus"), "__setitem__", surplus)), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 1),
        (("partial",), True),  # without a problem
        (("events", "sha256"), "a" * 63),
        (("events", "count"), 1.5),
        (("events", "count"), True),
        (("events", "sparsity_by_layer"), [1.01]),
        (("counters", "packets_dropped"), -1),
        (("modelled", "time_band_s"), [0.1]),
        (("provenance", "date"), "yesterday"),
        (("metrics",), [{"name": "speed"}]),
        (("emulation", "transport"), "udp"),
        (("emulation", "transport"), "recorded"),
    ],
)
def test_a_value_out_of_its_bounds_is_noticed(reports, path, value):
    report = next(iter(reports.values()))
    assert not fits(change(report, path, "__setitem__", value))


def test_a_result_is_its_own_workload_s(reports):
    for name, report in reports.items():
        for other in reports:
            assert fits(report | {"result": reports[other]["result"]}) == (name == other)


def test_both_pages_say_the_code_s_schema_numbers():
    page = (ROOT / "docs" / "report.md").read_text()
    assert SCHEMA["properties"]["schema"]["const"] == NUMBER
    assert f"Its `schema` is {NUMBER}, and" in page
    assert f"| `schema` | version of this file: {NUMBER} |" in page
    assert f"in integers, with a schema ({LEDGER}) and a checksum" in page


# -- docs/report.md -------------------------------------------------------------------------------------------------------------


def documented(block: str | None = None) -> set[str]:
    """Return the keys that docs/report.md lists in its tables; with a block, those of the section under that heading alone."""
    text = (ROOT / "docs" / "report.md").read_text().split("\n## Keys of report.json\n")[1].split("\n## From schema 2 to 3\n")[0]
    if block is not None:
        text = re.split(r"^#+ ", text.split(f"\n### {block}\n")[1], flags=re.MULTILINE)[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def keys_of(name: str) -> set[str]:
    """Return the keys of a definition of the schema, those of its alternatives included."""
    definition = SCHEMA["definitions"][name]
    others = [definition[part]["$ref"].split("/")[-1] for part in ("then", "else") if part in definition]
    return set(definition.get("properties", ())).union(*map(keys_of, others))


@pytest.mark.parametrize("name", workloads())
def test_every_documented_key_is_in_the_report_and_the_other_way_round(name, reports):
    report, listed = reports[name], documented()
    if "transfers" not in report["conservation"]:
        listed -= {"conservation.transfers"}  # where PEs exchange bytes alone
    listed -= {".".join(path) for path in OF_KERNELS if path[1] not in report[path[0]]}
    if name == "snn":
        listed -= {"counters.exponentials"}  # of gated units alone
    for block in ("events", "mapping", "counters", "conservation", "chip", "emulation", "modelled", "neurobench", "provenance"):
        assert {f"{block}.{key}" for key in report[block]} == {k for k in listed if k.startswith(f"{block}.") and k.count(".") == 1}
    assert {f"result.{key}" for key in keys_of(f"{name}_result")} == documented(f"`result` of `{name}`")
    assert keys_of(f"{name}_result") >= set(report["result"])


def test_the_schema_and_the_documentation_have_the_same_keys():
    listed = documented()
    for block in ("metrics", "machines", "verify"):
        keys = keys_of("metric" if block == "metrics" else block)
        assert {f"{block}.{key}" for key in keys} == {k for k in listed if k.startswith(f"{block}.")}
    worst = SCHEMA["definitions"]["mapping"]["properties"]["sram"]["properties"]["worst"]["properties"]
    assert {f"mapping.sram.worst.{key}" for key in worst} == {k for k in listed if k.startswith("mapping.sram.worst.")}
    assert set(SCHEMA["properties"]) == {k.split(".")[0] for k in listed}
