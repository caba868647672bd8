"""`Cost`: what a run would cost on the chip, by layer and stage, and where its energy goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gennaker.bands import Band
from gennaker.rich_text import html_table, list_of_rows
from host.show.quantities import format_band, format_quantity


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A modelled price (docs/costs.md): seconds, watts and joules of the whole run, each a `Band`.

    `positions`: how many positions of all sequences it covers. `settings`: what it was priced with. `stages_s`: layer -> stage ->
    seconds on the layer's critical PE. `energy_parts_j`: joules by where they go.

    >>> cost = run.cost
    >>> cost.time_s.low <= cost.time_s.value <= cost.time_s.high
    True
    >>> abs(sum(row["seconds"] for row in cost.stages()) - cost.time_s.value) < 1e-9
    True
    """

    time_s: Band
    power_w: Band
    energy_j: Band
    positions: int
    stages_s: Mapping[str, Mapping[str, float]]
    energy_parts_j: Mapping[str, float]
    settings: Mapping[str, Any]

    def stages(self, frame: bool = False) -> Any:
        """Return a row a layer and stage: `layer`, `stage`, `seconds`; a list of dicts, or with `frame=True` a pandas DataFrame.

        >>> run.cost.stages()[0]["layer"]
        'egru1'
        """
        rows = [
            {"layer": layer, "stage": stage, "seconds": seconds}
            for layer, stages in self.stages_s.items()
            for stage, seconds in stages.items()
        ]
        return list_of_rows(rows, frame)

    def __str__(self) -> str:
        each = max(self.positions, 1)
        time, energy = (
            format_band(one.value, (one.low, one.high), unit) for one, unit in ((self.time_s, "s"), (self.energy_j, "J"))
        )
        a_position = ", ".join(format_quantity(one.value / each, unit) for one, unit in ((self.time_s, "s"), (self.energy_j, "J")))
        return f"{time}, {energy} on the chip; {a_position} a position"

    def _repr_html_(self) -> str:
        rows = [[row["layer"], row["stage"], f"{1e3 * row['seconds']:.4g}"] for row in self.stages()]
        return html_table(["layer", "stage", "ms"], rows, title="Cost on the chip", note=str(self))


def cost_of(priced: Any, positions: int) -> Cost:
    """Return the cost of a priced run (`host/cost/price.py`)."""
    bands = {
        name: Band(float(getattr(priced, name)), *map(float, getattr(priced, f"{name.rpartition('_')[0]}_band_{name[-1]}")))
        for name in ("time_s", "power_w", "energy_j")
    }
    return Cost(
        **bands, positions=positions, stages_s=priced.stages_s, energy_parts_j=priced.energy_parts_j, settings=priced.settings
    )


def settings_of(changes: Mapping[str, Any]) -> list[str]:
    """Return changes of prices as `launch.py price --set` takes them; chip numbers may be written `chip={"name": number}`."""
    texts = []
    for name, value in changes.items():
        if name == "chip" and isinstance(value, Mapping):
            texts += [f"chip.{key}={number}" for key, number in value.items()]
        else:
            texts.append(f"{name}={value}")
    return texts
