"""Graphs from a file on real processes: verified, priced, and gone on with after a machine was lost."""

from __future__ import annotations

import multiprocessing.forkserver

import numpy as np
import pytest
from test_graph_runs import GRAPHS, egru, of_egru, of_numbers

from host.launch.launcher import Launcher
from host.workloads.arrays.options import Options
from models.checkpoint import Model, save
from models.reference import Reference
from tests.tools.graphs import Layer, graph, with_members
from tests.tools.processes import SLOW, answer
from tests.tools.tiny import UNITS, save_tiny
from tests.tools.workers import workers

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    with with_members():
        stop_fork_server()  # one from a test before knows of no members
        for name, graph in (("egru", of_egru), ("numbers", of_numbers)):
            save(folder / f"{name}.safetensors", Model(graph()))
        yield folder
        stop_fork_server()


def stop_fork_server():
    multiprocessing.forkserver._forkserver._stop()


def run_features(files, name, folder=None, **options):
    options = Options(**{"checkpoint": str(files / f"{name}.safetensors"), "tokens": 12, "pes": 7, "chips": 2} | options)
    options.check()
    return Launcher(options, lambda _: None, lambda _: None, folder=folder).run()


@pytest.mark.wide
@pytest.mark.slow_but("numbers")
@pytest.mark.parametrize("name", ["egru", "numbers"])
def test_a_graph_runs_on_processes_as_in_one(files, name):
    alone = run_features(files, name, transport="mem", pes=1, chips=1, batch=2, verify=True)
    processes = run_features(files, name, batch=2, verify=True)
    for outcome in (alone, processes):
        assert (outcome.code, outcome.problem) == (0, None)
        assert outcome.mismatch["difference"] is None
        assert outcome.report["modelled"]["time_s"] > 0
        assert outcome.report["conservation"]["wrong"] == []
    assert alone.report["events"] == processes.report["events"]
    assert alone.report["counters"]["macs"] == processes.report["counters"]["macs"]


@pytest.mark.wide
@pytest.mark.slow_but("numbers")
@pytest.mark.parametrize("name", ["egru", "numbers"])
def test_several_inputs_and_outputs_are_arrays_by_name(files, tmp_path, name):
    """Sequences of unequal lengths, two lanes, payloads of every kind; answers are the reference's, states those of probes."""
    network, rng = GRAPHS[name](), np.random.default_rng(5)
    inputs = {number: network.populations[number] for number in network.inputs}
    sequences = [{one.name: numbers_for(one.payload, rng, (length, one.units)) for one in inputs.values()} for length in (6, 9, 4)]
    arrays = {f"{of}.{n}": array for n, sequence in enumerate(sequences) for of, array in sequence.items()}
    np.savez(tmp_path / "x.npz", **arrays)
    options = {"inputs": str(tmp_path / "x.npz"), "tokens": None, "transport": "mem", "save": ("outputs", "states"), "batch": 2}
    outcome = run_features(files, name, folder=tmp_path, verify=True, **options)
    assert (outcome.code, outcome.problem) == (0, None)
    assert outcome.mismatch["difference"] is None
    with np.load(tmp_path / "outputs.npz") as answers, np.load(tmp_path / "states.npz") as states:
        assert sorted(answers) == sorted(["lengths", *(network.populations[n].name for n in network.outputs)])
        assert answers["lengths"].tolist() == states["lengths"].tolist() == [6, 9, 4]
        for sequence, of in enumerate(sequences):
            reference, length = Reference(network), len(next(iter(of.values())))
            for t in range(length):
                step = {n: of[one.name][t] for n, one in inputs.items()}
                want = reference.step(step, fresh=t == 0, reset=t == 0, idle=False)
                for n in network.outputs:
                    have, one = answers[network.populations[n].name][sequence, t], np.squeeze(np.stack(want[n]))
                    assert np.array_equal(have, one.astype(have.dtype)), (sequence, t, n)
        if name == "numbers":
            assert answers["phase"].shape == (3, 9, 3, 5)  # a row a tick
            assert states["int.membrane"].any()


def numbers_for(payload, rng, shape):
    """Numbers that an input of that payload sends."""
    if payload == "float32":
        return rng.standard_normal(shape).astype("f4")
    return rng.integers(*{"spike": (0, 2), "int8": (-128, 128)}[payload], shape)


@pytest.mark.slow  # as one of EGRU layers does (test_cluster_failures.py), and as any graph in one process (test_graph_runs.py)
def test_a_lost_workers_chips_start_again_elsewhere_with_the_same_answer(run, tmp_path):
    """A language model whose layers hear each other up to three positions late: told what was sent before the boundary."""
    network = graph({
        "input": Layer(UNITS), "a": egru(12, [("input", 0), ("b", 1)], [("a", 2)]),
        "b": egru(10, [("a", 0), ("input", 2)], [("b", 1), ("a", 3)]), "c": egru(UNITS, [("b", 0), ("a", 1)], [("c", 1)]),
    })  # fmt: skip
    checkpoint = str(save_tiny(tmp_path / "graph.safetensors", network))
    alone = answer(run(checkpoint=checkpoint, transport="mem", pes=1))
    struck = []

    def observe(status):
        if status["phase"] == "running" and status.get("tick", 0) > 30 and not struck:
            struck.append(cluster.remove("b"))

    with workers(tmp_path, a=1, b=1, spare=1) as cluster:
        cluster.wait(3)
        options = {"checkpoint": checkpoint, "chips": 2, "pes": 6, "faults": SLOW, "restart": True, "verify": True}
        outcome = run(observe=observe, cluster=cluster.address, **options)
    assert struck
    assert answer(outcome) == alone
    assert outcome.mismatch["difference"] is None
    (restart,) = outcome.report["machines"]["restarts"]
    assert restart["position"] in (7, 14, 21)


@pytest.mark.slow
def test_a_run_that_never_resets_goes_on_from_a_snapshot_with_the_same_answer(run, tmp_path):
    """States are carried from segment to segment: no boundary, and so none to go on from but the run's beginning."""
    carried = {"state": "carried", "tokens": 60}
    alone = answer(run(transport="mem", pes=1, **carried))
    struck = []

    def observe(status):
        if status["phase"] == "running" and status.get("tick", 0) > 40 and not struck:
            struck.append(cluster.remove("b"))

    with workers(tmp_path, a=1, b=1, spare=1) as cluster:
        cluster.wait(3)
        options = {"chips": 2, "pes": 6, "faults": SLOW, "restart": True, "snapshot": 6, **carried}
        outcome = run(observe=observe, cluster=cluster.address, **options)
    assert struck
    assert answer(outcome) == alone
    (restart,) = outcome.report["machines"]["restarts"]
    assert restart["position"] >= 10
