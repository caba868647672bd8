"""Figures that were measured on a board, beside what a run is priced at: a CSV file of times, energies and powers.

The header names the columns: `layer` and `stage` ("all" where a figure is of all of them, and where the column is missing),
`positions` (how many positions of sequences a row's figures cover; 1 where it is missing), and any of `time_s`, `time_ms`,
`time_us`, `energy_j`, `energy_mj`, `energy_uj`, `power_w`, `power_mw`.
Energy and power are of the whole chip. Lines that begin with # are left out, and so are empty
cells. docs/answers.md has an example.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.cost.priced import Priced
from host.errors import HostError, nearest_name
from models.input_file import WAIT_S, InputError, read_input

ALL = "all"
_SCALES = {
    "time_s": ("time", 1.0), "time_ms": ("time", 1e-3), "time_us": ("time", 1e-6), "energy_j": ("energy", 1.0),
    "energy_mj": ("energy", 1e-3), "energy_uj": ("energy", 1e-6), "power_w": ("power", 1.0), "power_mw": ("power", 1e-3),
}  # fmt: skip
_TEXTS = ("layer", "stage")
_POSITIONS = "positions"
_MOST_BYTES = 1 << 20
UNITS = {"time": "s", "energy": "J", "power": "W"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measured figure of one position: `quantity` is "time", "energy" or "power", `value` in s, J or W; `line` of its file."""

    layer: str
    stage: str
    quantity: str
    value: float
    line: int


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A measured figure beside the modelled one, a position each (power as it is), with the model's band."""

    layer: str
    stage: str
    quantity: str
    measured: float
    modelled: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """How much more the model says, as a share of what was measured."""
        return self.modelled / self.measured - 1 if self.measured else math.inf

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the model's band."""
        return self.low <= self.measured <= self.high


def read_measured(path: Path) -> list[Measured]:
    """Return the figures in a CSV file; HostError, one line with the line's number, for what cannot be meant."""
    who = f"--measured {path}"
    try:
        text = read_input(path, _MOST_BYTES, WAIT_S).decode("utf-8-sig")
    except (InputError, UnicodeDecodeError) as error:
        raise HostError(f"{who}: {' '.join(str(error).split())}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise HostError(f"{who}: is empty; needs a header such as layer,stage,time_ms")
    head = [name.strip() for name in next(csv.reader([lines[0][1]]))]
    known = (*_TEXTS, _POSITIONS, *_SCALES)
    for name in head:
        if name not in known:
            raise HostError(
                f"{who}: column {name!r}: unknown; the nearest is {nearest_name(name, known)!r}; have {', '.join(known)}"
            )
    if len(set(head)) < len(head) or not set(head) & set(_SCALES):
        raise HostError(f"{who}: needs each column once, and one of {', '.join(_SCALES)}; has {', '.join(head)}")
    figures = [figure for number, line in lines[1:] for figure in _figures(f"{who}: line {number}", number, head, line)]
    if not figures:
        raise HostError(f"{who}: has no figure behind its header")
    return figures


def _figures(who: str, number: int, head: Sequence[str], line: str) -> Iterator[Measured]:
    cells = [cell.strip() for cell in next(csv.reader([line]))]
    if len(cells) != len(head):
        raise HostError(f"{who}: has {len(cells)} cells; needs {len(head)}, as the header has")
    row = dict(zip(head, cells, strict=True))
    positions = _number(who, _POSITIONS, row.get(_POSITIONS) or "1")
    for name, (quantity, scale) in _SCALES.items():
        if row.get(name):
            value = _number(who, name, row[name]) * scale
            yield Measured(
                layer=row.get("layer") or ALL, stage=row.get("stage") or ALL, quantity=quantity,
                value=value if quantity == "power" else value / positions, line=number,
            )  # fmt: skip


def _number(who: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise HostError(f"{who}: {name} needs a number above 0, has {text[:40]!r}")
    return value


def beside(figures: Sequence[Measured], middle: Priced, low: Priced, high: Priced, positions: int, who: str) -> list[Beside]:
    """Return each measured figure beside the modelled one, a position of so many.

    `middle` is the run's price with its bands, `low` and `high` those with all constants at their ends, whose stages are the bands
    of stages. HostError, one line that begins with `who`, for a layer or stage that the run has not.
    """
    rows = []
    for one in figures:
        value, ends = _modelled(one, middle, low, high, who)
        each = 1 if one.quantity == "power" else positions
        rows.append(Beside(
            layer=one.layer, stage=one.stage, quantity=one.quantity, measured=one.value, modelled=value / each,
            low=min(ends) / each, high=max(ends) / each,
        ))  # fmt: skip
    return rows


def _modelled(one: Measured, middle: Priced, low: Priced, high: Priced, who: str) -> tuple[float, tuple[float, float]]:
    at = f"{who}: line {one.line}"
    for name, have in (("layer", list(middle.stages_s)), ("stage", stage_names(middle))):
        value = getattr(one, name)
        if value != ALL and value not in have:
            near = nearest_name(value, have)
            raise HostError(f"{at}: {name} {value!r}: the run has none; the nearest is {near!r}; have {ALL}, {', '.join(have)}")
    if one.layer == ALL and one.stage == ALL:
        value, band = {
            "time": (middle.time_s, middle.time_band_s), "energy": (middle.energy_j, middle.energy_band_j),
            "power": (middle.power_w, middle.power_band_w),
        }[one.quantity]  # fmt: skip
        return value, band
    if one.quantity != "time":
        raise HostError(f"{at}: {one.quantity} of {one.layer}, {one.stage}: is of the whole chip; needs {ALL},{ALL}")
    return _time_of(middle.stages_s, one), (_time_of(low.stages_s, one), _time_of(high.stages_s, one))


def stage_names(priced: Priced) -> list[str]:
    """Return the names of a run's stages."""
    return list(dict.fromkeys(stage for stages in priced.stages_s.values() for stage in stages))


def _time_of(stages_s: Mapping[str, Mapping[str, float]], one: Measured) -> float:
    layers = [stages_s[one.layer]] if one.layer != ALL else list(stages_s.values())
    return sum(seconds for stages in layers for stage, seconds in stages.items() if one.stage in (ALL, stage))
