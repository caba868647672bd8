"""S-LISTA in torch: layers x' = S_theta(k * x + gain z), with a circular convolution k, a gain and a threshold each.

It begins as ISTA: k = delta - mu B, gain = mu, theta = mu lambda.
"""

from __future__ import annotations

import numpy as np
import torch

from models.retrieval.grid import Grid

WEIGHT = 0.1  # lambda of the 1-norm at the start


class SLista(torch.nn.Module):
    """The unrolled network; kernels are complex, (layers, *cells) in the place of cells' differences."""

    def __init__(self, grid: Grid, layers: int) -> None:
        super().__init__()
        start = -grid.step * grid.gram()
        start.flat[0] += 1
        kernels = torch.view_as_real(torch.tensor(np.stack([start] * layers).astype(np.complex64)))
        self.kernels = torch.nn.Parameter(kernels.contiguous())
        self.gains = torch.nn.Parameter(torch.full((layers,), grid.step))
        self.thresholds = torch.nn.Parameter(torch.full((layers,), grid.step * WEIGHT))
        self._axes = grid.axes

    def forward(self, filtered: torch.Tensor) -> list[torch.Tensor]:
        """Return x (many, *cells) behind each layer for matched filters of that shape."""
        x, outputs = None, []
        spectra = torch.fft.fftn(torch.view_as_complex(self.kernels), dim=self._axes)
        for layer in range(len(self.gains)):
            drive = self.gains[layer] * filtered
            if x is not None:
                drive = drive + torch.fft.ifftn(torch.fft.fftn(x, dim=self._axes) * spectra[layer], dim=self._axes)
            size = torch.sqrt(drive.real**2 + drive.imag**2 + 1e-20)
            x = drive * torch.relu(1 - self.thresholds[layer].abs() / size)
            outputs.append(x)
        return outputs
