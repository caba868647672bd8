"""The gesture trainer: its gradients, its frames, a run that can be interrupted, a checkpoint that computes what torch does."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")
pytest.importorskip("tqdm", reason="the trainer's extra is not installed")

from models.checkpoint import load, save  # noqa: E402
from models.dvs.frames import FrameSpec, frames_of  # noqa: E402
from models.dvs.samples import CLASSES, Events, GestureSet, Sample  # noqa: E402
from models.heads.gesture import features_of  # noqa: E402
from models.network import ModelError  # noqa: E402
from models.training.common.trace_layer import trace_of  # noqa: E402
from models.training.gesture.conformance import TOLERANCE, compare, emulate  # noqa: E402
from models.training.gesture.export import model_of, torch_model_of  # noqa: E402
from models.training.gesture.frames import Frames, batches, frames_of_set, hold_out, varied  # noqa: E402
from models.training.gesture.network import Convolution, ConvolutionPlan, GestureModel, layer_plan, pixels_left  # noqa: E402
from models.training.gesture.settings import GestureSettings  # noqa: E402
from models.training.gesture.trainer import GestureTrainer, evaluate  # noqa: E402
from tests.tools.egru_plainly import plainly  # noqa: E402 - needs torch
from tests.tools.grids import some  # noqa: E402

pytestmark = [pytest.mark.wide, pytest.mark.timeout(60)]

SMALL = GestureSettings(
    width=0.05, features=12, hidden="10,9", epochs=3, batch=8, valid_subjects=1, precision="float32", drop_input=0.1,
    drop_output=0.1,
)  # fmt: skip
STILL = {"shift": 0.0, "zoom": 0.0, "turn": 0.0, "contrast": 0.0, "tempo": 0.0, "delay": 0}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: a second thread would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def frames_with(samples=24, steps=6, size=32, people=4, seed=0):
    """Blobs that wander across the frame: a place and a speed for every class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % len(CLASSES)
    counts = np.zeros((samples, steps, size, size), np.uint8)
    for sample, label in enumerate(labels):
        for step in range(steps):
            x = (2 * label + step * (1 + label % 3) + int(rng.integers(0, 2))) % (size - 6)
            counts[sample, step, 8 : 14 + label, x : x + 6] = rng.integers(4, 16, (6 + label, 6))
    subjects = tuple(f"user{sample // len(CLASSES) % people:02d}" for sample in range(samples))
    names = tuple(f"sample {number}" for number in range(samples))
    return Frames(counts, labels, subjects, names, "blobs", f"{seed}")


@torch.no_grad()
def network(**about):
    """A model whose normalisation has seen frames, and whose units fire now and then."""
    torch.manual_seed(3)
    model = GestureModel(len(CLASSES), replace(SMALL, **about))
    frames = frames_with().scaled(np.arange(24), 19.0).transpose(0, 1)
    model.calibrate(frames)
    for layer in model.layers:
        layer.threshold.copy_(0.2 * torch.rand_like(layer.threshold))
        layer.bias.copy_(0.3 * torch.randn_like(layer.bias))
    for _ in range(30):
        model.features(frames)
    return model


