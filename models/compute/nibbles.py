"""A stored weight by its number, in compiled code: of arrays of bytes, which hold two weights of four bits each, the half byte."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload


def weight_at(values: Any, k: Any) -> Any:
    """Return weight `k` of a row of stored weights: an element, or of uint8 a half byte (`models/nibbles.py`), as int8."""
    raise NotImplementedError("is called by compiled code alone")


@overload(weight_at, jit_options={"error_model": "numpy", "forceinline": True})
def _weight_at(values: Any, k: Any) -> Any:  # noqa: ARG001 - numba's form
    if isinstance(values, types.Array) and values.dtype == types.uint8:

        def half(values: Any, k: Any) -> Any:
            at_top = np.int32(np.uint32(values[k >> 1]) << np.uint32(28 - ((k & 1) << 2)))
            return np.int8(at_top >> 28)

        return half

    def element(values: Any, k: Any) -> Any:
        return values[k]

    return element
