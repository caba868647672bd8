"""What the sections of a population hold: how many events, whether they are what the population says, and many made one.

A population sends its events by key, or, where it is dense, a value for each unit of each lane without keys. Values are moved,
never read: a router needs to know how many bytes each has and where it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noc.packet import VALID, Section

I64 = npt.NDArray[np.int64]
MISFIT = -1  # instead of a number of events: the section is none of its population's
_MOVED: dict[int, Any] = {1: np.dtype("u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4")}  # by bytes of a value


class Payload:
    """The sections of one population: `value_bytes` a value, `lanes` of `units`; `shares`, where it is dense, has the units
    (ascending) of each endpoint and chip that sends a part of it.

    ValueError where that contradicts itself.
    """

    def __init__(self, value_bytes: int, lanes: int, units: int, shares: Mapping[str | int, bytes]) -> None:
        if value_bytes not in (0, *_MOVED) or lanes < 1 or units < 0 or (shares and not value_bytes):
            raise ValueError(f"payload of {value_bytes} B a value, {lanes} lanes of {units} units")
        self.value_bytes, self.lanes, self.keys = value_bytes, lanes, lanes * units
        self.dense = bool(shares)
        self.masks_bytes = 3 * -(-lanes // 8)
        self._units = {name: np.frombuffer(raw, "<u4") for name, raw in shares.items()}

    def values_of(self, share: str | int) -> int:
        """Return how many values an endpoint or chip sends of a dense population; 0 of any other."""
        return self.lanes * len(self._units[share]) if self.dense else 0

    def count(self, section: Section, values: int) -> int:
        """Return how many events a section has, which holds `values` of a dense population; MISFIT where it is none of this
        population's.
        """
        if section.lanes and len(section.lanes) != self.masks_bytes:
            return MISFIT
        valid, size = section.flags & VALID, len(section.values)
        if self.dense:
            fits = not section.keys and size == (values * self.value_bytes if valid else 0)
            return (values if valid else 0) if fits else MISFIT
        events = len(section.keys) // 4
        return events if size == events * self.value_bytes and (valid or not events) else MISFIT

    def is_beyond(self, section: Section, *, in_order: bool = False) -> bool:
        """Tell whether a key is that of no unit; `in_order`: keys are ascending, as `merge` leaves those of several sections."""
        if not section.keys:
            return False
        if in_order:
            return int.from_bytes(section.keys[-4:], "little") >= self.keys
        return bool(np.frombuffer(section.keys, "<u4").max() >= self.keys)

    def need(self, values: int) -> str:
        """Say what a section holds."""
        what = f"{values} values of {self.value_bytes} B without keys" if self.dense else f"{self.value_bytes} B a key"
        return f"{what}, lanes of 0 or {self.masks_bytes} B, and a bubble nothing"

    def order(self, shares: Sequence[str | int]) -> I64 | None:
        """Return where in the values of dense shares, one behind the other, each stands that belongs next: flat order, lane by
        lane in ascending unit. None where that is as they are.
        """
        if not self.dense or len(shares) < 2:
            return None
        lane_of, unit_of = [], []
        for units in (self._units[share] for share in shares):
            lane_of.append(np.repeat(np.arange(self.lanes), len(units)))
            unit_of.append(np.tile(units, self.lanes))
        return np.lexsort((np.concatenate(unit_of), np.concatenate(lane_of)))

    def check_shares(self, shares: Sequence[str | int]) -> None:
        """Raise ValueError unless dense shares have each unit once, in ascending order, and all of them."""
        units = np.concatenate([self._units[share] for share in shares]) if self.dense else np.zeros(0, np.uint32)
        if self.dense and not np.array_equal(np.sort(units), np.arange(self.keys // self.lanes)):
            raise ValueError(f"dense shares with {len(units)} of {self.keys // self.lanes} units")

    def merge(self, sections: Sequence[Section], order: I64 | None) -> Section:
        """Return one section with the events of all, in ascending key or in a dense population's `order`; ledgers stay in the
        order of the sections.
        """
        if len(sections) == 1:
            return sections[0]
        keys = b"".join([section.keys for section in sections])
        values = b"".join([section.values for section in sections])
        if keys:
            unsorted = np.frombuffer(keys, "<u4")
            order = np.argsort(unsorted, kind="stable")
            keys = unsorted[order].tobytes()
        if values and order is not None:
            values = np.frombuffer(values, _MOVED[self.value_bytes])[order].tobytes()
        ledger = b"".join([section.ledger for section in sections])
        return sections[0]._replace(keys=keys, values=values, ledger=ledger)


def payloads_of(message: Mapping[int, Any]) -> dict[int, Payload]:
    """Return the payloads that a configuration lists, by population; ValueError or TypeError where it contradicts itself."""
    return {number: Payload(*parts) for number, parts in message.items()}
