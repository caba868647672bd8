"""Checkpoint tasks: what a checkpoint is beside its network is one file, a user's own too."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from models import families, shipped
from models.checkpoint import Model, load, save, tasks
from models.heads.affine import Affine
from models.network import ModelError
from models.seeded import seeded_egru

OWN = """
import numpy as np

from models.network import ModelError

WORD = "a table of colours"

def facts_of(who, model):
    colours = model.parts.get("colours")
    return None if colours is None else {"names": list(colours)}

def tensors_of(who, model):
    return {f"colour.{name}": numbers for name, numbers in model.parts["colours"].items()}

def parse(who, facts):
    if not isinstance(facts, dict) or not all(isinstance(name, str) for name in facts.get("names", [0])):
        raise ModelError(f"{who}: colours need names, have {facts!r}")
    return facts

def need(tensors, facts, graph):
    for name in facts["names"]:
        tensors.need(f"colour.{name}", (3,), "float32")

def fields_of(tensors, facts):
    return {"parts": {"colours": {name: tensors.finite(f"colour.{name}") for name in facts["names"]}}}
"""


@pytest.fixture
def colours(tmp_path, monkeypatch):
    folder = tmp_path / "own" / "models" / "checkpoint" / "tasks"
    folder.mkdir(parents=True)
    (folder / "colours.py").write_text(OWN)
    monkeypatch.setenv(families.VARIABLE, str(tmp_path / "own"))
    monkeypatch.setattr(tasks, "__path__", list(tasks.__path__))
    yield Model(seeded_egru(3, [4], 0.5), parts={"colours": {"red": np.float32([1, 0, 0])}})
    sys.modules.pop("models.checkpoint.tasks.colours", None)


def test_a_task_of_a_users_own_is_stored_and_no_other_file_is_touched(colours, tmp_path, monkeypatch):
    save(tmp_path / "m.safetensors", colours)
    assert load(tmp_path / "m.safetensors").parts["colours"]["red"].tolist() == [1, 0, 0]
    bad = replace(colours, parts={"colours": {"red": np.float32([1, 0])}})
    with pytest.raises(ModelError, match=r"colour\.red needs shape \(3,\) of float32"):
        save(tmp_path / "bad.safetensors", bad)
    with pytest.raises(ModelError, match="has a table of colours and linear layers around the network; needs one of them"):
        save(tmp_path / "bad.safetensors", replace(colours, head=(Affine(np.ones((2, 4), np.float32), np.ones(2, np.float32)),)))
    monkeypatch.delenv(families.VARIABLE)
    monkeypatch.setattr(tasks, "__path__", tasks.__path__[:1])
    with pytest.raises(ModelError, match="task 'colours' is not known here, needs one of arrays, control, gesture, language"):
        load(tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="no checkpoint task 'colours', of which the model has a part"):
        save(tmp_path / "bad.safetensors", colours)
    assert not (tmp_path / "bad.safetensors").exists()


MODELS = {
    "arrays": lambda: Model(
        seeded_egru(3, [4], 0.5), twins=True, head=(Affine(np.ones((1, 2), np.float32), np.ones(1, np.float32)),)
    ),
    "control": lambda: load(shipped.path_of("cartpole")),
    "gesture": lambda: load(shipped.path_of("gesture-plain")),
    "language": lambda: load(shipped.path_of("tiny")),
}


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_keeps_its_contract(name, tmp_path):
    task, model = tasks.named(name), MODELS[name]()
    assert task.facts_of("who", Model(seeded_egru(3, [4], 0.5))) is None
    others = [other for other in tasks.names() if other != name]
    assert all(tasks.named(other).facts_of("who", model) is None for other in others)
    facts = task.facts_of("who", model)
    assert task.parse("who", facts) == facts
    for wrong in (None, [], {}, 5, {**facts, "more": 1}, dict.fromkeys(facts, object())):
        with pytest.raises(ModelError, match=r"^who: ") as caught:
            task.parse("who", wrong)
        assert len(str(caught.value).splitlines()) == 1
    save(tmp_path / "m.safetensors", model)
    back = load(tmp_path / "m.safetensors")
    stored, again = task.tensors_of("who", model), task.tensors_of("who", back)
    assert {key: array.tobytes() for key, array in again.items()} == {key: array.tobytes() for key, array in stored.items()}
    assert task.facts_of("who", back) == facts


def test_a_model_without_a_task_has_no_part_of_one(tmp_path):
    save(tmp_path / "m.safetensors", Model(seeded_egru(3, [4], 0.5)))
    model = load(tmp_path / "m.safetensors")
    assert (model.embedding, model.gesture, model.front, model.head, model.twins, model.parts) == (None, None, (), (), False, {})
