"""The trainer of spiking networks: its neurons and grids are the emulator's, and an interrupted run goes on to the same end."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.checkpoint import load  # noqa: E402 - behind the skip
from models.dvs.samples import CLASSES  # noqa: E402
from models.foreign.request import ImportRequest  # noqa: E402
from models.importers import nir  # noqa: E402
from models.kernels.lif import FILL  # noqa: E402
from models.network import ModelError, Population  # noqa: E402
from models.quantise.grids import Grid  # noqa: E402
from models.quantise.spiking import quantise_spiking  # noqa: E402
from models.reference import Reference, neurons_of  # noqa: E402
from models.spiking import FORMS, RESETS, vectors_of  # noqa: E402
from models.spiking_classifier import seeded_classifier  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.spiking.export import finish, network_of  # noqa: E402
from models.training.spiking.frames import SpikeSamples, hold_out, varied  # noqa: E402
from models.training.spiking.lif_layer import lif  # noqa: E402
from models.training.spiking.network import SpikingModel  # noqa: E402
from models.training.spiking.settings import SpikingSettings  # noqa: E402
from models.training.spiking.torch_network import output_scores  # noqa: E402
from models.training.spiking.trainer import SpikingTrainer  # noqa: E402

pytestmark = pytest.mark.wide

SMALL = {"channels": "3,3,2", "hidden": 8, "size": 16, "steps": 5, "batch": 11, "epochs": 2, "valid_subjects": 1}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def samples(settings, count=22, seed=1, people=("user01", "user02")):
    bins, rng = settings.bins, np.random.default_rng(seed)
    cells = np.packbits(rng.random((count, bins.steps * bins.units)) < 0.15, axis=1)
    names = tuple(f"sample {n}" for n in range(count))
    who = tuple(people[n * len(people) // count] for n in range(count))
    return SpikeSamples(cells=cells, labels=np.arange(count) % 11, subjects=who, names=names, source="here", bins=bins)


def trainer(folder, settings, **changes):
    trained, valid = hold_out(samples(settings), settings.valid_subjects)
    return SpikingTrainer(trained, valid, settings, folder, **changes)


def test_spikes_of_a_layer_are_those_of_the_emulators_neurons():
    rng, units, steps = np.random.default_rng(2), 7, 40
    x = rng.normal(0.2, 0.6, (steps, 1, units)).astype(np.float32)
    beta, threshold = rng.uniform(0.5, 0.99, units).astype(np.float32), rng.uniform(0.5, 2, units).astype(np.float32)
    mine = lif(torch.from_numpy(x), torch.from_numpy(beta), torch.from_numpy(threshold), 5.0)[:, 0].numpy()
    params = {"form": float(FORMS.index("decay")), "reset": float(RESETS.index("subtract-late"))}
    vectors = vectors_of(units, FILL, rate=beta, threshold=threshold)
    neurons = neurons_of(Population("lif", units, kernel="lif", vectors=vectors, params=params, payload="spike"))
    theirs = np.stack([neurons.step({"input": row[0]}, 0) for row in x])
    assert (mine == theirs).all()
    assert 0 < theirs.mean() < 1


def test_gradients_are_those_of_the_unrolled_surrogate():
    rng, slope = np.random.default_rng(3), 4.0
    x = torch.tensor(rng.normal(0.3, 0.8, (9, 2, 3)), requires_grad=True)
    beta = torch.tensor(rng.uniform(0.5, 0.9, 3), requires_grad=True)
    weights = torch.tensor(rng.normal(size=(9, 2, 3)))
    one = torch.ones((), dtype=torch.float64)
    (lif(x, beta, one, slope) * weights).sum().backward()
    mine, x.grad, mine_beta, beta.grad = x.grad, None, beta.grad, None
    v, earlier, total = torch.zeros(2, 3, dtype=torch.float64), 0.0, 0.0
    for t in range(9):
        v = beta * v + x[t] - earlier
        earlier = (v.detach() > 1).double()
        smooth = (v - 1) / (1 + slope * (v - 1).abs())  # whose derivative is the surrogate's
        total = total + (smooth * weights[t]).sum()
    total.backward()
    assert torch.allclose(mine, x.grad)
    assert torch.allclose(mine_beta, beta.grad)


@pytest.mark.parametrize("readout", ["membrane", "counts"])
def test_int8_networks_have_the_references_spikes_in_torch(readout):
    settings = SpikingSettings(**SMALL, readout=readout)
    given = samples(settings, count=3)
    torch.manual_seed(4)
    model = SpikingModel(11, settings)
    model(given.spikes(np.arange(3)).transpose(0, 1))  # thresholds follow what is heard
    network, _ = quantise_spiking(network_of(model.eval()), Grid())
    assert network.populations[network.output].kernel == ("li" if readout == "membrane" else "lif")
    scores, reference, expected = output_scores(network, given), Reference(network), []
    for number in range(3):
        rows = given.spikes(np.array([number]))[0].flatten(1).numpy()
        sent = [reference.step({0: row}, fresh=step == 0)[network.output][0] for step, row in enumerate(rows)]
        expected.append(np.sum(sent, axis=0, dtype=np.float64))
    assert (scores == np.stack(expected) / (settings.steps if readout == "membrane" else 1)).all()
    assert scores.any()


@torch.no_grad()
def test_what_is_exported_answers_as_the_model_does():
    settings = SpikingSettings(**SMALL)
    given = samples(settings, count=6)
    torch.manual_seed(5)
    model = SpikingModel(11, settings)
    spikes = given.spikes(np.arange(6)).transpose(0, 1)
    model(spikes)
    answer = model.eval()(spikes)
    scores = output_scores(network_of(model), given) * np.sqrt(settings.hidden)
    assert len(answer.activity) == 4  # the integrators fire nothing
    assert np.allclose(scores, answer.scores.numpy(), atol=1e-4)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path):
    settings = SpikingSettings(**SMALL, seed=3)
    whole = trainer(tmp_path / "whole", settings)
    whole.begin({})
    whole.run()

    def stop(done, *_):
        if done == 1:
            raise KeyboardInterrupt

    part = trainer(tmp_path / "part", settings, on_progress=stop)
    part.begin({})
    with pytest.raises(KeyboardInterrupt):
        part.run()
    again = trainer(tmp_path / "part", settings)
    again.begin({})
    assert again.progress.iteration == 1
    again.run()
    for one, other in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    rows = [(folder / "log.csv").read_text().splitlines() for folder in (tmp_path / "whole", tmp_path / "part")]
    assert [line.split(",")[:8] for line in rows[0]] == [line.split(",")[:8] for line in rows[1]]


def test_quantised_training_begins_with_a_float_run_and_its_weights_keep_their_grid(tmp_path):
    settings = SpikingSettings(**SMALL)
    begun = trainer(tmp_path / "float", settings)
    begun.begin({})
    begun.run()
    said = []
    finish(begun, samples(settings, seed=5, people=("user09",)), said.append)
    figures = json.loads((tmp_path / "float" / "figures.json").read_text())
    assert list(figures["accuracy"]) == ["float", *(f"int8 percentile {p}" for p in ("100", "99.9", "99"))]
    quantised = SpikingSettings(**SMALL, bits=8, begin_with=str(tmp_path / "float"), lr=1e-4)
    after = trainer(tmp_path / "int8", quantised)
    after.begin({})
    after.run()
    network = finish(after, samples(settings, seed=5, people=("user09",)), said.append)
    small, report = quantise_spiking(network, Grid())
    assert all(done.kept and not done.clipped for done in report)
    figures = json.loads((tmp_path / "int8" / "figures.json").read_text())
    assert list(figures["accuracy"]) == ["float", *(f"int8 percentile {p}" for p in ("100", "99.9", "99")), "int8 as trained"]
    stored = load(tmp_path / "int8" / "model-int8.safetensors")
    assert stored.provenance["bins"]["size"] == 16
    assert stored.provenance["settings"]["begin_with"] == "float"  # and no folder of this machine
    for one, layer in zip(small.layers, after.model.layers, strict=True):
        numbers = small.populations[one].projections[0].weights.values
        assert np.array_equal(numbers[numbers != 0], layer.numbers().numpy().ravel()[layer.numbers().numpy().ravel() != 0])
    assert np.isclose(output_scores(small, samples(settings)), output_scores(network, samples(settings)), atol=1e-6).mean() > 0.9
    back = nir.read(tmp_path / "int8" / "model.nir", ImportRequest(importer="nir")).model.network
    assert np.allclose(output_scores(back, samples(settings)), output_scores(network_of(after.model), samples(settings)), atol=1e-6)


def test_variations_move_cells_and_never_make_any():
    settings = SpikingSettings(**SMALL)
    spikes = samples(settings).cells_of(np.arange(4))
    changed = varied(spikes, settings, np.random.default_rng(1))
    assert changed.shape == spikes.shape
    assert set(changed.unique().tolist()) <= {0.0, 1.0}
    still = SpikingSettings(**SMALL, shift=0, zoom=0, turn=0, tempo=0, delay=0)
    assert (varied(spikes, still, np.random.default_rng(1)).numpy() == spikes).all()


def test_a_network_of_other_neurons_is_not_scored_in_torch():
    network = seeded_classifier(len(CLASSES), (3, 3, 2), 8, 16)
    network.populations[1].params["reset"] = float(RESETS.index("zero"))
    with pytest.raises(ModelError, match="lif1: torch scores lif of form decay that subtracts late"):
        output_scores(network, samples(SpikingSettings(**SMALL), 1))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--bits", "1"], "--bits 1: needs 0 (float) or 2 to 8"),
        (["--channels", "3,3"], "--channels '3,3', --hidden 256: need three numbers and one"),
        (["--beta-low", "0.99"], "--beta-low 0.99: needs at most --beta-high"),
        (["--polarity", "both"], "--polarity 'both': needs one of off-on, on-off, merged"),
        (["--size", "8"], "--size 8: needs at least 16"),
        (["--readout", "last"], "--readout 'last': needs one of membrane, counts"),
    ],
)
def test_wrong_settings_end_in_a_line(flags, line, tmp_path, capsys):
    assert main(["snn", "--out", str(tmp_path / "run"), *flags]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_batch_order_has_every_sample_once(tmp_path):
    one = trainer(tmp_path, SpikingSettings(**SMALL))
    assert sorted(itertools.chain.from_iterable(batch.tolist() for batch in one.batches(3))) == list(range(11))
