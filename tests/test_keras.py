"""Files of Keras: a GRU with its reset gate inside the product is imported exactly, and every other file is refused in one line."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="the extra that reads HDF5 is not installed")

from models.checkpoint import load, save  # noqa: E402 - needs h5py
from models.foreign.import_model import import_model  # noqa: E402
from models.foreign.request import ImportRequest  # noqa: E402
from models.heads.affine import answer_of, front_of  # noqa: E402
from models.network import ModelError  # noqa: E402
from models.reference import Reference  # noqa: E402
from tests.tools.keras_goldens import FOLDER  # noqa: E402

GOLDEN = FOLDER / "gru-inside.keras"
INPUTS, UNITS = 3, 4


def gru_config(name="gru", **other):
    return {"class_name": "GRU", "config": {
        "name": name, "units": UNITS, "return_sequences": True, "activation": "tanh", "recurrent_activation": "sigmoid",
        "use_bias": True, "reset_after": False, **other,
    }}  # fmt: skip


def arrays(seed=1, inputs=INPUTS, units=UNITS):
    rng = np.random.default_rng(seed)
    return {
        "kernel": rng.normal(0, 0.6, (inputs, 3 * units)), "recurrent_kernel": rng.normal(0, 0.6, (units, 3 * units)),
        "bias": rng.normal(0, 0.3, 3 * units),
    }  # fmt: skip


def write_h5(path, layers, config=None, suffix=":0"):
    """An .h5 as Keras 2 saves it: pairs of a layer's config and its arrays."""
    with h5py.File(path, "w") as root:
        whole = {"class_name": "Sequential", "config": {"layers": [layer for layer, _ in layers]}}
        root.attrs["model_config"] = json.dumps(config or whole)
        root.attrs["keras_version"] = "2.4.0"
        for layer, of_layer in layers:
            name = layer["config"]["name"]
            group = root.create_group(f"model_weights/{name}")
            for leaf, array in of_layer.items():
                group.create_dataset(f"{name}/gru_cell/{leaf}{suffix}", data=np.float32(array))
    return path


def answers(model, inputs):
    """What a model says to inputs (sequences, time, features), by the plain reference."""
    out = []
    for sequence in inputs:
        reference, rows = Reference(model.network), front_of(model, sequence.astype(np.float32))
        sent = [reference.step({0: row}, fresh=not at)[model.network.output][0] for at, row in enumerate(rows)]
        out.append(answer_of(model, np.stack(sent)))
    return np.stack(out)


def plainly(inputs, kernel, recurrent_kernel, bias):
    """Keras' equation in float64, columns z, r, h."""
    units, out = len(recurrent_kernel), []
    h = np.zeros(units)
    for x in inputs:
        wx, sigmoid = x @ kernel + bias, lambda v: 1 / (1 + np.exp(-v))
        zr = sigmoid(wx[: 2 * units] + h @ recurrent_kernel[:, : 2 * units])
        z, r = zr[:units], zr[units:]
        h = z * h + (1 - z) * np.tanh(wx[2 * units :] + (r * h) @ recurrent_kernel[:, 2 * units :])
        out.append(h)
    return np.stack(out)


def test_a_model_that_keras_saved_answers_as_keras_did(tmp_path):
    """Two GRUs between dense layers, a dropout that does nothing: the golden file, through a checkpoint of ours."""
    with np.load(FOLDER / "gru-inside.npz") as file:
        expected = dict(file)
    findings = import_model(GOLDEN, ImportRequest())
    assert findings.model.provenance["exact"]
    save(tmp_path / "model.safetensors", findings.model)
    model = load(tmp_path / "model.safetensors")
    np.testing.assert_allclose(answers(model, expected["inputs"]), expected["outputs"], rtol=0, atol=2e-6)
    assert [model.network.populations[n].kernel for n in model.network.layers] == ["egru_gate", "egru_cell"] * 2


@pytest.mark.parametrize("suffix", [":0", ""], ids=["Keras 2", "Keras 3"])
def test_an_h5_says_the_same_as_its_equation(tmp_path, suffix):
    numbers = arrays()
    findings = import_model(write_h5(tmp_path / "m.h5", [(gru_config(), numbers)], suffix=suffix), ImportRequest())
    inputs = np.random.default_rng(2).normal(0, 1, (1, 20, INPUTS))
    want = plainly(inputs[0], *(np.float32(array).astype(np.float64) for array in numbers.values()))
    np.testing.assert_allclose(answers(findings.model, inputs)[0], want, rtol=0, atol=2e-6)


