"""Recording readers: one file for each layout of gesture recordings, found by name (`models/families.py`).

Contract of a reader's file:

- `KIND`: what its recordings are, for a report's line on where samples come from ("AEDAT 3.1 recordings");
- `LAYOUT`: by split, what it looks for, for the line that says that nothing fits ({"train": "trials_to_train.txt (AEDAT)", ...});
- `probe(head)`: how certain it is that recordings are its own, from 0, not at all, to 100; the most certain one reads them;
- `read(head, slice_us, damages)`: yields the samples of the split, in the same order each time, and adds what is wrong or odd as
  it meets it; one bad file never stops the rest. Nothing is read before the first sample is asked for;
- `TERMS`, where there are any: under which terms people have such recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from models.dvs.samples import SPLITS, Damage, Sample
from models.families import family_path, member, member_names
from models.network import ModelError

__path__ = family_path(__path__, __name__)
WORD = "recording reader"


class Head(NamedTuple):
    """What is asked for: a folder or file, the split, and the first bytes (4096 at most) of a file that can be read."""

    path: Path
    split: str
    start: bytes = b""


class Reader(Protocol):
    """A module of this package."""

    KIND: str
    LAYOUT: Mapping[str, str]

    def probe(self, head: Head) -> int:
        """Return how certain it is that these recordings are the reader's own, from 0 to 100."""

    def read(self, head: Head, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
        """Yield the samples of the split, each of `slice_us` microseconds; add to `damages`."""


def all_readers() -> dict[str, Reader]:
    """Return every reader by its name; ModelError where one has no layout of a split."""
    readers = {name: cast(Reader, member(__name__, name, WORD)) for name in member_names(__name__)}
    for name, reader in readers.items():
        if lacking := [split for split in SPLITS if split not in getattr(reader, "LAYOUT", {})]:
            raise ModelError(f"{WORD} {name!r}: LAYOUT lacks the split {lacking[0]!r}; needs {' and '.join(SPLITS)}")
    return readers
