"""A torch module at hand, imported as its state_dict is. torch is not imported: whoever has a module has it.

A module says more than its state_dict: which layers are linear, what follows them in an nn.Sequential, the zoneout of EvNN's
layers. What its forward does beside that, nobody can see, and notes say what was taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from models import importers
from models.families import member_names
from models.foreign.import_model import choose_importer, with_record
from models.foreign.request import Findings, ImportRequest
from models.foreign.state_dict import StateDict, read_part
from models.foreign.torch_file import Tensor
from models.importers import Head, TensorImporter
from models.network import Array, ModelError, in_one_line

_ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
_SILENT = ("Identity", "Dropout", "Dropout1d", "AlphaDropout", "Flatten")  # change no number once training is over
_ZONEOUT = "zoneout"


def is_module(thing: Any) -> bool:
    """Tell whether something is a module of torch's, or does what one does."""
    return all(callable(getattr(thing, name, None)) for name in ("state_dict", "named_modules"))


def model_of_module(module: Any, request: ImportRequest | None = None) -> Findings:
    """Return the model in a torch module, and what was found and done: what `import_model` returns of its saved state_dict.

    Args:
        module: a torch.nn.Module with one GRU or stack of EGRU layers; tensors of any device. It is not changed.
        request: options, as for a file; None: the importers' defaults.

    Raises:
        ModelError: one line, where it is no module, or has nothing that an importer knows.

    """
    request = request or ImportRequest()
    request.check()
    if not is_module(module):
        raise ModelError(f"load: needs a file or a torch.nn.Module, has a {type(module).__name__}")
    kind = type(module).__name__
    state = _state_of(f"module {kind}", module)
    part = state.plain_part(request.prefix)
    keys = tuple(part.tensors)
    head = Head(Path(kind), b"", keys, tuple(map(part.key_in_file, keys)))
    name = request.importer or choose_importer(state.who, head, request.prefix)
    importer = importers.named(name)
    if not hasattr(importer, "read_tensors"):
        able = [name for name in member_names(importers) if hasattr(importers.named(name), "read_tensors")]
        raise ModelError(f"{state.who}: the importer {name!r} reads files alone; of modules {' or '.join(able)}")
    importers.check_options(state.who, name, request.given)
    findings = read_part(state, request, cast(TensorImporter, importer).read_tensors)
    return with_record(findings, request, {"imported_from": f"torch module {kind}"})


def _state_of(who: str, module: Any) -> StateDict:
    entries = {key: tensor for key, tensor in module.state_dict().items() if hasattr(tensor, "detach")}
    modules: dict[str, Any] = dict(module.named_modules())
    others = frozenset(name for name, part in modules.items() if hasattr(part, "weight") and not _is_a(part, "Linear"))
    zoneouts = {float(part.zoneout) for part in modules.values() if isinstance(getattr(part, _ZONEOUT, None), int | float)}
    facts = {_ZONEOUT: [zoneouts.pop()]} if len(zoneouts) == 1 else {}
    activations = {
        stem: activation
        for name, part in modules.items()
        if _is_a(part, "Sequential")
        for stem, activation in _in_sequence(name, list(part.named_children()), is_whole=part is module)
    }
    tensors = {key: _tensor(f"{who}: {key}", tensor) for key, tensor in entries.items()}
    return StateDict(who, tensors, activations=activations, others=others, facts=facts)


def _is_a(part: Any, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(part).__mro__)


def _in_sequence(name: str, children: list[tuple[str, Any]], is_whole: bool) -> Iterator[tuple[str, str]]:
    """Yield what follows each linear layer of a sequence, as a name of ours, or in words where there is none.

    What follows the last one is known where the sequence is the whole module.
    """
    for place, (child, part) in enumerate(children):
        if not _is_a(part, "Linear"):
            continue
        behind = []
        for _, other in children[place + 1 :]:
            if other.state_dict():
                break
            behind.append(type(other).__name__)
        names = [kind for kind in behind if kind not in _SILENT]
        if names or is_whole or place + 1 + len(behind) < len(children):
            words = _ACTIVATIONS.get(names[0], f"a {names[0]}") if len(names) == 1 else f"a {' and a '.join(names)}"
            yield (f"{name}.{child}" if name else child), (words if names else "linear")


def _tensor(who: str, tensor: Any) -> Tensor:
    dtype = str(tensor.dtype).removeprefix("torch.")

    def read() -> Array:
        try:
            plain = tensor.detach().cpu()
            if dtype != "bfloat16":
                array: Array = plain.numpy()
                return array
            bits: Array = (np.ascontiguousarray(plain.float().numpy()).view(np.uint32) >> 16).astype(np.uint16)
            return bits
        except Exception as error:  # torch's own, of several kinds: on no device, sparse, quantised, not yet initialised
            raise ModelError(f"{who}: cannot be read ({in_one_line(error)})") from error

    return Tensor(tuple(tensor.shape), dtype, read)