def functional(*hears):
    """A Functional model of an input and a GRU that hears these layers, as Keras 2 writes it."""
    entry = {"class_name": "InputLayer", "name": "x", "config": {"name": "x"}, "inbound_nodes": []}
    gru = gru_config() | {"name": "gru", "inbound_nodes": [[[name, 0, 0, {}] for name in hears]]}
    return {"class_name": "Functional", "config": {"layers": [entry, gru]}}


def test_a_functional_model_that_is_a_chain_is_read(tmp_path):
    path = write_h5(tmp_path / "m.h5", [(gru_config(), arrays())], functional("x"))
    assert import_model(path, ImportRequest()).model.network.populations[0].units == INPUTS


REFUSED = {
    "the other form": (gru_config(reset_after=True), {"bias": np.zeros((2, 3 * UNITS))}, "after the recurrent product"),
    "two biases without a word of it": (gru_config(), {"bias": np.zeros((2, 3 * UNITS))}, "after the recurrent product"),
    "another activation": (gru_config(activation="relu"), {}, "activation='relu'; needs 'tanh'"),
    "a hard sigmoid": (gru_config(recurrent_activation="hard_sigmoid"), {}, "recurrent_activation='hard_sigmoid'"),
    "backwards": (gru_config(go_backwards=True), {}, "go_backwards=True"),
    "another shape": (gru_config(), {"kernel": np.zeros((INPUTS, 5))}, "needs a kernel"),
    "no number": (gru_config(), {"kernel": np.full((INPUTS, 3 * UNITS), np.nan)}, "not finite"),
    "an LSTM": ({"class_name": "LSTM", "config": {"name": "lstm"}}, {}, "needs GRU layers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_such_gru_is_refused_in_one_line(tmp_path, what):
    config, other, says = REFUSED[what]
    with pytest.raises(ModelError, match=says) as refusal:
        import_model(write_h5(tmp_path / "m.h5", [(config, arrays() | other)]), ImportRequest())
    assert "\n" not in str(refusal.value)


def test_the_other_form_is_told_which_command_reads_it(tmp_path):
    path = write_h5(tmp_path / "m.h5", [(gru_config(reset_after=True), arrays())])
    with pytest.raises(ModelError, match=r"no command reads that from Keras: copy its weights into a torch\.nn\.GRU and import"):
        import_model(path, ImportRequest())


def test_models_that_are_no_chain_and_weights_without_a_model_are_refused(tmp_path):
    path = write_h5(tmp_path / "a.h5", [(gru_config(), arrays())], functional("x", "gru"))
    with pytest.raises(ModelError, match="needs a chain of layers"):
        import_model(path, ImportRequest())
    with h5py.File(tmp_path / "w.h5", "w") as root:
        root.create_dataset("layers/gru/cell/vars/0", data=np.zeros((3, 12), np.float32))
    with pytest.raises(ModelError, match="weights of Keras without their model"):
        import_model(tmp_path / "w.h5", ImportRequest())
    dense = {"class_name": "Bidirectional", "config": {"name": "both"}}
    with pytest.raises(ModelError, match="class Bidirectional"):
        import_model(write_h5(tmp_path / "b.h5", [(gru_config(), arrays()), (dense, {})]), ImportRequest())


@pytest.mark.parametrize("damage", ["no config", "no weights in it", "cut"])
def test_damaged_files_are_refused_in_one_line(tmp_path, damage):
    path, whole = tmp_path / "m.keras", GOLDEN.read_bytes()
    with zipfile.ZipFile(GOLDEN) as archive, zipfile.ZipFile(path, "w") as copy:
        copy.writestr("config.json", b"{" if damage == "no config" else archive.read("config.json"))
        copy.writestr("model.weights.h5", b"none" if damage == "no weights in it" else archive.read("model.weights.h5"))
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError) as refusal:
        import_model(path, ImportRequest(importer="keras"))
    assert "\n" not in str(refusal.value)
