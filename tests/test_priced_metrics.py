"""A workload's metrics at another price than that of the run that they were measured in."""

from types import SimpleNamespace

import pytest

from host.workloads.priced_metrics import metric_value

VALUES = {"accuracy": 90.0, "sample_time": 3.0, "sample_energy": 8.0, "tops_per_w": 0.5, "float_accuracy": None}


def report(workload="dnn", time_s=2.0, energy_j=4.0, **values):
    metrics = [{"name": name, "value": value} for name, value in {**VALUES, **values}.items()]
    return {"workload": workload, "metrics": metrics, "modelled": {"time_s": time_s, "energy_j": energy_j}}


def price(time_s, energy_j):
    return SimpleNamespace(time_s=time_s, energy_j=energy_j)


@pytest.mark.parametrize(
    ("name", "value"), [("accuracy", 90.0), ("sample_time", 1.5), ("sample_energy", 24.0), ("tops_per_w", 0.5 / 3)]
)
def test_a_metric_follows_time_or_energy_or_neither(name, value):
    assert metric_value(report(), name, price(1.0, 12.0)) == pytest.approx(value)
    assert metric_value(report(), name, price(2.0, 4.0)) == VALUES[name]


def test_what_needs_each_step_is_known_at_the_run_s_own_price_alone():
    of_control = report("control", missed=5.0)
    assert metric_value(of_control, "missed", price(2.0 * (1 + 1e-13), 4.0)) == 5.0
    assert metric_value(of_control, "missed", price(1.0, 4.0)) is None


def test_what_is_not_known_is_none():
    assert metric_value(report(), "float_accuracy", price(1.0, 1.0)) is None
    assert metric_value(report(), "perplexity", price(1.0, 1.0)) is None
    assert metric_value(report(energy_j=0.0), "sample_energy", price(1.0, 1.0)) is None
    assert metric_value(report(), "tops_per_w", price(1.0, 0.0)) is None


def test_a_report_without_a_price_or_of_an_unknown_workload_keeps_its_figures():
    assert metric_value({**report(), "modelled": None}, "sample_time", price(1.0, 1.0)) == 3.0
    assert metric_value(report("gone"), "sample_time", price(1.0, 1.0)) == 3.0