# ---- gradients and layers


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 9), batch=st.integers(1, 3), units=st.integers(1, 4), seed=st.integers(0, 99), decay=st.floats(0.05, 0.95)
)
def test_a_trace_and_its_gradient_are_autograds(steps, batch, units, seed, decay):
    generator = torch.Generator().manual_seed(seed)
    ys, weights = torch.randn(2, steps, batch, units, generator=generator, dtype=torch.float64)
    ys.requires_grad_()
    trace, plain = torch.zeros(batch, units, dtype=torch.float64), []
    for y in ys:
        trace = decay * trace + (1 - decay) * y
        plain.append(trace)
    have = trace_of(ys, decay)
    torch.testing.assert_close(have, torch.stack(plain), rtol=1e-12, atol=1e-13)
    for one, other in zip(
        torch.autograd.grad((weights * have).sum(), ys), torch.autograd.grad((weights * torch.stack(plain)).sum(), ys), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_without_a_decay_the_events_themselves_are_handed_on():
    ys = torch.ones(3, 1, 1)
    assert trace_of(ys, 0.0) is ys


@pytest.mark.parametrize("variant", ["trace", "plain"])
@pytest.mark.parametrize("zoneout", [0.0, 0.2319])
def test_the_gradient_of_the_whole_model_is_autograds(variant, zoneout):
    """In float64, through read-out, traces, zoneout, both layers and the head, against the equations written out."""
    model = network(variant=variant, zoneout=zoneout, drop_input=0.0, drop_output=0.0, drop_connect=0.0).double()
    model.fold()
    frames = frames_with(5).scaled(np.arange(5), 4.0).double().transpose(0, 1)
    labels = torch.arange(5)
    torch.manual_seed(1)
    scores, fired = model(frames)
    own = torch.autograd.grad(torch.nn.functional.cross_entropy(scores, labels), list(model.parameters()))
    torch.manual_seed(1)
    x = frames.flatten(0, 1).unsqueeze(1)
    for convolution in model.head:
        plan = convolution.plan
        x = torch.relu(torch.nn.functional.conv2d(x, convolution.weight, convolution.bias, plan.stride, plan.padding))
        x = torch.nn.functional.max_pool2d(x, 3, 2) if plan.pool else x
    x = (x.flatten(1) @ model.linear_weight.t() + model.linear_bias).view(6, 5, -1)
    for number, layer in enumerate(model.layers):
        keep = (torch.rand(6, 5, layer.units, dtype=torch.float64) >= zoneout).double() if zoneout else None
        parts = (layer.kernel.t(), layer.recurrent.t(), layer.bias, layer.recurrent_bias, layer.threshold, *layer.begin(5))
        ys, o, _ = plainly(x, *parts, keep, (0.7, 1.7))
        assert torch.equal(o, fired[number])
        assert 0.05 < o.mean() < 0.95
        x = []
        for y in ys:
            x.append(y if variant == "plain" or not x else 0.9 * x[-1] + 0.1 * y)
            if variant == "trace" and len(x) == 1:
                x[0] = 0.1 * y
        x = torch.stack(x)
    plain = (x @ model.readout_weight.t() + model.readout_bias).mean(0)  # the mean of every step's scores
    torch.testing.assert_close(scores, plain, rtol=1e-10, atol=1e-11)
    autograds = torch.autograd.grad(torch.nn.functional.cross_entropy(plain, labels), list(model.parameters()))
    for name, mine, other in zip(dict(model.named_parameters()), own, autograds, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-11 * (1 + float(other.abs().max())), msg=name)


@pytest.mark.parametrize(("size", "k", "stride", "padding"), [(3, 5, 1, 2), (1, 3, 1, 1), (2, 2, 1, 0), (3, 3, 2, 1)])
def test_a_convolution_of_few_pixels_is_one_product(size, k, stride, padding):
    torch.manual_seed(size)
    layer = Convolution(4, ConvolutionPlan(6, k, stride, padding, False)).double()
    x = torch.randn(7, 4, size, size, dtype=torch.float64)
    want = torch.nn.functional.conv2d(x, layer.weight, None, stride, padding)
    torch.testing.assert_close(layer.convolve(x, False), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_authors_convolutions_leave_one_pixel(size):
    """egru.md section 4: 64, 192, 384, 256, 256 channels; a third and a fourth max-pool for larger frames."""
    plans = layer_plan("authors", size, 1.0)
    assert [plan.channels for plan in plans] == [64, 192, 384, 256, 256]
    assert [plan.pool for plan in plans] == [True, True, size >= 64, size >= 128, False]
    assert pixels_left(plans, size) == 1
    model = GestureModel(11, replace(SMALL, head="authors", size=size))
    assert model.features(torch.zeros(2, 3, size, size)).shape == (2, 3, SMALL.features)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_strided_convolutions_keep_the_place_of_things(size):
    plans = layer_plan("strided", size, 1.0)
    assert [plan.channels for plan in plans] == [16, 32, 48]
    assert 9 <= pixels_left(plans, size) <= 16
    model = GestureModel(11, replace(SMALL, head="strided", size=size))
    assert model.features(torch.zeros(2, 3, size, size)).shape == (2, 3, SMALL.features)


def test_what_layers_are_given_is_of_unit_size_for_any_number_of_events():
    frames = frames_with().scaled(np.arange(24), 19.0).transpose(0, 1)
    for factor in (0.1, 1.0, 50.0):
        torch.manual_seed(3)
        model = GestureModel(11, SMALL)
        model.calibrate(frames * factor)
        features = model.features(frames * factor)
        assert features.std().item() == pytest.approx(1, abs=0.1)
        ys, _, _ = model.layers[0](features, model.layers[0].begin(24))
        heard = trace_of(ys, 0.9) @ model.layers[1].kernel.t()
        assert 0.3 < heard.square().mean().sqrt().item() < 3


def test_folded_normalisation_computes_what_it_did_before():
    """In evaluation: convolutions, features and scores; nothing of it is left but weights."""
    model = network()
    frames = frames_with().scaled(np.arange(24), 19.0).transpose(0, 1)
    model.eval()
    before = model.features(frames), model(frames).scores
    assert before[0].std() > 0.1
    model.fold()
    torch.testing.assert_close((model.features(frames), model(frames).scores), before, rtol=1e-4, atol=1e-4)
    assert not list(model.buffers())
    model.fold()  # a second time is none
    torch.testing.assert_close(model(frames).scores, before[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("over", ["nothing", "sequence"])
def test_dropout_is_drawn_for_every_frame_or_for_a_whole_sample(over):
    model = network(mask_over=over)
    dropped = model._drop(torch.ones(6, 5, 400), 0.4)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.6)}
    assert (dropped == 0).float().mean().item() == pytest.approx(0.4, abs=0.05)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped)) == (over == "sequence")
    assert torch.equal(model.eval()._drop(torch.ones(2, 2, 2), 0.4), torch.ones(2, 2, 2))


