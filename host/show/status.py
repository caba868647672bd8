"""What a running network reports to whatever shows it: a layout once, then a status a few times a second, both plain dicts.

They come from another process, and any key may be missing or odd: whoever reads them takes numbers through `number` or `at`
and shows what is not known as unknown, never as zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Fields = Mapping[str, Any]
"""A status, a layout or a part of them as it arrives: any key may be missing."""


class Metric(TypedDict, total=False):
    """How well a workload does: the same record in a status and in a report."""

    name: str
    label: str
    value: float | None  # None: nothing to judge by; shares are in percent where the unit is "%"
    unit: str
    digits: int  # after the point
    better: Literal["low", "high", ""]
    note: str  # for beside the value


class Layout(TypedDict, total=False):
    """What stays the same during a run."""

    title: str
    chip: str
    note: str
    pes: Sequence[Fields]  # in use, each with name, layer ("a+b" where it runs two) and sram (from 0 to 1)
    layers: Sequence[Fields]  # each with name, units and pes
    chips: Sequence[Fields]  # each with number and position (x, y on the mesh)
    links: Sequence[Fields]  # between chips, each with name, ends (two chips' numbers) and cable (whether it leaves its board)
    unit: str  # one position of one sequence: "token", "frame"
    shown: Fields  # for the workload's panel


class Status(TypedDict, total=False):
    """What a run does just now."""

    phase: str
    ready: int  # PEs that have been loaded
    tick: int
    done: int  # in the layout's unit: positions times sequences
    total: int
    per_s: float
    metrics: Sequence[Metric]
    shown: Fields  # for the workload's panel
    activity: Sequence[float]  # from 0 to 1, a layer
    pe_activity: Sequence[float]  # from 0 to 1, in the order of the layout's PEs
    links: Sequence[int]  # events now, in the order of the layout's links
    events_per_tick: float
    packets_per_tick: float
    sram_worst: float
    elapsed_s: float
    stalled: Sequence[str]  # names of PEs and routers
    dead: Sequence[str]
    states: Mapping[str, str]  # of PEs, while they are not running
    problem: str
    machines: Sequence[Fields]  # of a cluster, each with name, chips, pes, load in cores, sent_bytes, refused, heard_s and state


def finite(value: Any) -> float | None:
    """Return `value` where it is a finite number."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def number(status: Fields, key: str) -> float | None:
    """Return the finite number under `key`, or None."""
    return finite(status.get(key))


def at(values: Sequence[Any] | None, index: int) -> float | None:
    """Return the finite number at `index`, or None."""
    return finite(values[index]) if values and index < len(values) else None


def format_metric(metric: Fields) -> str:
    """Return a metric's value with its digits and unit; "?" where it has none."""
    value, digits = number(metric, "value"), metric.get("digits")
    if value is None:
        return "?"
    return f"{value:,.{digits if isinstance(digits, int) and digits >= 0 else 2}f} {metric.get('unit') or ''}".strip()


def unit_of(record: Fields) -> str:
    """Return what one position of one sequence is called, in a run with this layout or report."""
    return str(record.get("unit") or "position")
