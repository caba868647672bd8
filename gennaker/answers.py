"""`Bottleneck`: where a run's time goes on the chip, and what takes the largest share of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gennaker.rich_text import html_table


@dataclass(frozen=True, kw_only=True)
class Bottleneck:
    """Where the time goes. Shares are of the run's time on the chip, from 0 to 1; the largest stands first.

    `layer` and `stage` take the largest `share` of all. `advice` says what would help most (`run.what_if()` has all of it).

    >>> slow = run.bottleneck
    >>> slow.layer, slow.stage
    ('egru1', 'pointwise')
    >>> abs(sum(slow.by_layer.values()) - 1) < 1e-9
    True
    """

    sentence: str
    advice: str
    layer: str
    stage: str
    share: float
    by_layer: Mapping[str, float]
    by_stage: Mapping[str, float]
    by_kind: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.sentence}\n{self.advice}"

    def _repr_html_(self) -> str:
        rows = [[stage, f"{100 * share:.1f}"] for stage, share in self.by_stage.items()]
        return html_table(["stage", "% of the time"], rows, title=self.sentence, note=self.advice)


def bottleneck_from(answers: Mapping[str, Any]) -> Bottleneck:
    """Return the bottleneck in answers (`host/show/answers.py`)."""
    slow = answers["bottleneck"]
    return Bottleneck(
        sentence=slow["sentence"], advice=answers["advice"]["sentence"], layer=slow["layer"], stage=slow["stage"],
        share=slow["share"], by_layer=slow["by_layer"], by_stage=slow["by_stage"], by_kind=slow["by_kind"],
    )  # fmt: skip
