"""The constants of a DNN's image as tiles ask for them: weights, tables, and tensors that are constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from host.mapping.dnn_tensors import TensorPlace, row_of
from models.dnn.program import aligned
from models.network import Array


class Constants:
    """Constants as they are added: each lies where the first of its key and content did."""

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self.content = bytearray()
        self._addresses: dict[tuple[object, ...], int] = {}

    def store(self, key: tuple[object, ...], content: Callable[[], bytes]) -> int:
        """Keep bytes under a key; return their address."""
        if key not in self._addresses:
            raw = content()
            self._addresses[key] = self._begin + len(self.content)
            self.content += raw.ljust(aligned(len(raw)), b"\0")
        return self._addresses[key]

    def rewind(self, size_bytes: int) -> None:
        """Forget what was kept behind so many bytes."""
        del self.content[size_bytes:]
        self._addresses = {key: at for key, at in self._addresses.items() if at < self._begin + size_bytes}


def place_constant(name: str, array: Array, samples: int, constants: Constants) -> TensorPlace:
    """Keep a tensor that is a constant, once for each sample; return its place."""
    row = row_of(array.shape)
    place = TensorPlace(address=0, shape=array.shape, row=row, pitch=aligned(row), samples=samples, of_pass=False)
    repeated = np.repeat(np.asarray(array, np.int8)[None], samples, axis=0)
    return replace(place, address=constants.store(("tensor", name), lambda: place.content(repeated)))
