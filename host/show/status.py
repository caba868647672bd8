"""What a running network reports to whatever shows it: a layout once, then a status a few times a second, both plain dicts.

They come from another process, and any key may be missing or odd: whoever reads them takes numbers through `number` or
`at` and shows what is not known as unknown, never as zero.

A layout is what stays the same during a run: `title`, `chip`, `note`, `unit` (one position of one sequence: "token",
"frame"), `shown` (for the workload's panel), and lists of dicts: `pes` in use (name; layer, "a+b" where it runs two;
sram, from 0 to 1), `layers` (name, units, pes), `chips` (number; position, x and y on the mesh) and `links` between
chips (name; ends, two chips' numbers; cable, whether it leaves its board).

A status is what it does just now: `phase`, `elapsed_s`, `ready` (PEs that have been loaded), `tick`, `done` and `total`
(in the layout's unit: positions times sequences), `per_s`, `events_per_tick`, `packets_per_tick`, `sram_worst`,
`activity` (from 0 to 1, a layer), `pe_activity` (in the order of the layout's PEs), `links` (events now, in the order
of the layout's), `stalled` and `dead` (names of PEs and routers), `states` (of PEs by name, while they are not
running), `modelled` (what the chip would take for the last positions, of which it is priced now and then: time_s and energy_j of a
position of one sequence, power_w, `stages` and `links`, pairs of name and share of the time or load, and links_unit),
`problem`, `shown`, `metrics` (dicts as a report has them, too: name, label, value or None, unit, digits after
the point, better: "low", "high" or "", note; shares are in percent where the unit is "%"), and of a cluster `machines`
(dicts of name, chips, pes, load in cores, sent_bytes, refused, heard_s and state).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Fields = Mapping[str, Any]
"""A status, a layout or a part of them as it arrives."""


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
    """Return a metric's value with its digits and unit; "?" where it has none, "overflow" where no finite number holds it."""
    value, digits = number(metric, "value"), metric.get("digits")
    if value is None:
        return "overflow" if isinstance(metric.get("value"), float) else "?"
    return f"{value:,.{digits if isinstance(digits, int) and digits >= 0 else 2}f} {metric.get('unit') or ''}".strip()


def unit_of(record: Fields) -> str:
    """Return what one position of one sequence is called, in a run with this layout or report."""
    return str(record.get("unit") or "position")
