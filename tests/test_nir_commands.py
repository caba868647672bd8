"""NIR on the command line: a file is imported with what was chosen, or taken as it is where nothing has to be chosen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from host.cli import main
from host.run_folder import read_report
from models.checkpoint import load
from models.foreign.nir_neurons import KERNELS
from models.kernels import names
from models.spiking import RESETS
from tests.tools.nir_files import chain, imported, lif, linear, port, stepped, write
from tests.tools.nir_goldens import FOLDER

pytest.importorskip("h5py")
pytestmark = pytest.mark.timeout(120)
W = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)


@pytest.fixture
def known(tmp_path):
    """A file that only one exporter writes."""
    root = chain(("in", port("Input", 4)), ("fc", linear(2 * W)), ("n", lif(6)), ("out", port("Output", 6)))
    return write(tmp_path / "known.nir", root)


@pytest.fixture
def unknown(tmp_path):
    """A file that does not say how long a step is."""
    neuron = lif(6, tau=np.full(6, 2e-2), r=np.ones(6))
    return write(
        tmp_path / "unknown.nir", chain(("in", port("Input", 4)), ("fc", linear(W)), ("n", neuron), ("out", port("Output", 6)))
    )


def refused(arguments, capsys):
    """Return the line that a command ends with, and check that it is one."""
    assert main(list(map(str, arguments))) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("gennaker: ")
    assert len(line.splitlines()) == 1
    return line


def test_an_import_says_what_it_read_and_what_was_chosen(known, tmp_path, capsys):
    out = tmp_path / "x.safetensors"
    assert main(["import", str(known), str(out), "--reset", "zero", "--fire", "ge"]) == 0
    shown = capsys.readouterr().out
    assert "read as        snntorch: tau / r is 0.0001 for every neuron" in shown
    assert "step           0.0001 of the file's unit of time (as snntorch writes; other: --dt)" in shown
    assert "reset          zero (chosen)" in shown
    assert "multi-spike    no (as snntorch does, not in the file; other: --multi-spike)" in shown
    model = load(out)
    assert model.network.populations[1].params["reset"] == RESETS.index("zero")
    assert model.provenance["conventions"]["fire"] == "ge"


def test_what_has_to_be_chosen_is_asked_for_by_every_command(unknown, tmp_path, capsys):
    out = tmp_path / "x.safetensors"
    for arguments in (["import", unknown, out], ["info", unknown], ["fit", unknown], ["run", unknown, "--out", tmp_path / "run"]):
        assert "choose with --dt of `launch.py import`" in refused(arguments, capsys)
    assert not out.exists()
    assert main(["import", str(unknown), str(out), "--dt", "1e-3"]) == 0
    assert "step           0.001 of the file's unit of time (chosen)" in capsys.readouterr().out


def test_bad_input_is_one_line(known, unknown, tmp_path, capsys):
    out = tmp_path / "x.safetensors"
    assert "needs a finite number above 0" in refused(["import", known, out, "--dt", "-1"], capsys)
    assert "--reset 'soft': needs zero or subtract" in refused(["import", known, out, "--reset", "soft"], capsys)
    assert "is longer than tau 0.02" in refused(["import", unknown, out, "--dt", "0.5", "--exporter", "nir"], capsys)
    text = tmp_path / "text.nir"
    text.write_text("text")
    assert "is no HDF5 file" in refused(["run", text, "--out", tmp_path / "run"], capsys)
    assert "no such file" in refused(["info", tmp_path / "none.nir"], capsys)


@pytest.mark.wide
def test_a_file_is_run_as_it_is_and_its_report_says_by_what_conventions(known, tmp_path):
    x = (np.random.default_rng(2).random((9, 4)) < 0.5).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    arguments = ["run", str(known), "--inputs", str(tmp_path / "x.npy"), "--outputs", str(tmp_path / "y.npz"), "--pes", "2"]
    assert main([*arguments, "--verify", "--transport", "mem", "--out", str(tmp_path / "run")]) == 0
    with np.load(tmp_path / "y.npz") as outputs:
        assert np.array_equal(outputs["outputs"][0], stepped(imported(known), x)["n"])
    report = read_report(tmp_path / "run")
    assert "known.nir" in json.dumps(report)


@pytest.mark.wide
def test_a_quantised_network_goes_out_and_comes_back_with_its_spikes(tmp_path, capsys):
    model, small, back = (tmp_path / name for name in ("x.safetensors", "q.safetensors", "q.nir"))
    assert main(["import", str(FOLDER / "sinabs_iaf.nir"), str(model)]) == 0
    assert main(["quantise", str(model), str(small)]) == 0
    assert main(["export", str(small), str(back)]) == 0
    assert "noted in its metadata" in capsys.readouterr().out
    with np.load(FOLDER / "sinabs_iaf.npz") as arrays:
        x = arrays["x"]
    again = stepped(imported(back), x)
    network = load(small).network
    weights = [p.weights.to_rows() for layer in network.populations for p in layer.projections]
    assert {rows.numeric for rows in weights} == {"int8"}
    values = [p.weights.to_rows().values for layer in imported(back).network.populations for p in layer.projections]
    assert all(np.array_equal(a.values, b) for a, b in zip(weights, values, strict=True))
    from models.reference import Reference

    reference = Reference(network)
    for step, row in enumerate(x):
        sent = reference.step({0: row}, fresh=step == 0)
        for number, expected in zip(sent, again.values(), strict=True):
            assert np.array_equal(sent[number][0], expected[step])


def test_every_neuron_of_nir_has_a_neuron_model():
    assert set(KERNELS.values()) <= set(names())
