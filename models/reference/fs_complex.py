"""The Few-Spikes neuron for the complex soft threshold, plainly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import F32, Array
from models.reference import fs


class Neurons(fs.Neurons):
    """The units of a population, for one sequence: two for each complex number."""

    def steps_of(self, sums: Mapping[str, Array]) -> Array:
        """Return the values (units,), in steps and with their sign, that follow the sums."""
        return self.quantiser.signed_steps(self.shrunk(sums))

    def shrunk(self, sums: Mapping[str, Array]) -> F32:
        """Return the values (units,) behind the soft threshold, float32."""
        own = self.pre_activation(sums)
        parts = np.asarray(own + sums.get("drive", np.zeros_like(own)), np.float32).reshape(-1, 2)
        theta = self._vectors["theta"].reshape(-1, 2)[:, 0]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            size = np.sqrt(parts[:, 0] * parts[:, 0] + parts[:, 1] * parts[:, 1])
            factor = np.float32(1) - theta / size
            shrunk = np.where((size > theta)[:, None], parts * factor[:, None], np.float32(0))
        return np.asarray(shrunk.reshape(-1), np.float32)
