"""The trainer: what is dropped, pruned and scheduled, and a run that can be interrupted anywhere."""

from __future__ import annotations

import csv
import functools
import json
import math
import signal
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from safetensors.torch import load_file  # noqa: E402 - needs torch

from models.network import ModelError  # noqa: E402
from models.text.ngrams import KneserNey  # noqa: E402
from models.text.vocabulary import Vocabulary  # noqa: E402
from models.training.common.log_plot import COLUMNS, read_log  # noqa: E402
from models.training.common.pruning import Pruner, sparsity_at  # noqa: E402
from models.training.language import trainer as trainer_module  # noqa: E402
from models.training.language.evaluate import score  # noqa: E402
from models.training.language.export import model_of  # noqa: E402
from models.training.language.network import LanguageModel  # noqa: E402
from models.training.language.settings import AUTHORS, LanguageSettings  # noqa: E402
from models.training.language.text_streams import Text, segments, streams  # noqa: E402
from models.training.language.trainer import LanguageTrainer  # noqa: E402
from tests.tools.grids import pairs, some  # noqa: E402

pytestmark = [pytest.mark.wide, pytest.mark.timeout(120)]

WORDS = 12
SMALL = LanguageSettings(
    embedding=16, hidden="24", epochs=3, batch=4, length=8, precision="float32", drop_word=0.1, drop_connect=0.1, sparsity=0.8,
    prune_every=2,
)  # fmt: skip


