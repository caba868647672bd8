"""Seeded networks whose units fire as often as asked: from none to all of them.

Trained networks have the activity that training gave them; an experiment over activity needs it as a knob. One number a
layer, its drive, moves the thresholds from 1 (nothing fires: a state is at most 1) down to 0 (about half fires), and
beyond that raises the candidate's bias until all fire. It is found by bisection on the plain reference, layer by layer,
so it is the same on every machine. What a run then shows is near the target, not equal to it: say what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models.kernels.egru import INPUT, RECURRENT
from models.network import F32, ModelError, Network, Population
from models.reference import Reference

_ONLY_THRESHOLDS = 0.1  # up to this drive; thresholds spread by 0.05 around their mean, so all of them are 0 there
_LOWEST, _HIGHEST = -1.1, 1.1
_BIAS = 10.0  # of the candidate, for each unit of drive beyond
_CERTAIN = 50.0  # a bias with which every unit fires
_STEPS = 9  # of the bisection: thresholds to 0.005
_WARM_UP = 3  # positions that are not counted, because states begin at zero


def at_activity(network: Network, target: float, inputs: F32) -> Network:
    """Return `network` with thresholds and biases moved so that a share `target`, 0 to 1, of each layer's units fires.

    `inputs` (positions, input units) float32, more than a few positions, is what the activity is measured with. ModelError for
    anything but a line of EGRU layers: what drives other neurons is theirs to say.
    """
    for number in network.layers:
        layer = network.populations[number]
        hears = {(projection.port, projection.source, projection.delay) for projection in layer.projections}
        if layer.kernel != "egru" or hears != {(INPUT, number - 1, 0), (RECURRENT, number, 1)}:
            raise ModelError(f"activity: {layer.name} is no layer of a line of EGRUs; only of those it can be set")
    populations = [network.populations[0]]
    heard = list(inputs)
    for number in network.layers:
        layer = network.populations[number]
        if target <= 0 or target >= 1:
            chosen = _driven(layer, _LOWEST if target <= 0 else _HIGHEST, _CERTAIN if target >= 1 else None)
        else:
            low, high = _LOWEST, _HIGHEST
            for _ in range(_STEPS):
                middle = (low + high) / 2
                low, high = (middle, high) if _activity(_outputs(layer, _driven(layer, middle), heard)) < target else (low, middle)
            chosen = _driven(layer, (low + high) / 2)
            heard = _outputs(layer, chosen, heard)
        populations.append(replace(layer, vectors={**layer.vectors, **chosen}))
    return Network(tuple(populations))


def _driven(layer: Population, drive: float, bias: float | None = None) -> Mapping[str, F32]:
    """Return the vectors that a drive changes."""
    old = layer.vectors["threshold"]
    spread = old - old.mean(dtype=np.float64).astype(np.float32)
    threshold = np.clip(spread - np.float32(drive), np.float32(0), np.float32(1)).astype(np.float32)
    more = _BIAS * max(0.0, drive - _ONLY_THRESHOLDS) if bias is None else bias
    raised = layer.vectors["bias"].copy()
    raised[2 * layer.units :] += np.float32(more)
    return {"threshold": threshold, "bias": raised}


def _outputs(layer: Population, changed: Mapping[str, F32], heard: list[F32]) -> list[F32]:
    """Return what a layer sends on what it hears, position by position."""
    alone = tuple(replace(p, source=int(p.port == RECURRENT)) for p in layer.projections)
    driven = replace(layer, projections=alone, vectors={**layer.vectors, **changed})
    reference = Reference(Network((Population("input", len(heard[0])), driven)))
    return [reference.step({0: x})[1][0] for x in heard]


def _activity(outputs: list[F32]) -> float:
    return float(np.mean([np.count_nonzero(y) / len(y) for y in outputs[_WARM_UP:]]))
