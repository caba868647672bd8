"""The benches measure what they promise: every target, and the unit of every workload."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import bench.units
from bench.targets import SYSTEM_FLOOR_MS, TARGETS, verdicts
from host.workloads.registry import workloads

NAMES = [module.name for module in pkgutil.iter_modules(bench.units.__path__)]


@pytest.mark.wide
def test_all_benches_together_measure_every_target(monkeypatch, capsys):
    """Each bench's figures are those that its source names, here ones without a run."""
    pytest.importorskip("torch", reason="peers of the benches need torch")
    main = importlib.import_module("bench.__main__")
    modules = [value for value in vars(main).values() if inspect.ismodule(value) and value.__name__.startswith("bench.")]
    for module in modules:
        source = inspect.getsource(module)
        figures = {key: 0.01 for key in TARGETS if f'"{key}"' in source}
        if hasattr(module, "FLOOR"):
            figures[module.FLOOR] = 2 * SYSTEM_FLOOR_MS
        if hasattr(module, "measure"):
            monkeypatch.setattr(module, "measure", lambda figures=figures: figures)
    main.main()
    said = capsys.readouterr().out
    assert all(target.name in said for target in TARGETS.values())
    assert f"{len(TARGETS)} of {len(TARGETS)} targets are met" in said
    assert "divided by 2.00" in said


def test_a_verdict_is_of_what_was_measured_and_what_is_derived_stands_beside_it():
    figures = {"token": 10.0, "system_floor": 1.5}
    token, ratio = sorted(verdicts(figures, slowness=3.0).splitlines(), key=lambda line: "against" in line)
    assert token.split()[-5:] == ["3.4", "2.94", "missed", "3.33", "met"]
    assert ratio.split()[-1] == "met"
    assert [line.split()[-1] for line in verdicts(figures).splitlines()] == ["met", "missed"]


def test_every_workload_has_a_unit_that_is_measured():
    assert list(workloads()) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_measured_beside_its_peer_and_the_chip(name):
    pytest.importorskip("torch", reason="peers of the benches need torch")
    from bench.workloads import COLUMNS, measured, table_row

    row = measured(name, runs=1)
    assert row.pes > 1
    assert min(row.processes_ms, row.one_process_ms, row.peer_ms, row.chip_ms) > 0
    assert len(table_row(name, row)) == len(COLUMNS)
