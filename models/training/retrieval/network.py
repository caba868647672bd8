"""S-LISTA in torch: layers x' = S_theta(k * x + gain z), with a circular convolution k, a gain and a threshold each.

It begins as so many steps of ISTA: k = delta - mu B, gain = mu, theta = mu lambda. A mu of 1, above what lets ISTA converge (for
twice as many cells as samples, 1/2 is what it always does), cancels what other targets add to a cell in few steps, and is a
better beginning.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.retrieval.grid import Grid
from models.training.retrieval.activations import Shrink


class SLista(torch.nn.Module):
    """The unrolled network; kernels are complex, (layers, *cells) in the place of cells' differences."""

    def __init__(self, grid: Grid, layers: int, step: float, weight: float) -> None:
        super().__init__()
        start = -step * grid.gram()
        start.flat[0] += 1
        kernels = torch.view_as_real(torch.tensor(np.stack([start] * layers).astype(np.complex64)))
        self.kernels = torch.nn.Parameter(kernels.contiguous())
        self.gains = torch.nn.Parameter(torch.full((layers,), step))
        self.thresholds = torch.nn.Parameter(torch.full((layers,), step * weight))
        self._axes = grid.axes

    def forward(self, filtered: Tensor) -> list[Tensor]:
        """Return x (many, *cells) behind each layer for matched filters of that shape."""
        outputs: list[Tensor] = []
        kernels = torch.fft.fftn(torch.view_as_complex(self.kernels), dim=self._axes)
        spectrum = torch.fft.fftn(filtered, dim=self._axes)
        for layer, (gain, threshold) in enumerate(zip(self.gains, self.thresholds.abs(), strict=True)):
            if outputs:
                heard = torch.fft.fftn(outputs[-1], dim=self._axes) * kernels[layer] + gain * spectrum
                drive = torch.fft.ifftn(heard, dim=self._axes)
            else:
                drive = gain * filtered
            outputs.append(Shrink.apply(drive, threshold))  # type: ignore[no-untyped-call]
        return outputs
