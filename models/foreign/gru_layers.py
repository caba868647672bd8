"""A GRU's layers, in the order of gates of an EGRU, and their twins: what mirroring does and undoes.

`models/importers/gru.py` says why a mirrored GRU is exact. It knows matrices, not keys or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.kernels import egru_cell
from models.kernels.egru import GATES, INPUT, RECURRENT, layer_of
from models.network import F32, Network, Population, SparseRows

_SWAPPED = (1, 0, 2)  # r z n <-> z r g


@dataclass(frozen=True, eq=False)
class GruLayer:
    """A GRU layer of H units and C inputs, gates in the order z, r, g: kernel (3H, C), recurrent (3H, H), two biases (3H,)."""

    kernel: F32
    recurrent: F32
    bias: F32
    recurrent_bias: F32

    @property
    def units(self) -> int:
        """Number of units H."""
        return int(self.recurrent.shape[1])

    @property
    def arrays(self) -> tuple[F32, F32, F32, F32]:
        """Its four arrays."""
        return self.kernel, self.recurrent, self.bias, self.recurrent_bias

    def with_twins(self, hears_twins: bool) -> GruLayer:
        """Return the layer of 2 H units in which unit H + i has the state of unit i with the other sign.

        `hears_twins`: its input has twins too, as every layer's but the first.
        """
        kernel = np.concatenate([self.kernel, -self.kernel], axis=1) if hears_twins else self.kernel
        recurrent = np.concatenate([self.recurrent, -self.recurrent], axis=1)
        return GruLayer(*(_twice(rows) for rows in (kernel, recurrent, self.bias, self.recurrent_bias)))

    def without_twins(self, hears_twins: bool) -> GruLayer | None:
        """Return the layer of which this one is `with_twins`; None where it is of none."""
        if self.units % 2 or (hears_twins and self.kernel.shape[1] % 2):
            return None
        kernel = self.kernel[:, : self.kernel.shape[1] // 2] if hears_twins else self.kernel
        recurrent = self.recurrent[:, : self.units // 2]
        half = GruLayer(*(_once(rows) for rows in (kernel, recurrent, self.bias, self.recurrent_bias)))
        pairs = zip(half.with_twins(hears_twins).arrays, self.arrays, strict=True)
        return half if all(np.array_equal(twice, rows) for twice, rows in pairs) else None


def swapped(rows: F32) -> F32:
    """Return gate rows r, z, n in the order z, r, g, and the other way round."""
    gates = np.split(rows, GATES)
    return np.concatenate([gates[gate] for gate in _SWAPPED])


def _twice(rows: F32) -> F32:
    """Return gate rows for units and their twins: z and r the same, g with the other sign."""
    z, r, g = np.split(rows, GATES)
    return np.concatenate([z, z, r, r, g, -g])


def _once(rows: F32) -> F32:
    """Return the gate rows of the units without their twins."""
    return np.concatenate([gate[: len(gate) // 2] for gate in np.split(rows, GATES)])


def network_of(layers: Sequence[GruLayer], mirrored: bool, *, inside: bool = False) -> Network:
    """Return the network of EGRU layers at threshold 0: with twins, or unit for unit.

    `inside`: the reset gates are inside the recurrent product, where a recurrent bias has no place: `bias` is all.
    """
    populations = [Population("input", layers[0].kernel.shape[1])]
    for number, layer in enumerate(layers, start=1):
        whole = layer.with_twins(number > 1) if mirrored else layer
        kernel, recurrent = SparseRows.from_dense(whole.kernel), SparseRows.from_dense(whole.recurrent)
        threshold = np.zeros(whole.units, np.float32)
        if inside:
            populations += egru_cell.layer_of(
                len(populations), len(populations) - 1, kernel=kernel, recurrent=recurrent, bias=whole.bias, threshold=threshold,
                params={"zoneout": 0.0}, name=str(number),
            )  # fmt: skip
            continue
        vectors = {"threshold": threshold, "bias": whole.bias, "recurrent_bias": whole.recurrent_bias}
        populations.append(layer_of(number, kernel, recurrent, vectors, {"zoneout": 0.0}))
    return Network(tuple(populations))


def layer_in(population: Population) -> GruLayer:
    """Return the matrices and biases of an EGRU layer."""
    rows = {projection.port: projection.weights.to_dense() for projection in population.projections}
    return GruLayer(rows[INPUT], rows[RECURRENT], population.vectors["bias"], population.vectors["recurrent_bias"])


def never_negative(layers: Sequence[GruLayer]) -> bool:
    """Say whether the weights alone keep every state of every layer at 0 or above, for inputs from -1 to 1.

    A state is a mean of candidates, beginning at 0, so this holds where no candidate can be negative: where the smallest
    argument of its tanh is not, over inputs, states in [0, 1] and reset gates in [0, 1].
    """
    for number, layer in enumerate(layers):
        h = layer.units
        kernel, recurrent = (rows[2 * h :].astype(np.float64) for rows in (layer.kernel, layer.recurrent))
        heard = -np.abs(kernel).sum(axis=1) if number == 0 else np.minimum(kernel, 0).sum(axis=1)
        fed_back = np.minimum(layer.recurrent_bias[2 * h :] + np.minimum(recurrent, 0).sum(axis=1), 0)
        if np.any(layer.bias[2 * h :] + heard + fed_back < 0):
            return False
    return True
