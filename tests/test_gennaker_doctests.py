"""The examples in the public docstrings of the Python face, and in docs/python.md, run as they stand."""

import doctest
import importlib
from types import SimpleNamespace

import numpy as np
import pytest

import gennaker as gk
from models.checkpoint import Model, save
from models.seeded import seeded_egru
from tests.conftest import ROOT

MODULES = ["answers", "bands", "costs", "dnn", "errors", "model", "plan", "results", "session"]
GOLDEN = ROOT / "tests" / "golden_dnn"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the examples speak of: a small seeded network in a file, its plan, arrays, and a run."""
    path = tmp_path_factory.mktemp("face") / "example.safetensors"
    save(path, Model(seeded_egru(8, (16, 12), 0.9, seed=3, threshold=0.1)))
    model = gk.load(path)
    plan = model.fit(pes=4, mapping="balanced")
    x = np.random.default_rng(7).standard_normal((3, 20, 8)).astype(np.float32)
    run = plan.run(x, transport="mem")
    with np.load(GOLDEN / "cnn-float.npz") as arrays:
        samples = arrays["x"]
    return {
        "gk": gk, "np": np, "model": model, "plan": plan, "x": x, "run": run, "Band": gk.Band,
        "example": SimpleNamespace(path=path, onnx=GOLDEN / "cnn-float.onnx", samples=samples),
    }  # fmt: skip


@pytest.mark.few(1)
@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_run(module, names):
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for test in finder.find(importlib.import_module(f"gennaker.{module}"), extraglobs=names) if test.examples]
    assert found
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in found:
        runner.run(test)
    assert runner.failures == 0


def test_every_public_name_has_an_example():
    """Each class, and each of its public methods that takes something from a user."""
    for name in gk.__all__:
        one = getattr(gk, name)
        if name in ("RunError", "WrongInput", "DoesNotFit"):  # `Error` and the methods that raise them show how they look
            continue
        text = (one.__doc__ or "") + "".join(getattr(member, "__doc__", None) or "" for member in vars(one).values())
        assert ">>>" in text, name


@pytest.mark.wide
def test_the_tutorial_runs(names):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, dict(names), "docs/python.md", None, 0)
    assert len(test.examples) > 20
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(test)
    assert runner.failures == 0
