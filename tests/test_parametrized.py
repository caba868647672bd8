"""Weight norm and spectral norm, as torch leaves them in a state_dict, give the weights that torch computes with."""

from __future__ import annotations

import numpy as np
import pytest
from test_importers import INPUTS, Files, gru_outputs, gru_tensors, here

from models.heads.affine import answer_of

RNG = np.random.default_rng


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def weight_normed(entries, names, new):
    """The entries with a direction and a length in the place of each of these weights; the weights stay what they are."""
    parts = {}
    for key, tensor in entries.items():
        module, _, name = key.rpartition(".")
        if name not in names:
            parts[key] = tensor
            continue
        length = np.linalg.norm(tensor, axis=1, keepdims=True)
        direction = tensor * RNG(len(name)).uniform(0.5, 2, length.shape)
        dot = f"{module}." if module else ""
        keys = [f"{dot}parametrizations.{name}.original{n}" for n in (0, 1)] if new else [f"{dot}{name}_g", f"{dot}{name}_v"]
        parts |= {keys[0]: length.astype(np.float32), keys[1]: direction.astype(np.float32)}
    return parts


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("prefix", ["", "rnn."])
def test_weight_norm_is_computed(files, new, prefix):
    entries = gru_tensors(RNG(6), (6, 7, 5), prefix) | {"head.weight": RNG(1).normal(size=(2, 5)).astype(np.float32)}
    names = ("weight_ih_l0", "weight_hh_l1", "weight")
    got = files.write(weight_normed(entries, names, new)).read()
    have = answer_of(got.model, here(got.model, INPUTS))
    np.testing.assert_allclose(have, gru_outputs(entries, INPUTS, prefix) @ entries["head.weight"].T, atol=3e-5)
    assert "3 tensors computed from the parts that weight norm leaves, in float64, rounded once" in got.notes
    assert not any("left out" in note for note in got.notes)


def test_weight_norm_in_another_number_format_within_a_wrapper(files):
    entries = gru_tensors(RNG(6), (6, 7), "module.rnn.")
    parts = weight_normed(entries, ("weight_ih_l0",), new=True)
    parts = {key: tensor.astype(np.float64) if "original" in key else tensor for key, tensor in parts.items()}
    got = files.write(parts).read()
    want = gru_outputs(entries, INPUTS, "module.rnn.")
    np.testing.assert_allclose(answer_of(got.model, here(got.model, INPUTS)), want, atol=3e-5)
    assert any("2 float64 tensors converted" in note for note in got.notes)


def test_a_length_that_does_not_fit_is_refused(files):
    parts = weight_normed(gru_tensors(RNG(6), (6, 7)), ("weight_ih_l0",), new=False)
    parts["weight_ih_l0_g"] = np.ones((7, 1), np.float32)
    files.write(parts).refused(
        "weight_ih_l0_g: weight norm needs lengths along one dimension of the weight, has (7, 1) for (21, 6)"
    )
    parts["weight_ih_l0_g"] = np.ones((21, 1), np.float32)
    parts["weight_ih_l0_v"] = np.zeros((21, 6), np.float32)
    files.write(parts).refused("weight_ih_l0: 126 of 126 values are not finite")


def test_a_key_that_only_looks_like_a_part_is_a_tensor_as_any(files):
    entries = gru_tensors(RNG(6), (6, 7), "rnn.") | {
        "attention.w_v": np.ones((2, 2), np.float32),
        "attention.w_g": np.ones(2, np.float32),
    }
    got = files.write(entries).read()
    assert "2 keys left out: attention.w_v, attention.w_g" in got.notes


@pytest.mark.parametrize(
    "parts", [["original"], ["original", "0.base"], ["original0"], ["original", "0._u"], ["original0", "original1", "original2"]]
)
def test_any_other_parametrization_is_refused_by_its_key(files, parts):
    entries = gru_tensors(RNG(6), (6, 7), "rnn.")
    weight = entries.pop("rnn.weight_hh_l0")
    files.write(entries | {f"rnn.parametrizations.weight_hh_l0.{part}": weight for part in parts})
    files.refused(f"rnn.parametrizations.weight_hh_l0.{parts[0]}: ", "not known here", "remove_parametrizations(MODULE, NAME)")


@pytest.mark.wide
@pytest.mark.parametrize("kind", ["weight_norm", "parametrizations.weight_norm", "spectral_norm", "parametrizations.spectral_norm"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchs_own_are_what_torch_computes_with(files, kind):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    module = torch.nn.Sequential()
    module.gru, module.head = torch.nn.GRU(6, 7), torch.nn.Linear(7, 3)
    place = torch.nn.utils
    for part in kind.split("."):
        place = getattr(place, part)
    for target, name in ((module.gru, "weight_ih_l0"), (module.gru, "weight_hh_l0"), (module.head, "weight")):
        place(target, name)
    xs = torch.from_numpy(INPUTS.astype(np.float32))
    for _ in range(3):  # spectral norm finds its vectors while it trains
        module.head(module.gru(xs)[0])
    module.eval()
    with torch.no_grad():
        want = module.head(module.gru(xs)[0]).numpy()
    torch.save(module.state_dict(), files.checkpoint)
    got = files.read()
    np.testing.assert_allclose(answer_of(got.model, here(got.model, INPUTS)), want, atol=1e-6)
    assert any(note.startswith("3 tensors computed from the parts that") for note in got.notes)
