"""Filling the gaps of a heap ends with any allocator, and leaves the next object of each size where nothing lies beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_PROBE = """
from host.processes import heap_gaps
objects = [bytes(size) for size in range(1, 480, 16) for _ in range(300)]
del objects[::2]
heap_gaps.fill_heap_gaps()
print(len(heap_gaps._filling))
"""


@pytest.mark.parametrize("allocator", ["default", "debug", "malloc"])
def test_it_ends_whatever_allocates(allocator):
    environment = {**os.environ, "PYTHONMALLOC": allocator}
    command = [sys.executable, "-c", _PROBE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    fillings = int(done.stdout)
    gaps = 30 * 150  # of the objects that are gone
    assert gaps <= fillings <= 30 * 4000
