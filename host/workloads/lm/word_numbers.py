"""Word numbers from a file: for language models whose words are not at hand, or texts that are numbers already."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from host.errors import HostError, need_file
from models.input_file import MOST_TEXT_BYTES, InputError, read_text_input
from models.network import U32, Array, in_one_line


def read_word_numbers(path: Path, who: str, words: int) -> U32:
    """Return the numbers in a file, (tokens,) uint32: of a .npy, or of a text with blanks or line ends between them.

    HostError, one line that begins with `who`, for a file that cannot be read, numbers that are not whole or not below `words`, and
    another shape.
    """
    need_file(path, who)
    try:
        numbers = _array(path) if path.suffix == ".npy" else _numbers(read_text_input(path, MOST_TEXT_BYTES))
    except InputError as error:
        raise HostError(f"{who}: {error}") from error
    except UnicodeDecodeError as error:
        raise HostError(f"{who}: is no text in UTF-8; a file of numpy ends in .npy") from error
    except Exception as error:  # numpy's own, and a stranger's bytes: exceptions of several kinds
        raise HostError(f"{who}: cannot be read ({in_one_line(error)})") from error
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise HostError(f"{who}: needs word numbers (tokens,) of whole numbers, has {numbers.shape} of {numbers.dtype}")
    if not len(numbers):
        raise HostError(f"{who}: has no word numbers")
    wrong = np.flatnonzero((numbers < 0) | (numbers >= words))
    if len(wrong):
        raise HostError(f"{who}: needs word numbers below {words:,}, has {numbers[wrong[0]]} at {wrong[0]}")
    return np.ascontiguousarray(numbers, np.uint32)


def _array(path: Path) -> Array:
    loaded = np.load(path)
    if isinstance(loaded, np.ndarray):
        return loaded
    loaded.close()
    raise InputError("holds several arrays (.npz); needs one")


def _numbers(text: str) -> Array:
    """Return the whole numbers of a text; InputError for a word that is none."""
    words = text.split()
    wrong = next((word for word in words if not word.removeprefix("-").isdecimal() or len(word) > 18), None)
    if wrong is not None:
        raise InputError(f"has {wrong[:20]!r}, which is no word number")
    return np.array([int(word) for word in words], np.int64)
