"""OPT-125M by its shapes alone, reading so many tokens: `opt-125m:512`."""

from __future__ import annotations

from collections.abc import Sequence

from host.errors import HostError
from host.mapping.tiling import LayerWork
from models.dnn.opt_shapes import BLOCKS, block

_NAME, _MOST = "opt-125m", 2048  # its context


def takes(model: str) -> bool:
    """Tell whether the model's name is meant."""
    return model.partition(":")[0] == _NAME


def works(model: str) -> tuple[str, Sequence[LayerWork]]:
    """Return a title, and the layers of a block, each as often as there are blocks; HostError for no number of tokens."""
    _, _, suffix = model.partition(":")
    if not (suffix.isascii() and suffix.isdecimal() and len(suffix) < 6 and 1 <= int(suffix) <= _MOST):
        raise HostError(f"MODEL {model}: needs {_NAME}:TOKENS, 1 to {_MOST} tokens, such as {_NAME}:512")
    return f"{_NAME}, {int(suffix)} tokens (shapes alone)", opt_works(int(suffix))


def opt_works(tokens: int) -> list[LayerWork]:
    """Return the layers of a block."""
    return [LayerWork(name=name, kind=kind, work=work, times=BLOCKS) for name, kind, work in block(tokens)]
