"""The shipped gesture checkpoints: what they hold, and that they classify the synthetic test people as torch did."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models import shipped
from models.checkpoint import load
from models.dvs.frames import FrameSpec, frames_of
from models.dvs.samples import CLASSES
from models.dvs.synthetic import open_synthetic
from models.heads.gesture import Scores, features_of
from models.reference import Reference

pytestmark = pytest.mark.timeout(60)
FOLDER = Path(shipped.__file__).parent
DECAYS = {"gesture.safetensors": 0.9, "gesture-plain.safetensors": 0.0}
SAMPLES = 3


@pytest.fixture(scope="module")
def seen():
    return list(islice(open_synthetic("test").samples(), SAMPLES))


@pytest.fixture(scope="module", params=sorted(DECAYS))
def shipped_model(request):
    return request.param, load(FOLDER / request.param)


def test_its_sizes_are_the_papers_and_the_file_is_small(shipped_model):
    name, model = shipped_model
    assert (FOLDER / name).stat().st_size < 5_000_000
    assert [population.units for population in model.network.populations] == [512, 256, 256]
    assert (model.gesture.size, model.gesture.frames, model.gesture.classes) == (32, 68, CLASSES)
    assert [layer.weight.shape[2] for layer in model.gesture.head] == [5, 3, 3]
    assert model.gesture.trace == model.network.populations[2].projections[0].trace == DECAYS[name]
    settings = model.provenance["settings"]
    assert [model.network.populations[number].params["zoneout"] for number in (1, 2)] == [settings["zoneout"]] * 2
    assert DECAYS[name] == 0 or settings["zoneout"] > 0  # the authors' variant mixes at inference


def test_it_beats_what_sees_no_motion_on_people_it_never_saw(shipped_model):
    record = shipped_model[1].gesture.record
    assert record["accuracy"] >= 0.9
    assert record["mean_frame_accuracy"] < 0.6
    assert record["accuracy"] - record["mean_frame_accuracy"] >= 0.25
    people = {split: set(subjects) for split, subjects in record["subjects"].items()}
    assert len(people["test"]) == 8
    assert not people["test"] & (people["train"] | people.get("valid", set()))
    right = [a == b for a, b in zip(record["torch_predictions"], record["labels"], strict=True)]
    assert record["accuracy"] == pytest.approx(np.mean(right))
    assert [int(np.argmax(scores)) for scores in record["torch_scores"]] == record["torch_predictions"]


@pytest.mark.slow_but("gesture.safetensors")
def test_the_emulators_arithmetic_gives_the_classes_and_scores_of_torch(shipped_model, seen):
    _, model = shipped_model
    gesture, reference = model.gesture, Reference(model.network)
    spec = FrameSpec(gesture.bin_us, gesture.slice_us, gesture.size, gesture.polarity, gesture.scale)
    for number, sample in enumerate(seen):
        scores = Scores(gesture)
        for frame, x in enumerate(features_of(gesture, frames_of(sample.events, spec))):
            (y,) = reference.step({0: x}, fresh=frame == 0)[model.network.output]
            keys = np.flatnonzero(y).astype(np.uint32)
            scores.add(keys, y[keys])
        assert sample.label == gesture.record["labels"][number]
        assert int(scores.scores().argmax()) == gesture.record["torch_predictions"][number]
        np.testing.assert_allclose(scores.scores(), gesture.record["torch_scores"][number], rtol=0, atol=1e-4)
