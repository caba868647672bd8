"""Which column of a table of events is which, by their names, in any order; the unit of time as far as the name says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.dvs.samples import DvsError

UNITS_US = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
_NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"), "x": ("x", "xs", "column"), "y": ("y", "ys", "row"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}  # fmt: skip


class Columns(NamedTuple):
    """The places of time, x, y and polarity among columns, and the unit that the time's name ends in, as in `t_us`, or ""."""

    t: int
    x: int
    y: int
    p: int
    unit: str

    def unit_us(self, unsaid: str) -> float:
        """Return microseconds of a unit of time; of a time without one, those of the unit `unsaid`."""
        return UNITS_US[self.unit or unsaid]


def columns_of(names: Sequence[str]) -> Columns:
    """Return which columns are time, x, y and polarity; `DvsError`, with the names there are, for one that is missing or twice."""
    places: dict[str, int] = {}
    unit = ""
    for place, name in enumerate(names):
        plain, _, end = name.strip().lower().rpartition("_")
        plain, end = (plain, end) if plain in _NAMES["t"] and end in UNITS_US else (name.strip().lower(), "")
        column = next((key for key, known in _NAMES.items() if plain in known), None)
        if column is None:
            continue
        if column in places:
            raise DvsError(f"has two columns that are {column}: {', '.join(names)[:80]}")
        places[column] = place
        unit = end or unit
    if missing := [key for key in _NAMES if key not in places]:
        need = "; ".join(f"{key}: {' or '.join(_NAMES[key][:4])}" for key in missing)
        raise DvsError(f"needs named columns of time, x, y and polarity ({need}), has {', '.join(names)[:80] or 'none'}")
    return Columns(**places, unit=unit)
