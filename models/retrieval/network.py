"""S-LISTA as a network of Few-Spikes neurons: trained kernels, gains and thresholds in, populations and projections out.

Layer l computes x' = S_theta(k_l * x + gain_l z): the first from z alone, all in K bits. z is the matched filter, an input of
float32 numbers; unit 2c is the real part of cell c and 2c + 1 the imaginary one, cells in C order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from models.few_spikes import FILL, Quantiser
from models.network import F32, Array, ModelError, Network, Population, Projection, SparseRows
from models.retrieval.grid import C64, Grid
from models.spiking import vectors_of

MOST_LAYERS = 32
ROUNDINGS = ("half-up", "floor")
_MOST = 127  # of a weight of 8 bits: -128 never arises


class LayerSteps(NamedTuple):
    """What the integer CNN has behind a layer: `steps` (many, 2 cells) int64, and how many values were too large for K bits."""

    steps: Array
    saturations: int


@dataclass(frozen=True, eq=False)
class Unrolled:
    """What was trained: `kernels` (layers, *cells) complex64, `gains`, `thresholds` and `alphas` (layers,) float32.

    `alphas` are powers of two that the parts of each layer's values stay below. ModelError for what does not fit together.
    """

    grid: Grid
    kernels: C64
    gains: F32
    thresholds: F32
    alphas: F32
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = len(self.gains)
        if not 1 <= layers <= MOST_LAYERS or self.kernels.shape != (layers, *self.grid.cells):
            raise ModelError(f"S-LISTA: kernels of {self.kernels.shape} for {layers} layers on {self.grid.cells} cells")
        if not self.thresholds.shape == self.alphas.shape == (layers,):
            raise ModelError(f"S-LISTA: {self.thresholds.shape} thresholds and {self.alphas.shape} alphas for {layers} layers")

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.gains)

    def first(self, layers: int) -> Unrolled:
        """Return the first so many layers; ModelError for more than there are."""
        if not 1 <= layers <= self.layers:
            raise ModelError(f"--layers {layers}: the model has {self.layers}; use 1 to {self.layers}")
        gains, thresholds, alphas = (array[:layers] for array in (self.gains, self.thresholds, self.alphas))
        return Unrolled(self.grid, self.kernels[:layers], gains, thresholds, alphas, self.record)

    def values(self, filtered: C64) -> list[C64]:
        """Return what the CNN with these weights makes of matched filters (many, *cells) in float32: x behind each layer."""
        return self._values(filtered, None, True)

    def _values(self, filtered: C64, bits: int | None, rounds: bool) -> list[C64]:
        x, outputs = None, list[C64]()
        for layer in range(self.layers):
            drive = self.gains[layer] * filtered.astype(np.complex64)
            if x is not None:
                drive = drive + self._convolved(x, self.kernels[layer])
            size = np.abs(drive)
            factor = np.maximum(0, 1 - self.thresholds[layer] / np.maximum(size, 1e-30))
            x = np.asarray(drive * factor, np.complex64)
            if bits is not None:
                params = {"bits": float(bits), "alpha": float(self.alphas[layer]), "rounds": float(rounds)}
                x = self.of_steps(Quantiser(params).signed_steps(to_units(x)), layer, bits)
            outputs.append(x)
        return outputs

    def _convolved(self, x: Array, kernel: Array) -> Array:
        """Return the circular convolution of x (many, *cells) with a kernel (*cells), complex128."""
        spectra = np.fft.fftn(x.astype(np.complex128), axes=self.grid.axes) * np.fft.fftn(kernel.astype(np.complex128))
        return np.asarray(np.fft.ifftn(spectra, axes=self.grid.axes))

    def steps(self, filtered: C64, bits: int, *, rounds: bool = True) -> list[Array]:
        """Return what the integer CNN makes of matched filters, (many, 2 cells) int64 behind each layer."""
        return [layer.steps for layer in self.quantised_layers(filtered, bits, rounds=rounds)]

    def quantised_layers(self, filtered: C64, bits: int, *, rounds: bool = True) -> list[LayerSteps]:
        """Return what the integer CNN makes of matched filters (many, *cells): the steps behind each layer, (many, 2 cells) int64.

        Its weights are those of int8, and its activations go through the same K-bit quantiser: a run sends this, to the bit.
        """
        outputs, z = list[LayerSteps](), to_units(filtered)
        for layer in range(self.layers):
            x = np.zeros(z.shape, np.float32)
            if layer:
                (real, imaginary), scale = quantised(self.kernels[layer])
                steps = outputs[-1].steps.astype(np.float64).view(np.complex128).reshape(-1, *self.grid.cells)
                sums = self._convolved(steps, real + 1j * imaginary.astype(np.float64))
                whole = np.rint(np.ascontiguousarray(sums).view(np.float64)).reshape(z.shape)  # an FFT is off by 0.001 at most
                x = np.float32(scale * self.alphas[layer - 1] / 2**bits) * whole.astype(np.float32)
            parts = (x + self.gains[layer] * z).reshape(len(z), -1, 2)
            theta = self.thresholds[layer]
            with np.errstate(divide="ignore", invalid="ignore"):
                size = np.sqrt(parts[:, :, 0] * parts[:, :, 0] + parts[:, :, 1] * parts[:, :, 1])
                shrunk = np.where((size > theta)[:, :, None], parts * (np.float32(1) - theta / size)[:, :, None], np.float32(0))
            params = {"bits": float(bits), "alpha": float(self.alphas[layer]), "rounds": float(rounds)}
            quantiser, values = Quantiser(params), shrunk.reshape(len(z), -1).astype(np.float32)
            outputs.append(LayerSteps(quantiser.signed_steps(values), quantiser.saturated(values)))
        return outputs

    def quantised_values(self, filtered: C64, bits: int, *, rounds: bool = True) -> list[C64]:
        """Return what the CNN with weights of float32 makes where activations have K bits: near a run with such weights, not to the
        bit (a run adds bit by bit in ascending unit).
        """
        return self._values(filtered, bits, rounds)

    def of_steps(self, steps: Array, layer: int, bits: int) -> C64:
        """Return steps (many, 2 cells) behind a layer, from 0, as values (many, *cells)."""
        return from_units(steps.astype(np.float32) * np.float32(self.alphas[layer] / 2**bits), self.grid)

    @cached_property
    def _differences(self) -> Array:
        """The place in a kernel, in C order, that leads from each cell (second) to each cell (first)."""
        places = np.stack(np.unravel_index(np.arange(self.grid.points), self.grid.cells))
        apart = places[:, :, None] - places[:, None, :]
        return np.asarray(np.ravel_multi_index(tuple(apart), self.grid.cells, mode="wrap"), np.int64)

    def _matrix(self, real: Array, imaginary: Array) -> Array:
        """Return the matrix (2 cells, 2 cells) of a circular convolution of pairs: [[real, -imaginary], [imaginary, real]]."""
        cells = self.grid.points
        matrix = np.empty((cells, 2, cells, 2), real.dtype)
        matrix[:, 0, :, 0] = matrix[:, 1, :, 1] = real.reshape(-1)[self._differences]
        matrix[:, 1, :, 0] = imaginary.reshape(-1)[self._differences]
        matrix[:, 0, :, 1] = -imaginary.reshape(-1)[self._differences]
        return matrix.reshape(2 * cells, 2 * cells)

    def network(self, bits: int = 8, *, rounds: bool = True, int8: bool = True) -> Network:
        """Return the network of `fs_complex` populations that sends K bits a value; weights of int8, or float32."""
        units = 2 * self.grid.points
        populations = [Population("filtered", units)]
        nothing = SparseRows.from_dense(np.zeros((units, units), np.float32))
        for layer in range(self.layers):
            gain = 1.0
            drive = SparseRows.from_dense(self.gains[layer] * np.eye(units, dtype=np.float32))
            hears = [Projection(0, "drive", drive)]
            if layer == 0:
                hears.append(Projection(0, "input", nothing))
            elif int8:
                whole, scale = quantised(self.kernels[layer])
                weights = SparseRows.from_dense(self._matrix(*whole))
                gain = float(np.float32(scale * self.alphas[layer - 1] / 2**bits))
                hears.append(Projection(layer, "input", weights))
            else:
                kernel = self.kernels[layer]
                hears.append(Projection(layer, "input", SparseRows.from_dense(self._matrix(kernel.real, kernel.imag))))
            populations.append(
                Population(
                    f"layer{layer + 1}", units, "fs_complex", tuple(hears),
                    vectors_of(units, FILL, gain=gain, theta=float(self.thresholds[layer])),
                    {"bits": float(bits), "alpha": float(self.alphas[layer]), "rounds": float(rounds)},
                    payload="int32" if int8 else "float32",
                )
            )  # fmt: skip
        return Network(tuple(populations))


def quantised(kernel: C64) -> tuple[tuple[Array, Array], float]:
    """Return the real and imaginary part of a kernel as int8, and the scale; one scale, the largest part being 127 of it."""
    largest = max(float(np.abs(kernel.real).max()), float(np.abs(kernel.imag).max()))
    scale = largest / _MOST if largest else 1.0
    real, imaginary = (np.rint(part / scale).astype(np.int8) for part in (kernel.real, kernel.imag))
    return (real, imaginary), scale


def to_units(values: C64) -> F32:
    """Return complex values (many, *cells) as numbers of units, (many, 2 cells)."""
    flat = np.ascontiguousarray(values, np.complex64).reshape(len(values), -1)
    return flat.view(np.float32)


def from_units(numbers: Array, grid: Grid) -> C64:
    """Return numbers of units, (many, 2 cells), as complex values (many, *cells)."""
    flat = np.ascontiguousarray(numbers, np.float32).reshape(len(numbers), 2 * grid.points)  # there may be none of them
    return flat.view(np.complex64).reshape(len(numbers), *grid.cells)


def alphas_for(values: list[C64]) -> F32:
    """Return for each layer the least power of two that all parts of the values are below."""
    tops = [max(float(np.abs(x.real).max()), float(np.abs(x.imag).max()), 2.0**-20) for x in values]
    return np.array([2.0 ** (np.floor(np.log2(top)) + 1) for top in tops], np.float32)
