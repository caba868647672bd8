"""What a safetensors file of ours says in its header, without its tensors: names of what it needs."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.input_file import open_input

_MOST_HEADER_BYTES = 1 << 26


def header_record(path: Path, name: str) -> Any:
    """Return a record of a file's metadata, of plain values; None where there is none that can be read."""
    try:
        with open_input(path) as file:
            (size,) = struct.unpack("<Q", file.read(8))
            return json.loads(json.loads(file.read(min(size, _MOST_HEADER_BYTES)))["__metadata__"][name])
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        return None  # whoever opens it says what is wrong


def header_texts(path: Path, name: str, key: str) -> list[str]:
    """Return every name that stands under `key` in a record of a file's metadata, ascending."""
    try:
        return sorted({text for text in _values_of(header_record(path, name), key) if text.isidentifier()})
    except RecursionError:
        return []


def _values_of(content: Any, key: str) -> Iterator[str]:
    """Yield every text that stands under `key` in nested dicts and lists."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in inner:
        if name == key and isinstance(value, str):
            yield value
        yield from _values_of(value, key)