# ---- frames


def events_of(seed):
    rng = np.random.default_rng(seed)
    when, (x, y) = np.sort(rng.integers(0, 1_700_000, 4000)), rng.integers(0, 128, (2, 4000)) // 3
    return Events(when.astype(np.int64), x.astype(np.uint8), y.astype(np.uint8), rng.random(4000) < 0.5)


def set_of(samples=3, read=None):
    seen = []

    def rendered(damages):
        for number in range(samples):
            seen.append(number)
            yield Sample(events_of(number), number, f"user{number:02d}", f"made[{number}]")

    return GestureSet("made", "train", "made for a test", read or rendered, samples), seen


def test_kept_frames_are_those_of_the_events_and_are_made_once(tmp_path):
    gestures, seen = set_of()
    made = frames_of_set(gestures, 32, tmp_path, lambda: None, "one")
    kept = frames_of_set(gestures, 32, tmp_path, lambda: None, "one")
    assert seen == [0, 1, 2]
    assert (kept.sha256, kept.subjects, kept.names) == (made.sha256, made.subjects, made.names)
    assert np.array_equal(kept.counts, made.counts)
    assert kept.counts.dtype == np.uint8
    for scale in (19.0, 7.3):
        want = np.stack([frames_of(events_of(number), FrameSpec(scale=scale)) for number in range(3)])
        assert np.array_equal(kept.scaled(np.arange(3), scale).numpy(), want)


@pytest.mark.parametrize("change", ["marks", "size", "damage"])
def test_frames_of_another_set_or_damaged_ones_are_made_again(tmp_path, change):
    gestures, seen = set_of()
    frames_of_set(gestures, 32, tmp_path, lambda: None, "one")
    if change == "damage":
        (path,) = tmp_path.iterdir()
        raw = bytearray(path.read_bytes())
        raw[-100] ^= 1
        path.write_bytes(raw)
    again = frames_of_set(gestures, 16 if change == "size" else 32, tmp_path, lambda: None, "two" if change == "marks" else "one")
    assert len(seen) == 6
    assert np.array_equal(again.scaled([1], 19.0)[0].numpy(), frames_of(events_of(1), FrameSpec(size=again.counts.shape[-1])))


def test_a_set_without_samples_is_one_line(tmp_path):
    with pytest.raises(ModelError, match="made: no samples in its train split"):
        frames_of_set(set_of(0)[0], 32, tmp_path, lambda: None)


