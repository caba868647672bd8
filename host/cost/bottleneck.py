"""The bottleneck of a priced run: which layer and stage take the largest share of its time, and which kind of work.

It follows from the priced stages alone. Layers side by side (`schedule=pipelined`) share the run's time: what sets its pace is
the layer that is busy longest. Of layers in line, each takes its own share of the time; where the network branches, only what
lies on the longest path of a position counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from host.cost.cycles import LINKS, SEND, TRANSFERS, UNITS, WAIT
from host.cost.ledger import RunLedger
from host.cost.priced import Priced
from host.cost.twins import stage_words

MULTIPLY = "multiplying"
_KINDS = {
    UNITS: "the units' own steps", SEND: "sending events", LINKS: "links between chips", WAIT: "waiting for DRAM",
    TRANSFERS: "exchanging data",
}  # fmt: skip
"""The kinds of work of stages that every network may have; all others multiply weights."""


@dataclass(frozen=True, kw_only=True)
class Bottleneck:
    """Where the time goes. Shares are of the run's time, from 0 to 1.

    `layer` and `stage` take the largest `share` of all, `time_s`; `kind` is the kind of work with the largest share. `by_layer`,
    `by_stage`, `by_kind`: shares by name, the largest first. Where layers work side by side (`pipelined`), those of layers do not
    add up to 1, and stages and kinds are of the slowest layer alone. `words`: what stages are called in a sentence.
    """

    layer: str
    stage: str
    kind: str
    share: float
    time_s: float
    pipelined: bool
    by_layer: Mapping[str, float]
    by_stage: Mapping[str, float]
    by_kind: Mapping[str, float]
    words: Mapping[str, str]

    def described(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items()}


def kind_of(stage: str) -> str:
    """Return the kind of work of a stage, in words."""
    return _KINDS.get(stage, MULTIPLY)


def bottleneck_of(priced: Priced, ledger: RunLedger) -> Bottleneck | None:
    """Return the bottleneck of a priced run; None where it took no time."""
    pipelined = priced.settings["schedule"] == "pipelined"
    seconds = {layer: dict(stages) for layer, stages in priced.stages_s.items()}
    if not pipelined:
        for layer, stages in seconds.items():
            whole = sum(stages.values())
            on_path = priced.path_s[layer] / whole if whole else 0.0
            seconds[layer] = {stage: on_path * s for stage, s in stages.items()}
    of_layer = {layer: sum(stages.values()) for layer, stages in seconds.items()}
    # Side by side, the layer that is busy longest sets the pace; stages are told as shares of that layer's time.
    slowest = max(of_layer, key=lambda layer: of_layer[layer], default="")
    whole_s = priced.time_s if pipelined else sum(of_layer.values())
    if not slowest or whole_s <= 0 or of_layer[slowest] <= 0:
        return None
    counted = {slowest: seconds[slowest]} if pipelined else seconds
    by_layer = {layer: s / whole_s for layer, s in of_layer.items()}
    by_stage, by_kind = dict[str, float](), dict[str, float]()
    for stages in counted.values():
        for stage, s in stages.items():
            by_stage[stage] = by_stage.get(stage, 0.0) + s / whole_s
            by_kind[kind_of(stage)] = by_kind.get(kind_of(stage), 0.0) + s / whole_s
    layer, stage = max(
        ((layer, stage) for layer, stages in counted.items() for stage in stages), key=lambda cell: seconds[cell[0]][cell[1]]
    )
    return Bottleneck(
        layer=layer, stage=stage, kind=max(by_kind, key=lambda name: by_kind[name]), share=seconds[layer][stage] / whole_s,
        time_s=seconds[layer][stage], pipelined=pipelined, by_layer=_largest_first(by_layer), by_stage=_largest_first(by_stage),
        by_kind=_largest_first(by_kind), words=stage_words([ledger.populations[n].kernel for n in ledger.layers]),
    )  # fmt: skip


def _largest_first(shares: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
