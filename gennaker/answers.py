"""`Bottleneck`: where a run's time goes on the chip, and what takes the largest share of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gennaker.rich_text import html_table
from host.cost.bottleneck import Bottleneck as PricedBottleneck


@dataclass(frozen=True, kw_only=True)
class Bottleneck(PricedBottleneck):
    """Where the time goes, in a sentence and in figures. Shares are of the run's time on the chip, from 0 to 1.

    `layer` and `stage` take the largest `share` of all, `time_s`; `kind` is the kind of work with the largest share. `by_layer`,
    `by_stage`, `by_kind`: shares by name, the largest first. Where layers work side by side (`pipelined`), those of layers do not
    add up to 1, and stages and kinds are of the slowest layer alone. `words`: what stages are called in a sentence. `advice` says
    what would help most (`run.what_if()` has all of it).

    >>> slow = run.bottleneck
    >>> slow.layer, slow.stage
    ('egru1', 'pointwise')
    >>> abs(sum(slow.by_layer.values()) - 1) < 1e-9
    True
    """

    sentence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.sentence}\n{self.advice}"

    def _repr_html_(self) -> str:
        rows = [[stage, f"{100 * share:.1f}"] for stage, share in self.by_stage.items()]
        return html_table(["stage", "% of the time"], rows, title=self.sentence, note=self.advice)


def bottleneck_from(answers: Mapping[str, Any]) -> Bottleneck:
    """Return the bottleneck in answers (`host/show/answers.py`)."""
    return Bottleneck(**answers["bottleneck"], advice=answers["advice"]["sentence"])
