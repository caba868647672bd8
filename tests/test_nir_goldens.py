"""NIR files that frameworks wrote give the spikes that these gave, with no bit different."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from host.launch.launcher import Launcher
from host.workloads.arrays.options import Options
from models.checkpoint import save
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from tests.tools.nir_files import imported, stepped
from tests.tools.nir_goldens import FOLDER

pytest.importorskip("h5py")
pytestmark = pytest.mark.timeout(120)
NAMES = sorted(path.stem for path in FOLDER.glob("*.nir"))
THEIRS = os.environ.get("GENNAKER_NIR_FILES", "")
"""A folder of other people's files, which are no part of the project (`docs/nir.md` says where to find them)."""


def golden(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: arrays[key] for key in arrays}


def test_the_golden_files_are_of_every_framework_and_small():
    assert {name.split("_")[0] for name in NAMES} == {"snntorch", "norse", "sinabs"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1e6
    assert {"snntorch", "norse", "sinabs", "nir"} <= json.loads((FOLDER / "versions.json").read_text()).keys()


@pytest.mark.few(4)
@pytest.mark.parametrize("name", NAMES)
def test_every_spike_is_the_framework_s(name):
    arrays = golden(name)
    of = imported(FOLDER / f"{name}.nir", **json.loads(str(arrays["choices"])))
    given = stepped(of, arrays["x"])
    assert len(given) == sum(key.startswith("layer") for key in arrays)
    for number, (node, sent) in enumerate(given.items()):
        expected = arrays[f"layer{number}"]
        assert np.any(expected), node
        if expected.dtype == np.uint8:
            assert np.array_equal(sent, expected), node
        else:  # values of an integrator: torch sums in an order of its own
            np.testing.assert_allclose(sent, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["snntorch_recurrent", "norse_cuba", "sinabs_iaf"])
def test_the_emulator_gives_the_spikes_of_the_framework(name, tmp_path):
    """Through a checkpoint, PEs, events and routers."""
    arrays = golden(name)
    model = import_model(FOLDER / f"{name}.nir", ImportRequest(options=json.loads(str(arrays["choices"])))).model
    save(tmp_path / "model.safetensors", model)
    np.save(tmp_path / "x.npy", arrays["x"].astype(np.float32))
    options = Options(
        checkpoint=str(tmp_path / "model.safetensors"), inputs=str(tmp_path / "x.npy"), outputs=str(tmp_path / "y.npz"),
        transport="mem", pes=2 * len(model.network.layers), verify=True,
    )  # fmt: skip
    options.check()
    done = Launcher(options, lambda _: None, lambda _: None, folder=tmp_path).run()
    assert done.problem is None
    assert done.mismatch["difference"] is None
    last = len(model.network.layers) - 1
    with np.load(tmp_path / "y.npz") as outputs:
        sent = next(iter(outputs.values()))
    assert np.array_equal(sent.reshape(arrays[f"layer{last}"].shape), arrays[f"layer{last}"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # the frameworks' own
def test_what_is_installed_still_gives_the_golden_spikes(tmp_path):
    """The frameworks themselves, where they are there: their networks and spikes of today, read and stepped here."""
    nir = pytest.importorskip("nir")
    for package in ("torch", "snntorch", "norse", "sinabs"):
        pytest.importorskip(package)
    from tests.tools.nir_goldens import live

    for of in live():
        path = tmp_path / f"{of.name}.nir"
        nir.write(path, of.graph)
        given = stepped(imported(path, **of.choices), of.x)
        for (node, sent), expected in zip(given.items(), of.layers, strict=True):
            if np.array_equal(expected, np.rint(expected)):
                assert np.array_equal(sent, expected), (of.name, node)
            else:
                np.testing.assert_allclose(sent, expected, rtol=1e-5, atol=1e-6, err_msg=of.name)


theirs = pytest.mark.skipif(not THEIRS, reason="GENNAKER_NIR_FILES names no folder of other people's NIR files")


@theirs
def test_the_paper_s_lif_gives_its_recorded_spikes():
    table = np.loadtxt(Path(THEIRS) / "lif_norse.csv", delimiter=",")
    sent = stepped(imported(Path(THEIRS) / "lif_norse.nir", dt=1e-4), table[:, :1])["1"]
    assert np.array_equal(sent[:, 0], table[:, 2])
    assert np.flatnonzero(sent).tolist() == [460, 510, 710, 760]


@theirs
@pytest.mark.parametrize(
    ("reader", "choices"), [("sinabs", {}), ("norse", {"reset": "zero", "fire": "gt"}), ("norse", {"exporter": "norse"})]
)
def test_the_paper_s_convolutions_give_the_spikes_of_two_frameworks(reader, choices):
    with np.load(Path(THEIRS) / "cnn_sinabs_synthetic.npz") as arrays:
        given = stepped(imported(Path(THEIRS) / "cnn_sinabs.nir", **choices), arrays["x"])
        assert [int(sent.sum()) for sent in given.values()] == arrays[f"{reader}_layer_spikes"].tolist()
        assert np.array_equal(given["12"], arrays[f"{reader}_out"])


@theirs
@pytest.mark.parametrize("choices", [{"reset": "zero"}, {"exporter": "norse", "dt": 1e-4}])
def test_the_paper_s_recurrent_network_gives_norse_s_spikes(choices):
    with np.load(Path(THEIRS) / "braille_noDelay_bias_zero_random.npz") as arrays:
        given = stepped(imported(Path(THEIRS) / "braille_noDelay_bias_zero.nir", **choices), arrays["x"])
        assert np.array_equal(given["lif1.lif"], arrays["hidden"])
        assert np.array_equal(given["lif2"], arrays["out"])


@theirs
def test_a_network_of_the_paper_s_size_gives_snntorch_s_spikes():
    with np.load(Path(THEIRS) / "arfa_topology_seeded.npz") as arrays:
        shape = arrays["shape"]
        x = np.unpackbits(arrays["x"])[: np.prod(shape)].reshape(len(arrays["out"]), -1)
        given = stepped(imported(Path(THEIRS) / "arfa_topology_seeded.nir"), x)
        assert np.array_equal(given["12"], arrays["out"])
        for node, key in (("1", "layer1"), ("3", "layer3"), ("6", "layer6"), ("10", "layer10"), ("12", "layer12")):
            assert np.array_equal(given[node].sum(axis=1), arrays[f"{key}_counts"])
