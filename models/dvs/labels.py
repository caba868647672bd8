"""Label files of DVS128 Gesture: which gesture was made from when to when, and what is odd about it.

A file `userNN_light_labels.csv` has a header and a line for each span: class from 1, start and end in microseconds. A line
that makes no sense is left out, one that stands there twice is taken once, and spans that overlap are both kept; each is
named by its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from models.dvs.samples import CLASSES, Damage
from models.input_file import MOST_SETTINGS_BYTES, InputError, read_input

CSV_HEADER = "class,startTime_usec,endTime_usec"
_LONGEST_NUMBER = 18  # digits: below 2**62, so that sums of two stay below 2**63


class Line(NamedTuple):
    """A line of a text file that is not blank: its number from 1, the offset of its first byte, its text."""

    number: int
    offset: int
    text: str


class Span(NamedTuple):
    """One line of a label file."""

    place: int  # its number among the labels of the recording, from 0, bad lines counted
    label: int
    start_us: int
    end_us: int
    line: Line

    @property
    def length_us(self) -> int:
        """How long it lasts."""
        return self.end_us - self.start_us


def read_labels(path: Path, damages: list[Damage]) -> list[Span]:
    """Return the spans of a label file in its order; append what is odd about it to `damages`."""
    spans: dict[tuple[int, int, int], Span] = {}
    for span in _spans(path, damages):
        first = spans.setdefault((span.label, span.start_us, span.end_us), span)
        if first is not span:
            why = f"line {span.line.number}: the label of line {first.line.number} again, {span.line.text[:80]!r}; taken once"
            damages.append(Damage(str(path), span.line.offset, why))
    labels = list(spans.values())
    damages.extend(Damage(str(path), line.offset, why) for line, why in _overlaps(labels))
    return labels


def _overlaps(spans: Sequence[Span]) -> Iterator[tuple[Line, str]]:
    """Yield each span that begins before one that began earlier has ended, in words."""
    before: Span | None = None
    for span in sorted(spans, key=lambda span: (span.start_us, span.end_us)):
        if before is not None and span.start_us < before.end_us:
            both = (min(before.end_us, span.end_us) - span.start_us) / 1e6
            of = f"of class {before.label + 1} in line {before.line.number}"
            ends = f"which ends at {before.end_us / 1e6:g} s"
            why = f"class {span.label + 1} begins at {span.start_us / 1e6:g} s, within that {of}, {ends}: {both:g} s count for both"
            yield span.line, f"line {span.line.number}: labels overlap: {why}"
        if before is None or span.end_us > before.end_us:
            before = span


def _spans(path: Path, damages: list[Damage]) -> Iterator[Span]:
    """Yield the good lines of a label file."""
    lines = read_lines(path, damages)
    head = next(lines, None)
    if head is None:
        return
    if head.text.replace(" ", "") != CSV_HEADER:
        damages.append(Damage(str(path), head.offset, f"line {head.number}: need {CSV_HEADER}, have {head.text[:80]!r}"))
        return
    place = -1
    for place, line in enumerate(lines):
        parts = [part.strip() for part in line.text.split(",")]
        good = len(parts) == 3 and all(part.isascii() and part.isdigit() and len(part) <= _LONGEST_NUMBER for part in parts)
        label, start_us, end_us = (int(part) for part in parts) if good else (0, 0, 0)
        if 1 <= label <= len(CLASSES) and start_us < end_us:
            yield Span(place, label - 1, start_us, end_us, line)
        else:
            need = f"a class of 1 to {len(CLASSES)}, a start and a later end"
            damages.append(Damage(str(path), line.offset, f"line {line.number}: need {need}, have {line.text[:80]!r}"))
    if place < 0:
        damages.append(Damage(str(path), head.offset, "has a header and no labels"))


def read_lines(path: Path, damages: list[Damage]) -> Iterator[Line]:
    """Yield the lines of a text file that are not blank; a file that cannot be read is a damage at byte 0."""
    try:
        raw = read_input(path, MOST_SETTINGS_BYTES)
    except InputError as error:
        damages.append(Damage(str(path), 0, str(error)))
        return
    offset = 0
    for number, line in enumerate(raw.split(b"\n"), start=1):
        text = line.decode("utf-8", "backslashreplace").lstrip("\ufeff").strip()
        if text:
            yield Line(number, offset, text)
        offset += len(line) + 1
