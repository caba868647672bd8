"""Spikes as NIR data: what a run sent goes out, and comes in as input; the `nir` package reads and writes the same."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from host.cli import main
from host.errors import HostError
from host.run.saved import EVENT
from host.workloads.arrays.expected_input import ExpectedInput
from host.workloads.arrays.read_arrays import read_inputs
from models.foreign.nir_data import Recorded, read_data, write_events
from models.network import ModelError
from tests.tools.nir_files import chain, imported, lif, linear, port, stepped, write

pytest.importorskip("h5py")
pytestmark = pytest.mark.timeout(120)
LENGTHS = np.array([4, 6])


def recorded():
    """Return events of two sequences: spikes of three units, counts of two, and nothing of one."""
    rows = [(0, 3, 0, 0, 2, 1), (0, 1, 0, 0, 0, 1), (1, 5, 0, 0, 1, 1), (1, 5, 0, 0, 0, 1), (0, 0, 0, 1, 1, 3), (1, 2, 0, 1, 0, 1)]
    return Recorded(np.array(rows, EVENT), ["spiking", "a/b", "silent", "input"], [3, 2, 1, 9], [0, 1, 2], LENGTHS)


def grids():
    spiking, counts = np.zeros((2, 6, 3)), np.zeros((2, 6, 2))
    spiking[0, 3, 2] = spiking[0, 1, 0] = spiking[1, 5, 1] = spiking[1, 5, 0] = 1
    counts[0, 0, 1], counts[1, 2, 0] = 3, 1
    return {"spiking": spiking, "a_b": counts, "silent": np.zeros((2, 6, 1))}


def test_events_come_back_as_they_were(tmp_path):
    write_events(tmp_path / "x.nir", recorded(), 1e-3)
    data = read_data(tmp_path / "x.nir")
    assert data.keys() == grids().keys()
    for name, expected in grids().items():
        assert np.array_equal(data[name], expected), name


def test_the_nir_package_reads_them_and_we_read_its_own(tmp_path):
    nir = pytest.importorskip("nir")
    write_events(tmp_path / "x.nir", recorded(), 1e-3)
    theirs = nir.read_data(tmp_path / "x.nir")
    spikes = theirs.nodes["spiking"].observables["spikes"]
    assert type(spikes).__name__ == "EventData"
    assert type(theirs.nodes["a_b"].observables["values"]).__name__ == "ValuedEventData"
    assert spikes.n_neurons == 3
    assert spikes.t_max == pytest.approx(6e-3)
    nir.write_data(tmp_path / "y.nir", theirs)
    with pytest.raises(ModelError, match="a_b: attribute dt needs a number above 0: as events have times"):
        read_data(tmp_path / "y.nir")
    grid = nir.TimeGriddedData(grids()["spiking"].astype(bool), 1e-3)
    nir.write_data(tmp_path / "z.nir", nir.NIRGraphData({"in": nir.NIRNodeData({"spikes": grid})}))
    assert np.array_equal(read_data(tmp_path / "z.nir")["in"], grids()["spiking"])


@pytest.mark.slow
def test_a_run_goes_out_as_nir_data_and_is_the_input_of_another(tmp_path, capsys):
    weight = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    root = chain(("in", port("Input", 4)), ("fc", linear(weight)), ("n", lif(6)), ("out", port("Output", 6)))
    x = (np.random.default_rng(2).random((12, 4)) < 0.6).astype(np.float32)
    of = imported(tmp_path / "net.nir", root)
    np.save(tmp_path / "x.npy", x)
    run = ["run", str(tmp_path / "net.nir"), "--transport", "mem", "--pes", "1", "--save", "events", "--verify"]
    assert main([*run, "--inputs", str(tmp_path / "x.npy"), "--out", str(tmp_path / "a")]) == 0
    assert main(["export", str(tmp_path / "a"), str(tmp_path / "spikes.nir"), "--dt", "1e-4"]) == 0
    data = read_data(tmp_path / "spikes.nir")
    assert np.array_equal(data["n"][0], stepped(of, x)["n"])
    assert "in" not in data  # what the host fed is no event of the run
    after = chain(("n", port("Input", 6)), ("fc", linear(weight.T)), ("m", lif(4)), ("out", port("Output", 4)))
    second = imported(tmp_path / "after.nir", after)
    run[1] = str(tmp_path / "after.nir")
    assert main([*run, "--inputs", str(tmp_path / "spikes.nir"), "--out", str(tmp_path / "b")]) == 0
    assert main(["export", str(tmp_path / "b"), str(tmp_path / "more.nir")]) == 0
    assert np.array_equal(read_data(tmp_path / "more.nir")["m"][0], stepped(second, data["n"][0])["m"])
    capsys.readouterr()
    assert main(["export", str(tmp_path / "a"), str(tmp_path / "x.pth")]) == 2
    assert "hold no spikes of a run" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(tmp_path / "y.nir")]) == 2
    assert "events.npz" in capsys.readouterr().err


def test_what_is_no_nir_data_is_refused(tmp_path):
    path = tmp_path / "x.nir"
    write(path, chain(("in", port("Input", 4)), ("n", lif(4)), ("out", port("Output", 4))))
    with pytest.raises(ModelError, match="is a NIR graph, but no NIR data"):
        read_data(path)
    with pytest.raises(ModelError, match="is no HDF5 file"):
        (tmp_path / "t.nir").write_text("text")
        read_data(tmp_path / "t.nir")
    write_events(path, recorded(), 1.0)
    for where, change, message in (
        ("nodes/spiking/observables/spikes", ("n_neurons", 1), "an event lies outside of 1 units and 6 steps"),
        ("nodes/spiking/observables/spikes", ("t_max", 1e300), "2 samples of .* cannot be"),
        ("nodes/spiking/observables/spikes", ("__type__", "Film"), "observable of type Film; known are TimeGriddedData"),
    ):
        write_events(path, recorded(), 1.0)
        with h5py.File(path, "a") as file:
            file[where].attrs[change[0]] = change[1]
        with pytest.raises(ModelError, match=message):
            read_data(path)
    write_events(path, recorded(), 1.0)
    with pytest.raises(HostError, match=r"spiking, sequence 0: needs \(time, 5\) for this network, has vectors of 3"):
        read_inputs(path, [ExpectedInput("spiking", 5, "float32")], f"--inputs {path}")