def test_whole_subjects_are_held_out_and_every_class_stays():
    frames = frames_with(44, people=4)
    train, valid = hold_out(frames, 1)
    assert set(valid.subjects) == {"user03"}
    assert set(train.subjects) == {"user00", "user01", "user02"}
    assert len(train) + len(valid) == 44
    assert set(train.labels) == set(range(11))
    assert hold_out(frames, 3) == (frames, None)
    assert hold_out(frames, 0) == (frames, None)
    assert hold_out(frames.take(np.arange(12)), 1)[1] is not None
    assert hold_out(frames.take(np.array([0, 1, 2, 12, 13])), 1)[1] is not None
    assert hold_out(frames.take(np.array([0, 1, 13])), 1)[1] is None  # class 2 is the held-out person's only


@given(count=st.integers(1, 60), batch=st.integers(1, 20), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_an_epoch_has_every_sample_once(count, batch, seed, epoch):
    drawn = batches(count, batch, seed, epoch)
    assert sorted(np.concatenate(drawn)) == list(range(count))
    assert [len(part) for part in drawn[:-1]] == [batch] * (len(drawn) - 1)


def test_frames_that_are_not_to_be_varied_stay_as_they_are():
    frames = frames_with(4).scaled(np.arange(4), 1.0)
    same = varied(frames, replace(SMALL, **STILL), np.random.default_rng(0))
    torch.testing.assert_close(same, frames, rtol=1e-5, atol=1e-4)


def test_varied_frames_keep_left_and_right_and_up_and_down():
    """A corner is a corner of the same side in every variation, however it is shifted, turned and zoomed."""
    frames = torch.zeros(200, 3, 32, 32)
    frames[:, :, 4:9, 4:9] = 1.0
    seen = varied(frames, replace(SMALL, shift=0.1, zoom=0.2, turn=20.0), np.random.default_rng(5))
    rows = torch.arange(32.0)
    weight = seen.sum((1, 2, 3))
    assert (weight > 1).all()
    assert ((seen.sum((1, 3)) @ rows) / weight < 16).all()
    assert ((seen.sum((1, 2)) @ rows) / weight < 16).all()


@pytest.mark.parametrize(("about", "latest"), [({"delay": 3}, 3), ({"tempo": 0.2}, 2)])
def test_varied_time_runs_forward_and_by_no_more_than_asked(about, latest):
    """Frame t shows the number t: what is seen is a time, which may repeat and skip but never turns back."""
    frames = torch.arange(20.0)[None, :, None, None].expand(50, 20, 8, 8)
    seen = varied(frames, replace(SMALL, **STILL | about), np.random.default_rng(0))[:, :, 4, 4]
    assert (seen.diff(dim=1) >= -1e-4).all()
    assert 0.5 < (seen - torch.arange(20.0)).abs().max() <= latest + 0.1


# ---- runs


def run(folder, about=SMALL, frames=None, on_progress=None):
    folder.mkdir(exist_ok=True)
    trainer = GestureTrainer(*hold_out(frames or frames_with(44), about.valid_subjects), about, folder, on_progress=on_progress)
    trainer.run()
    return trainer


def rows_of(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("at", some([3, 5, 8], (5).__eq__))
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, at):
    """Within an epoch, at its end, and within the next: the same log, the same parameters."""
    whole = run(tmp_path / "whole")

    def leave(done, *_):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", on_progress=leave)
    again = run(tmp_path / "cut")
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")
    assert len(rows_of(tmp_path / "whole")) == SMALL.epochs
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert again.progress.best == whole.progress.best


def test_a_state_belongs_to_its_settings_and_its_frames(tmp_path):
    run(tmp_path / "run", replace(SMALL, epochs=1))
    with pytest.raises(ModelError, match="belongs to a run with another lr; use another --out"):
        run(tmp_path / "run", replace(SMALL, epochs=1, lr=0.5))
    with pytest.raises(ModelError, match="belongs to a run on other events; use another --out"):
        run(tmp_path / "run", replace(SMALL, epochs=1), frames_with(44, seed=1))


def test_a_damaged_state_is_one_line(tmp_path):
    run(tmp_path / "run", replace(SMALL, epochs=1))
    (tmp_path / "run" / "state.safetensors").write_bytes(b"no state")
    with pytest.raises(ModelError, match=r"is damaged .*remove it or use another --out"):
        run(tmp_path / "run", replace(SMALL, epochs=1))


def test_a_run_begins_with_the_last_parameters_of_another_one(tmp_path):
    """With a learning rate that changes nothing it also ends with them."""
    first = run(tmp_path / "first")
    second = run(tmp_path / "second", replace(SMALL, begin_with=str(tmp_path / "first"), epochs=1, lr=1e-30))
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ModelError, match=f"--begin-with {tmp_path / 'none'}: "):
        run(tmp_path / "third", replace(SMALL, begin_with=str(tmp_path / "none")))
    with pytest.raises(ModelError, match=r"--begin-with .*state_dict"):
        run(tmp_path / "fourth", replace(SMALL, begin_with=str(tmp_path / "first"), hidden="7"))


