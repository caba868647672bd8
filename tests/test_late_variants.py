"""What one run compiles late, the next run of its kind has before it forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.compute import compiling, late_variants
from models.compute.bound_calls import Bindable
from models.formats import conv

ROOT = Path(__file__).resolve().parents[1]

_BIND = """
import numpy as np
from models.compute import sums
from models.compute.compiling import compiled_now
from models.compute.late_variants import load_noted, note_variants

load_noted("a run")
for callback in sums._add._compiled.values():  # of these alone, as all would take their time
    callback.address
before, declared = compiled_now(), len(sums._add.late_keys())
slot = np.ones((1, 3), np.int32)
total = slot.copy()
sums.adding(slot, total, first=False)(lane=0)
assert total.tolist() == [[2, 2, 2]]
note_variants("a run")
print(before, declared, compiled_now())
"""


def bind(cache):
    """Bind in a process of its own; return what it had compiled and declared before, and what it had compiled at its end."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "NUMBA_CACHE_DIR": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", _BIND], env=environment, capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()))


@pytest.mark.slow
def test_the_next_process_loads_what_one_has_noted_and_compiles_nothing(tmp_path):
    _, declared, compiled = bind(tmp_path)
    assert (declared, compiled > 0) == (0, True)
    assert bind(tmp_path) == (0, 1, 0)


@pytest.fixture
def notes(monkeypatch):
    """Notes in a dictionary in place of the cache."""
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(late_variants, "cache_read", kept.get)
    monkeypatch.setattr(late_variants, "cache_write", kept.__setitem__)
    return kept


def test_a_note_holds_what_every_run_of_its_kind_has_bound(notes):
    name = "variants a run"
    notes[name] = json.dumps([["models.formats.conv", "_accumulate", "int8", "int32", "int8", ""]]).encode()
    late_variants.note_variants("a run")
    noted = json.loads(notes[name])
    assert ["models.formats.conv", "_accumulate", "int8", "int32", "int8", ""] in noted
    own = [[*place, *key] for place, one in Bindable.declared.items() for key in one.late_keys()]
    assert all(variant in noted for variant in own[:32])
    late_variants.note_variants("a run")
    assert json.loads(notes[name]) == noted


@pytest.mark.parametrize(
    "variant",
    [
        ["models.formats.conv", "_nobody", "int8"],
        ["models.formats.conv", "_accumulate"],
        ["models.formats.conv", "_accumulate", "int8"],
        ["models.formats.conv", "_accumulate", "int8", "int32", "no payload", ""],
        ["models.formats.conv", "_accumulate", "int8", "complex64", "int8", ""],
    ],
)
def test_a_note_of_no_use_changes_nothing(notes, variant):
    before = list(conv._accumulate.late_keys()), len(compiling._callbacks)
    notes["variants a run"] = json.dumps([variant]).encode()
    late_variants.load_noted("a run")
    assert (list(conv._accumulate.late_keys()), len(compiling._callbacks)) == before
