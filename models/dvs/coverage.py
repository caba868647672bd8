"""Labels against events: the slices that a recording's labels cut out of it, and in words what they miss.

No slice is lost in silence: a recording of which none is left says why (other times, another unit, nothing valid), and
slices that hold no event, that a label is too short for, or that reach far beyond the events are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.dvs.aedat import AedatFile
from models.dvs.labels import Span
from models.dvs.samples import Events

_UNITS = {1_000.0: "milliseconds", 1_000_000.0: "seconds", 0.001: "nanoseconds"}
_ALIKE = (0.3, 1.2)  # a recording's labels end about where its events do: shares of the events' length


class Slice(NamedTuple):
    """A whole slice of a labelled span, the `number`th from 0, with its events counted from its start."""

    span: Span
    number: int
    events: Events


Odd = tuple[int, str]
"""The offset of a byte and what is odd there, in words."""


def cut(recording: AedatFile, spans: Sequence[Span], slice_us: int) -> tuple[list[Slice], list[Odd]]:
    """Return the slices of all spans that hold an event, in the order of spans, and what is wrong or odd about the recording."""
    slices = list(_slices(recording, spans, slice_us))
    whole = sum(span.length_us // slice_us for span in spans)
    odd: list[Odd] = [(damage.offset, damage.why) for damage in recording.damages]
    lost = whole - len(slices)
    if not recording.whole and odd and lost:
        odd[0] = (odd[0][0], f"{odd[0][1]}; {lost:,} of {whole:,} slices are lost")
    if not slices:
        odd.append((0, _why_none(recording, spans, slice_us)))
    elif recording.whole and lost:
        odd.append((0, f"{lost:,} of {whole:,} slices hold no event and are left out: {_times(recording.events, spans)}"))
    if slices and (short := [span for span in spans if span.length_us < slice_us]):
        many = f" and {len(short) - 1} more" if len(short) > 1 else ""
        lasts = f"lasts {_seconds(short[0].length_us)}, a slice {_seconds(slice_us)}"
        odd.append((0, f"no slice of the label in line {short[0].line.number} of its labels{many}: it {lasts}"))
    if recording.whole and (sparse := [one for one in slices if _covered_us(one, recording.events, slice_us) * 2 < slice_us]):
        name = f"[{sparse[0].span.place}]#{sparse[0].number}"
        what = f"{len(sparse):,} of {len(slices):,} slices lie outside the recording by more than half, the first {name}"
        odd.append((0, f"{what}: {_times(recording.events, spans)}"))
    return slices, odd


def _slices(recording: AedatFile, spans: Sequence[Span], slice_us: int) -> Iterator[Slice]:
    t_us = recording.events.t_us
    last_us = int(t_us[-1]) if t_us.size else -1
    for span in spans:
        # A recording may be quiet at its end; one that breaks off says nothing about what came then.
        end_us = span.end_us if recording.whole else min(span.end_us, last_us)
        for number, events in recording.events.slices(span.start_us, max(end_us, span.start_us), slice_us):
            yield Slice(span, number, events)


def _covered_us(one: Slice, events: Events, slice_us: int) -> int:
    """Return how much of a slice lies between the recording's first event and its last."""
    start = one.span.start_us + one.number * slice_us
    return min(start + slice_us, int(events.t_us[-1])) - max(start, int(events.t_us[0]))


def _why_none(recording: AedatFile, spans: Sequence[Span], slice_us: int) -> str:
    """Return why no label gives a slice."""
    events = recording.events
    if not events.t_us.size:
        marked = f", {recording.invalid:,} that are marked as not valid" if recording.invalid else ""
        return f"no slice: it holds no event{marked}"
    longest = max(span.length_us for span in spans)
    if longest < slice_us:
        return f"no slice: the longest label lasts {_seconds(longest)}, a slice {_seconds(slice_us)}{_unit(events, spans)}"
    return f"no slice: {_times(events, spans)}"


def _times(events: Events, spans: Sequence[Span]) -> str:
    """Return from when to when there are labels and events, and the unit that would make them fit."""
    first, last = int(events.t_us[0]), int(events.t_us[-1])
    begin, end = min(span.start_us for span in spans), max(span.end_us for span in spans)
    if end <= first:
        return f"labels end at {_seconds(end)}, events begin at {_seconds(first)}{_unit(events, spans)}"
    if begin > last:
        return f"labels begin at {_seconds(begin)}, events end at {_seconds(last)}{_unit(events, spans)}"
    lie = f"labels from {_seconds(begin)} to {_seconds(end)}, events from {_seconds(first)} to {_seconds(last)}"
    return f"{lie}{_unit(events, spans)}"


def _unit(events: Events, spans: Sequence[Span]) -> str:
    """Return a question where labels in another unit of time would end about where the events do; else nothing."""
    last, end = int(events.t_us[-1]), max(span.end_us for span in spans)
    if _ALIKE[0] * last <= end <= _ALIKE[1] * last:
        return ""
    for factor, unit in _UNITS.items():
        if _ALIKE[0] * last <= end * factor <= _ALIKE[1] * last:
            return f"; are the labels in {unit}? They need microseconds"
    return ""


def _seconds(time_us: int) -> str:
    return f"{time_us / 1e6:,.6g} s"