@pytest.mark.slow
def test_training_learns_what_can_be_learnt(tmp_path):
    """Twelve epochs on blobs: far beyond chance, which is one in eleven, on a person it was not trained on."""
    about = replace(
        SMALL, variant="plain", zoneout=0.0, epochs=12, lr=3e-2, drop_input=0.0, drop_output=0.0, hidden="24", features=24,
        width=0.1, activity_weight=30.0, **STILL,
    )  # fmt: skip
    trainer = run(tmp_path / "run", about, frames_with(66, people=6))
    first, last = rows_of(tmp_path / "run")[0], rows_of(tmp_path / "run")[-1]
    assert float(last["train_loss"]) < 0.75 * float(first["train_loss"])
    found = evaluate(trainer.model, trainer.valid)
    assert found.accuracy == pytest.approx(float(last["valid_accuracy"]), abs=1e-5)
    assert found.accuracy > 0.4


# ---- checkpoints


@pytest.fixture(params=["trace", "plain"])
def trained(request, tmp_path):
    """A small model with events in both layers, rounded as a checkpoint stores it, and its file."""
    model = network(variant=request.param).eval()
    model.fold()
    model.round_weights()
    settings = {"settings": {name: getattr(model.settings, name) for name in GestureSettings.__dataclass_fields__}}
    save(tmp_path / "model.safetensors", model_of(model, {"accuracy": 0.5}, settings))
    return model, load(tmp_path / "model.safetensors")


def test_a_stored_model_is_the_one_in_torch(trained):
    model, stored = trained
    again = torch_model_of(stored)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    assert stored.gesture.trace == stored.network.populations[2].projections[0].trace == model.settings.trace
    assert {p.trace for n in (1, 2) for p in stored.network.populations[n].projections if p.port == "recurrent"} == {0.0}
    assert stored.network.populations[1].projections[0].trace == 0.0  # features are heard as they are
    assert all(stored.network.populations[n].params["zoneout"] == model.settings.zoneout for n in (1, 2))
    assert stored.gesture.record == {"accuracy": 0.5}
    assert stored.gesture.classes == CLASSES


def test_the_emulator_computes_what_torch_does(trained):
    """Features, events of every layer, scores and classes of every sample."""
    model, stored = trained
    frames = frames_with(22)
    found = compare(stored, frames)
    assert found.holds
    assert (found.samples, found.same) == (22, 22)
    assert 0.02 * found.updates < found.events < 0.9 * found.updates
    assert found.differing == 0
    one = frames.scaled(np.array([4]), stored.gesture.scale)
    with torch.no_grad():
        features = model.features(one.transpose(0, 1))[:, 0]
        answer = model(one.transpose(0, 1))
    np.testing.assert_allclose(features_of(stored.gesture, one[0].numpy()), features, atol=1e-5)
    emulated = emulate(stored, one[0].numpy())
    for ys, fired in zip(emulated.outputs, answer.fired, strict=True):
        assert np.array_equal(ys != 0, fired[:, 0].numpy() != 0)
    np.testing.assert_allclose(emulated.scores, answer.scores[0], atol=TOLERANCE)


def test_a_model_that_computes_something_else_does_not_agree(trained):
    _, stored = trained
    other = replace(stored, gesture=replace(stored.gesture, trace=0.5 if stored.gesture.trace else 0.9))
    found = compare(other, frames_with(4))
    assert not found.holds
    assert max(found.farthest) > TOLERANCE


def test_settings_that_do_not_fit_the_tensors_are_one_line(trained):
    _, stored = trained
    with pytest.raises(ModelError, match="the settings in the checkpoint make"):
        torch_model_of(replace(stored, provenance={"settings": {"width": 1.0}}))
    with pytest.raises(ModelError, match="needs a checkpoint with a gesture classifier, this one has none"):
        torch_model_of(replace(stored, gesture=None))