def text_of(train=600, seed=0):
    """Phrases that always go on the same way, in any order."""
    rng = np.random.default_rng(seed)
    phrases = [rng.permutation(np.arange(2, WORDS)) for _ in range(3)]
    ids = np.concatenate([phrases[n] for n in rng.integers(0, 3, train // 10 + 30)]).astype(np.uint32)
    splits = {"train": ids[:train], "valid": ids[train : train + 150], "test": ids[train + 150 : train + 300]}
    vocabulary = Vocabulary(("<unk>", "<eos>", *(f"w{n}" for n in range(2, WORDS))))
    return Text("phrases", "phrases", vocabulary, splits, dict.fromkeys(splits, 0))


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Report every third iteration: the runs here are short."""
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 3)


def trained(folder, about=SMALL, text=None, on_progress=None):
    folder.mkdir(exist_ok=True)
    trainer = LanguageTrainer(text or text_of(), about, folder, on_progress=on_progress)
    trainer.run()
    return trainer


def rows_of(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


# ---- dropout


def language_model(**about):
    torch.manual_seed(1)
    off = {"drop_word": 0.0, "drop_input": 0.0, "drop_between": 0.0, "drop_output": 0.0, "drop_connect": 0.0}
    return LanguageModel(WORDS, replace(SMALL, **off | about))


@pytest.mark.parametrize(("over", "shared"), [("sequence", 0), ("batch", 1)])
def test_a_dropout_mask_is_shared_over_the_sequence_or_over_the_batch(over, shared):
    model = language_model(mask_over=over)
    dropped = model._drop(torch.ones(6, 5, 200), 0.4)
    first = dropped.narrow(shared, 0, 1)
    assert torch.equal(dropped, first.expand_as(dropped))
    assert set(first.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.6)}
    assert 0.3 < (first == 0).float().mean().item() < 0.5
    other = first.narrow(1 - shared, 0, 1)
    assert not torch.equal(first, other.expand_as(first))
    model.eval()
    assert torch.equal(model._drop(torch.ones(2, 2, 9), 0.4), torch.ones(2, 2, 9))


def test_word_dropout_drops_all_of_a_word_or_nothing():
    model = language_model(drop_word=0.5)
    model.layers = torch.nn.ModuleList()  # what is embedded goes to the decoder as it is
    words = torch.arange(WORDS).repeat(7)[:, None]
    with torch.no_grad():
        model.decoder_bias.zero_()
        seen = model(words, []).logits.view(7, WORDS, WORDS)
        whole = model.embedding @ model.embedding.t()
    assert torch.equal(seen, seen[:1].expand_as(seen))
    dropped = (seen[0] == 0).all(1)
    assert 0 < dropped.sum() < WORDS
    torch.testing.assert_close(seen[0][~dropped], 2 * whole[~dropped])


def test_a_run_without_dropout_is_the_model_of_evaluation():
    model = language_model()
    words = torch.randint(0, WORDS, (9, 3))
    with torch.no_grad():
        torch.testing.assert_close(model.train()(words, model.begin(3)).logits, model.eval()(words, model.begin(3)).logits)


# ---- pruning


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    shares=st.lists(st.floats(0, 0.99), min_size=1, max_size=4).map(sorted),
    seed=st.integers(0, 1000),
    rule=st.sampled_from(["magnitude", "movement"]),
)
def test_each_matrix_loses_its_quota_and_never_gets_a_weight_back(shapes, shares, seed, rule):
    """Through steps of AdamW with momentum and weight decay; of equal weights too."""
    torch.manual_seed(seed)
    matrices = {f"m{n}": torch.nn.Parameter(torch.randn(shape).round(decimals=1)) for n, shape in enumerate(shapes)}
    pruner = Pruner(matrices, rule)
    optimiser = torch.optim.AdamW(matrices.values(), lr=0.1, betas=(0.9, 0.999), weight_decay=0.3, fused=True)
    before = {name: torch.ones_like(matrix, dtype=torch.bool) for name, matrix in matrices.items()}
    for share in shares:
        for _ in range(2):
            optimiser.zero_grad()
            sum(((matrix - 1) ** 2).sum() for matrix in matrices.values()).backward()
            pruner.observe()
            optimiser.step()
            pruner.apply()
        pruner.prune(share)
        for name, matrix in matrices.items():
            mask = pruner.masks[name]
            assert int((~mask).sum()) == round(share * matrix.numel())
            assert not (mask & ~before[name]).any()
            assert not matrix[~mask].any()
            before[name] = mask.clone()
        assert pruner.reached(share)
    for matrix, mask in zip(matrices.values(), pruner.masks.values(), strict=True):
        optimiser.step()
        assert matrix[~mask].any() or mask.all() or not matrix.grad[~mask].any()  # momentum would move them
        pruner.apply()
        assert not matrix[~mask].any()


def test_magnitude_keeps_the_largest_and_movement_what_the_loss_feels():
    values = torch.tensor([[0.1, -5.0, 0.3], [2.0, -0.2, 0.05]])
    pulls = torch.tensor([[90.0, 0.0, 0.1], [0.0, -90.0, 90.0]])
    for rule, kept in (
        ("magnitude", [[False, True, True], [True, False, False]]),
        ("movement", [[True, False, False], [False, True, True]]),
    ):
        matrix = torch.nn.Parameter(values.clone())
        pruner = Pruner({"m": matrix}, rule)
        (matrix * pulls).sum().backward()
        pruner.observe()
        pruner.prune(0.5)
        assert pruner.masks["m"].tolist() == kept


@settings(deadline=None)
@given(st.floats(0, 0.99), st.floats(0, 0.5), st.floats(0.01, 0.5))
def test_the_schedule_rises_from_nothing_to_the_target(target, begin, span):
    end = begin + span
    due = [sparsity_at(n / 100, target, begin, end) for n in range(101)]
    assert all(a <= b + 1e-12 for a, b in pairwise(due))
    assert sparsity_at(begin - 1e-9, target, begin, end) == 0
    assert sparsity_at(end, target, begin, end) == due[100] == target
    middle = sparsity_at(begin + span / 2, target, begin, end)
    assert middle == pytest.approx(target * 7 / 8)  # cubic


@pytest.mark.slow_but("about0")
@pytest.mark.parametrize("about", [{}, {"prune_every": 1000}, {"prune_until": 1.0}, {"epochs": 1, "prune_every": 7}])
def test_every_matrix_ends_at_the_target(tmp_path, about):
    """Also where the run is shorter than the time between two prunings."""
    trainer = trained(tmp_path / "run", replace(SMALL, **about))
    matrices = load_file(tmp_path / "run" / "best.safetensors")
    names = trainer.model.matrices()
    assert set(names) == {f"layers.{n}.{kind}" for n in (0, 1) for kind in ("kernel", "recurrent")}
    for name in names:
        assert (matrices[name] == 0).sum() == round(0.8 * matrices[name].numel())
    assert matrices["embedding"].all()


# ---- schedules and text


def test_the_learning_rate_rises_rests_and_falls_as_a_cosine(tmp_path):
    about = replace(SMALL, lr=0.01, warm_up=0.1, cosine_from=0.5, epochs=20)
    trainer = LanguageTrainer(text_of(), about, tmp_path)
    rates = np.array([trainer.rate(n) for n in range(trainer.iterations)])
    total = len(rates)
    assert (np.diff(rates[: total // 10]) > 0).all()
    assert rates[0] > 0
    assert (rates[total // 10 + 1 : total // 2] == 0.01).all()
    assert (np.diff(rates[total // 2 :]) <= 0).all()
    np.testing.assert_allclose(trainer.rate(total * 3 // 4), 0.005, rtol=0.02)
    assert trainer.rate(total) == pytest.approx(0, abs=1e-12)
    flat = LanguageTrainer(text_of(), replace(about, warm_up=0.0), tmp_path)
    assert flat.rate(0) == 0.01


def test_the_rate_follows_a_drawn_length_and_thresholds_have_their_own(tmp_path):
    trainer = LanguageTrainer(text_of(), replace(SMALL, vary_length=True, threshold_lr=0.5, warm_up=0.0), tmp_path)
    trainer.step((0, 6))
    usual, thresholds = trainer.optimiser.param_groups
    assert usual["lr"] == pytest.approx(SMALL.lr * 6 / 8)
    assert thresholds["lr"] == pytest.approx(SMALL.lr * 6 / 8 / 2)
    assert thresholds["weight_decay"] == 0


@pytest.mark.slow
def test_thresholds_are_frozen_unless_asked(tmp_path):
    for factor in (0.0, 1.0):
        trainer = LanguageTrainer(text_of(), replace(SMALL, threshold_lr=factor), tmp_path / str(factor))
        before = trainer.model.layers[0].threshold.detach().clone()
        (tmp_path / str(factor)).mkdir()
        trainer.run()
        assert torch.equal(before, trainer.model.layers[0].threshold.detach()) == (factor == 0)


def test_drawn_lengths_follow_from_the_seed_and_cover_the_text(tmp_path):
    about = replace(SMALL, vary_length=True, length=40, epochs=30, batch=1)
    text = text_of(6000)
    first, again, other = (LanguageTrainer(text, replace(about, seed=seed), tmp_path).lengths for seed in (1, 1, 2))
    assert first == again != other
    assert all(sum(lengths) == 5999 for lengths in first)
    assert first[0] != first[1]
    drawn = np.array([length for lengths in first for length in lengths[:-1]])
    assert drawn.min() >= 5
    assert 4 < drawn[drawn > 30].std() < 6
    assert 0.02 < (drawn < 30).mean() < 0.09  # one in twenty is drawn around half the length
    assert trained_lengths(about, text, tmp_path) == [[40] * 149 + [39]] * 30


def trained_lengths(about, text, folder):
    return LanguageTrainer(text, replace(about, vary_length=False), folder).lengths


@settings(deadline=None)
@given(st.integers(4, 200), st.integers(1, 2), st.integers(1, 50))
def test_streams_and_segments_hold_every_word_once_and_in_order(words, count, length):
    ids = np.arange(words, dtype=np.uint32)
    cut = streams(ids, count)
    assert cut.shape == (words // count, count)
    seen = list(segments(cut, length))
    for lane in range(count):
        first = lane * (words // count)
        assert torch.cat([x[:, lane] for x, _ in seen]).tolist() == list(range(first, first + words // count - 1))
        assert torch.cat([y[:, lane] for _, y in seen]).tolist() == list(range(first + 1, first + words // count))


# ---- resume


def interrupted_at(iteration):
    def stop(done, total, shown):
        if done == iteration:
            raise KeyboardInterrupt

    return stop


FULL = replace(SMALL, vary_length=True, score="movement", threshold_lr=0.5, zoneout=0.05)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Return a function that gives the folder of a run that was not interrupted, and its trainer."""

    @functools.cache
    def run(about):
        folder = tmp_path_factory.mktemp("whole")
        return folder, trained(folder, about)

    return run


@pytest.mark.slow_but("middle-about5")
@pytest.mark.parametrize(
    ("where", "about"),
    pairs(
        ("epoch", "middle", "signal", "death"),
        (replace(SMALL, model="lstm"), FULL, replace(SMALL, vectors="8x1", bits=8), replace(SMALL, model="gru", sparsity=0.0)),
    ),
)
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(tmp_path, monkeypatch, whole_run, about, where):
    whole_folder, whole = whole_run(about)
    first = len(whole.lengths[0])
    second = first + len(whole.lengths[1])
    at = {"epoch": second, "middle": (first + 5) // 3 * 3, "signal": first + 4, "death": (second + 5) // 3 * 3}[where]
    folder = tmp_path / "cut"
    if where == "signal":  # within a step, and not where a report is due
        real = LanguageTrainer.step

        def step(self, *arguments):
            if self.progress.iteration == at:
                signal.raise_signal(signal.SIGINT)
            return real(self, *arguments)

        monkeypatch.setattr(LanguageTrainer, "step", step)
    if where == "death":

        def stop(done, total, shown):
            if done == at:
                raise RuntimeError("power cut")

    else:
        stop = interrupted_at(at)
    with pytest.raises(RuntimeError if where == "death" else KeyboardInterrupt):
        trained(folder, about, on_progress=stop)
    monkeypatch.undo()
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    torch.manual_seed(999)  # what happened between does not matter
    steps = []
    again = trained(folder, about, on_progress=lambda done, total, shown: steps.append(done))
    assert steps[0] > (second if where == "death" else at)
    assert steps[-1] == whole.iterations
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, again.model.get_parameter(name)), name
    assert rows_of(folder) == rows_of(whole_folder)
    assert (folder / "best.safetensors").read_bytes() == (whole_folder / "best.safetensors").read_bytes()
    assert again.progress.best == whole.progress.best


def test_a_run_that_is_over_is_not_run_again(tmp_path):
    trained(tmp_path / "run")
    rows, calls = rows_of(tmp_path / "run"), []
    trained(tmp_path / "run", on_progress=lambda *about: calls.append(about))
    assert calls == []
    assert rows_of(tmp_path / "run") == rows


def test_a_second_signal_leaves_the_state_of_the_last_epoch(tmp_path, monkeypatch):
    real = LanguageTrainer.step

    def step(self, *arguments):
        if self.progress.epoch == 1:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments)

    monkeypatch.setattr(LanguageTrainer, "step", step)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run")
    fresh = LanguageTrainer(text_of(), SMALL, tmp_path / "run")
    fresh.prepare()
    assert (fresh.progress.epoch, fresh.progress.iteration) == (1, len(fresh.lengths[0]))


def test_a_state_of_another_run_is_refused_in_one_line(tmp_path):
    trained(tmp_path / "run", replace(SMALL, epochs=1))
    for about, text, line in (
        (replace(SMALL, epochs=1, lr=0.5, seed=9), text_of(), "belongs to a run with another lr, seed; use another --out"),
        (replace(SMALL, epochs=1), text_of(seed=5), "belongs to a run on another text; use another --out"),
    ):
        with pytest.raises(ModelError, match=line) as refused:
            LanguageTrainer(text, about, tmp_path / "run").run()
        assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_state_shrinks_with_the_model(tmp_path):
    sizes = {}
    for sparsity in (0.0, 0.9):
        trained(tmp_path / str(sparsity), replace(SMALL, sparsity=sparsity, hidden="64"))
        sizes[sparsity] = (tmp_path / str(sparsity) / "state.safetensors").stat().st_size
    assert sizes[0.9] < 0.4 * sizes[0.0]


# ---- the log


def test_the_log_has_a_row_a_report_and_an_epoch(tmp_path):
    trainer = trained(tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open() as file:
        assert file.readline().strip() == ",".join(COLUMNS)
    rows = read_log(tmp_path / "run" / "log.csv")
    ends = [row for row in rows if row["valid_perplexity"] is not None]
    assert [row["epoch"] for row in ends] == [1, 2, 3]
    assert [row["iteration"] for row in rows if row not in ends] == [
        n for n in range(3, trainer.iterations, 3) if n % len(trainer.lengths[0])
    ]
    assert all(len(row["activity"]) == 2 and all(0 <= share <= 1 for share in row["activity"]) for row in rows)
    assert all(row["train_perplexity"] > 1 and row["gradient_norm"] > 0 and row["seconds"] >= 0 for row in rows)
    assert rows[-1]["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert [row["lr"] for row in rows] == pytest.approx([trainer.rate(int(row["iteration"])) for row in rows], abs=1e-8, rel=1e-4)
    best = score(trainer.model, trainer.text.splits["valid"], trainer_module.VALID_SEQUENCES)
    assert ends[-1]["valid_perplexity"] == pytest.approx(best.perplexity, rel=1e-5)
    assert ends[-1]["activity"] == pytest.approx(best.activity, abs=1e-4)


# ---- what it learns


LEARNING = LanguageSettings(
    embedding=24, hidden="32", epochs=10, batch=4, length=10, lr=0.02, precision="float32", drop_input=0.0, drop_between=0.0,
    drop_output=0.0, drop_word=0.0, sparsity=0.5, prune_every=3, activity_weight=0.0,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model", some(["egru", "lstm", "gru"], "egru".__eq__))
def test_a_model_learns_what_counting_words_cannot(tmp_path, model):
    """150 iterations on phrases that go on in one of three ways: below a third of the unigram model's perplexity."""
    text = text_of()
    floor = KneserNey(text.splits["train"], WORDS, 1).perplexity(text.splits["valid"])
    trainer = trained(tmp_path / "run", replace(LEARNING, model=model), text)
    assert trainer.iterations <= 150
    found = score(trainer.model, text.splits["valid"], 1)
    assert found.perplexity < floor / 3
    assert len(found.activity) == (2 if model == "egru" else 0)


@pytest.mark.slow
def test_the_activity_regulariser_steers_activity_both_ways(tmp_path):
    """Side by side with off: same seed, same text."""
    activity = {}
    for name, chosen in {
        "off": {"activity_weight": 0.0},
        "low": {"activity_weight": 30.0, "activity_floor": 0.0, "activity_target": 0.1},
        "high": {"activity_weight": 30.0, "activity_floor": 0.7, "activity_target": 0.8},
    }.items():
        trainer = trained(tmp_path / name, replace(LEARNING, sparsity=0.0, **chosen))
        activity[name] = np.mean(score(trainer.model, trainer.text.splits["valid"], 1).activity)
    assert activity["low"] < 0.6 * activity["off"]
    assert activity["high"] > 1.1 * activity["off"]


@pytest.mark.slow
def test_low_precision_trains_too(tmp_path):
    trainer = trained(tmp_path / "run", replace(LEARNING, precision="bfloat16", epochs=6))
    text = trainer.text
    assert score(trainer.model, text.splits["valid"], 1).perplexity < 6


# ---- scores


def test_perplexity_is_the_authors():
    """exp(summed cross entropy / tokens), segments of 70, y carried, c zeroed or carried."""
    torch.manual_seed(3)
    text = text_of()
    model = LanguageModel(WORDS, replace(SMALL, init="scaled"))
    with torch.no_grad():
        model.embedding.mul_(20)
    ids = torch.from_numpy(text.splits["test"].astype(np.int64))
    found = {}
    for zeroed in (False, True):
        states, nats = model.begin(1), 0.0
        with torch.no_grad():
            for position in range(len(ids) - 1):
                if zeroed and position % 70 == 0:
                    states = [(y, torch.zeros_like(c)) for y, c in states]
                answer = model.eval()(ids[position].view(1, 1), states)
                states = answer.states
                nats -= torch.log_softmax(answer.logits[0, 0].double(), 0)[ids[position + 1]].item()
        found[zeroed] = math.exp(nats / len(ids))
        state = "zeroed" if zeroed else "carried"
        assert score(model, text.splits["test"], 1, state).perplexity == pytest.approx(found[zeroed], rel=1e-5)
    assert found[True] != pytest.approx(found[False], rel=1e-6)
    assert score(model, text.splits["test"], 1).perplexity == score(model, text.splits["test"], 1, SMALL.state).perplexity


def test_what_is_exported_is_what_was_trained(tmp_path):
    trainer = trained(tmp_path / "run")
    model = model_of(trainer.model, trainer.text, "public domain", {"note": 1})
    assert (model.segment, model.state, model.vocabulary) == (70, "carried", trainer.text.vocabulary.words)
    assert model.provenance["settings"]["lr"] == SMALL.lr
    assert json.dumps(dict(model.provenance))
    for number, layer in enumerate(trainer.model.layers, start=1):
        for projection in model.network.populations[number].projections:
            weights = layer.kernel if projection.port == "input" else layer.recurrent
            np.testing.assert_array_equal(projection.weights.to_dense(), weights.detach().numpy())
            assert projection.weights.nonzeros == int((weights != 0).sum())


# ---- settings


WRONG = [
    ({"gate": "between"}, "--gate 'between': needs one of after, inside"),
    ({"gate": "inside", "model": "lstm"}, "--gate inside: goes with --model egru, not with lstm"),
    ({"model": "rnn"}, "--model 'rnn': needs one of egru, lstm, gru"),
    ({"hidden": "12,x"}, "--hidden '12,x': needs sizes such as 1350,1350"),
    ({"hidden": "0"}, "--hidden '0': every layer needs at least 1 unit"),
    ({"epochs": 0}, "--epochs 0: needs at least 1"),
    ({"prune_every": -1}, "--prune-every -1: needs at least 1"),
    ({"drop_input": 1.0}, "--drop-input 1.0: needs a share from 0 to below 1"),
    ({"beta1": math.nan}, "--beta1 nan: needs a share from 0 to below 1"),
    ({"lr": 0.0}, "--lr 0.0: needs a number above 0"),
    ({"lr": math.inf}, "--lr inf: needs a number above 0"),
    ({"weight_decay": -0.1}, "--weight-decay -0.1: needs a number from 0"),
    ({"keep_bias": math.nan}, "--keep-bias nan: needs a finite number"),
    ({"seed": -1}, "--seed -1: needs a number from 0 to below 2\\*\\*63"),
    ({"threshold_mean": 0.0}, "--threshold-mean 0.0: needs a number between 0 and 1"),
    ({"prune_from": 0.6}, "--prune-until 0.55: needs to lie between --prune-from 0.6 and 1"),
]


@pytest.mark.parametrize(("about", "line"), WRONG, ids=[next(iter(about)) for about, _ in WRONG])
def test_settings_that_cannot_be_are_refused_in_one_line(about, line):
    with pytest.raises(ModelError, match=line):
        replace(SMALL, **about).check()


def test_both_recipes_can_be_and_a_stored_one_comes_back():
    for about in (LanguageSettings(), LanguageSettings(**AUTHORS)):
        about.check()
        assert LanguageSettings.of({**vars(about), "of tomorrow": 1}) == about
