"""torch.export's files are read without torch and without running anything; what cannot be read is refused in one line."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import gennaker as gk
from models.foreign.import_dnn import import_dnn
from models.foreign.request import ImportRequest
from models.network import ModelError

GOLDEN = Path(__file__).with_name("golden_dnn")


def stored(path):
    """The arrays of a .npz file."""
    with np.load(path) as arrays:
        return dict(arrays)


def changed(change, *, compress=zipfile.ZIP_STORED):
    """The bytes of cnn.pt2 with members changed: `change` takes and returns {name: bytes}."""
    made = io.BytesIO()
    with zipfile.ZipFile(GOLDEN / "cnn.pt2") as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(made, "w", compress) as target:
        for name, raw in change(members).items():
            target.writestr(zipfile.ZipInfo(name) if compress == zipfile.ZIP_STORED else name, raw)
    return made.getvalue()


def with_graph(change):
    """Change the graph's JSON."""

    def run(members):
        name = next(name for name in members if name.endswith("models/model.json"))
        about = json.loads(members[name])
        change(about)
        return {**members, name: json.dumps(about).encode()}

    return run


def with_weights(change):
    def run(members):
        name = next(name for name in members if name.endswith("model_weights_config.json"))
        about = json.loads(members[name])
        change(about["config"]["body.0.weight"])
        return {**members, name: json.dumps(about).encode()}

    return run


def node_of(about, kind):
    return next(one for one in about["graph_module"]["graph"]["nodes"] if f".{kind}." in one["target"])


CHANGES = {
    "operator aten.fft_fft.default is not supported": with_graph(
        lambda a: node_of(a, "relu").update(target="torch.ops.aten.fft_fft.default")
    ),
    "operator mine.op.default is not supported": with_graph(
        lambda a: node_of(a, "relu").update(target="torch.ops.mine.op.default")
    ),
    "has schema 9 of torch.export": with_graph(lambda a: a["schema_version"].update(major=9)),
    "stored as a pickle, which is not run": with_weights(lambda one: one.update(use_pickle=True)),
    "needs 72000 bytes": with_weights(
        lambda one: one["tensor_meta"].update(sizes=[{"as_int": 2000}, {"as_int": 1}, {"as_int": 3}, {"as_int": 3}])
    ),
    "and strides": with_weights(
        lambda one: one["tensor_meta"].update(strides=[{"as_int": -9}, {"as_int": 9}, {"as_int": 3}, {"as_int": 1}])
    ),
    "has no member": lambda members: {name: raw for name, raw in members.items() if not name.endswith("weight_0")},
    "needs one graph": lambda members: {**members, "cnn/models/second.json": b"{}"},
    "damaged": with_graph(lambda a: a.update(graph_module=[])),
    "nested too deep": lambda members: {
        name: b"[" * 100_000 if name.endswith("model.json") else raw for name, raw in members.items()
    },
    "exported in training mode": with_graph(
        lambda a: next(one for one in node_of(a, "batch_norm")["inputs"] if one["name"] == "training")["arg"].update(as_bool=True)
    ),
}


@pytest.mark.parametrize("why", CHANGES)
def test_a_file_that_is_not_as_it_should_be_is_refused(why, tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(changed(CHANGES[why]))
    refused(path, why)


def refused(path, why):
    with pytest.raises(ModelError, match=why) as caught:
        import_dnn(path, ImportRequest())
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


def test_zips_that_are_none_are_refused(tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(changed(lambda members: members, compress=zipfile.ZIP_DEFLATED))
    refused(path, "is packed; torch stores it as it is")
    path.write_bytes((GOLDEN / "cnn.pt2").read_bytes()[:2000])
    refused(path, "damaged, or no file of torch.export")
    path.write_bytes(b"anything else")
    refused(path, "damaged, or no file of torch.export")


def test_the_sample_inputs_are_not_opened(tmp_path):
    """A pickle that would write a file lies where torch keeps them."""
    mark = tmp_path / "mark"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (mark,)

    path = tmp_path / "net.pt2"
    path.write_bytes(changed(lambda members: {**members, "cnn/data/sample_inputs/model.pt": pickle.dumps(Bomb())}))
    assert import_dnn(path, ImportRequest()).model.prepared is not None
    assert not mark.exists()


def test_python_loads_and_quantises_a_file(tmp_path, capsys):
    dnn = gk.load(GOLDEN / "cnn.pt2")
    assert not capsys.readouterr().out  # it has no notes
    assert "torch.export's program" in str(dnn)
    assert dnn.inputs == {"x": (1, 1, 8, 8)}
    golden = stored(GOLDEN / "cnn.npz")
    np.testing.assert_allclose(next(iter(dnn.reference(golden["x"]).values())), golden["y"], rtol=1e-4, atol=1e-5)
    with pytest.raises(gk.WrongInput, match="chosen by samples"):
        dnn.quantise()
    samples = np.random.default_rng(1).normal(size=(10, 1, 8, 8))
    int8 = dnn.quantise(samples)
    assert int8.quantised
    assert len(int8.losses) == len(int8.model.network.operations)
    int8.save(tmp_path / "int8.safetensors")
    assert gk.load(tmp_path / "int8.safetensors").sha256 == int8.sha256
    with pytest.raises(gk.WrongInput, match="needs at least 8"):
        dnn.quantise(samples[:2])
    with pytest.raises(gk.WrongInput, match="round"):
        dnn.quantise(samples, round="up")


@pytest.mark.slow
def test_python_loads_a_module_with_an_example():
    torch = pytest.importorskip("torch")
    from tests.tools.dnn_modules import Cnn

    torch.manual_seed(3)
    module, x = Cnn().eval(), torch.randn(1, 1, 8, 8)
    dnn = gk.load(module, example=x)
    np.testing.assert_allclose(next(iter(dnn.reference(x.numpy()).values())), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(gk.WrongInput, match="example=TENSOR"):
        gk.load(module)
    with pytest.raises(gk.WrongInput, match=r"torch\.export cannot export it"):
        gk.load(module, example=torch.randn(3))


@pytest.mark.slow
def test_groups_sums_and_repeats_of_a_module_are_read():
    torch = pytest.importorskip("torch")

    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.grouped = torch.nn.Conv2d(8, 16, 3, padding=1, groups=4)
            self.register_buffer("order", torch.tensor([3, 0, 1, 2]))

        def forward(self, x):
            y = torch.nn.functional.pixel_shuffle(self.grouped(x).relu(), 2)
            y = y.index_select(1, self.order) * torch.rsqrt(y.sum(dim=(2, 3), keepdim=True) + 1)
            return torch.cat([y.amax(dim=3), y.sum(dim=2)], dim=2).repeat(1, 2, 1)

    torch.manual_seed(5)
    module, x = Mixed().eval(), torch.randn(1, 8, 3, 3)
    dnn = gk.load(module, example=x)
    exact = module(x).detach().numpy()
    np.testing.assert_allclose(next(iter(dnn.reference(x.numpy()).values())), exact, rtol=1e-4, atol=1e-5)
    int8 = dnn.quantise(np.random.default_rng(1).normal(size=(16, 8, 3, 3)))
    away = next(iter(int8.reference(x.numpy()).values())) - exact
    assert np.square(away).sum() < 0.02 * np.square(exact).sum()
