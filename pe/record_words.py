"""Records of 64-bit numbers as Python reads and writes them: by the place of a word. By a field's name it takes far longer."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.network import Array


def words_of(kind: Any, *names: str) -> tuple[int, ...]:
    """Return which words of a record fields of these names are."""
    return tuple(int(kind.fields[name][1]) // 8 for name in names)


def view_of(records: Array) -> memoryview:
    """Return the words of records."""
    return memoryview(records.view(np.int64))  # type: ignore[arg-type]  # a buffer
