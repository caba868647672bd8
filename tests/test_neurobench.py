"""NeuroBench's metrics against arithmetic by hand, on a network small enough to count on fingers."""

from __future__ import annotations

import numpy as np
import pytest

from host.cost.neurobench import neurobench_metrics
from host.run.recorder import Recorder
from models.network import Network, Population, Projection, SparseRows
from models.seeded import seeded_egru
from tests.tools.ledgers import invented, placed, section


def two_units():
    """An input of 3 and one layer of 2 units: W is 6 x 3 with 7 nonzeros, R is 6 x 2 with 4."""
    w, r = np.zeros((6, 3), np.float32), np.zeros((6, 2), np.float32)
    w.flat[[0, 2, 5, 7, 11, 13, 17]] = 1.5
    r.flat[[1, 4, 6, 11]] = -1
    bias = np.array([1, 0, 2, 0, 3, 0], np.float32)  # three zeros
    vectors = {"threshold": np.full(2, 0.1, np.float32), "bias": bias, "recurrent_bias": np.zeros(6, np.float32)}
    ports = (Projection(0, "input", SparseRows.from_dense(w)), Projection(1, "recurrent", SparseRows.from_dense(r), delay=1))
    return Network((Population("in", 3), Population("egru", 2, "egru", ports, vectors, {})))


def ledger_of(placement, rows):
    """Return the ledger of a run in which the layer counted `rows`: events and multiply-accumulates by port, one a position."""
    recorder = Recorder(placement)
    for position, (events, macs_input, macs_recurrent) in enumerate(rows):
        recorder.add_input(3)
        counts = np.array([[events, 2, 6, macs_input, 7, macs_recurrent, 4]], "<u4")
        recorder.add(section(1, position, counts.tobytes()))
    return recorder.ledger()


def test_by_hand():
    network = two_units()
    placement = placed(network, 1)
    found = neurobench_metrics(network, ledger_of(placement, [(2, 7, 0), (0, 5, 4), (1, 6, 0), (0, 7, 2)]), 1234)
    assert found == {
        "Footprint": 4 * (18 + 12 + 6 + 6 + 2),  # W, R, two biases, thresholds: float32, zeros included
        "DeployedFootprint": 1234,
        "ParameterCount": 44,
        "ConnectionSparsity": round(1 - (7 + 4 + 3) / (18 + 12 + 6 + 6), 4),  # biases count, thresholds do not
        "ActivationSparsity": 5 / 8,  # three events of two units at four positions
        "ActivationSparsityByLayer": {"egru": 5 / 8},
        "SynapticOperations": {"Effective_MACs": (7 + 9 + 6 + 9) / 4, "Effective_ACs": 0.0, "Dense": 18 + 12},
        "GateMACs": 6,
        "Executions": 4,
        "Task": {},
        "Host": None,
    }


def test_the_hosts_share_is_told_apart():
    network = two_units()
    found = neurobench_metrics(network, ledger_of(placed(network, 1), [(2, 7, 0), (0, 5, 4)]), 0, (10, 3))
    assert found["Host"] == {
        "Footprint": 4 * (30 + 10),
        "ParameterCount": 40,
        "SynapticOperations": {"Effective_MACs": 10 * 2 / 2, "Effective_ACs": 0.0, "Dense": 30},
    }


def test_a_batch_is_averaged_over_its_sequences():
    network = seeded_egru(20, (24, 24, 20), density=0.3, seed=7)
    ledger = invented(placed(network, 7, lanes=3), 6, activity=0.25)
    found = neurobench_metrics(network, ledger, 0)
    assert found["Executions"] == 18
    assert found["ActivationSparsity"] == pytest.approx(0.75, abs=0.05)
    assert found["ActivationSparsity"] == 1 - int(ledger.events.sum()) / (68 * 18)
    by_layer = found["ActivationSparsityByLayer"]
    assert found["ActivationSparsity"] == pytest.approx(
        (24 * by_layer["egru1"] + 24 * by_layer["egru2"] + 20 * by_layer["egru3"]) / 68
    )
    assert found["SynapticOperations"]["Dense"] == 3 * (24 * 20 + 24 * 24 + 24 * 24 + 24 * 24 + 20 * 24 + 20 * 20)


def test_stored_zeros_are_zeros():
    network = two_units()
    stored = network.populations[1].projections[0].weights
    stored.values[:2] = 0
    found = neurobench_metrics(network, ledger_of(placed(network, 1), [(0, 0, 0)]), 0)
    assert found["ConnectionSparsity"] == round(1 - 12 / 42, 4)
    assert found["ActivationSparsity"] == 1


def test_a_mapping_and_a_format_change_only_what_is_deployed():
    network = seeded_egru(20, (24, 24, 20), density=0.3, seed=7)
    one, many = placed(network, 1, mapping="balanced"), placed(network, 9)
    assert one.deployed_bytes() < many.deployed_bytes()  # every PE brings buffers of its own
    assert placed(network, 9, "packed").deployed_bytes() != many.deployed_bytes()
