"""A torch module that is a DNN, exported in the user's own process: torch is theirs, and only its export is called."""

from __future__ import annotations

import io
import sys
from typing import Any

from models.foreign.import_dnn import findings_of
from models.foreign.pt2_file import read_export
from models.foreign.request import DnnFindings, ImportRequest
from models.network import ModelError, in_one_line


def dnn_of_module(module: Any, example: Any, request: ImportRequest) -> DnnFindings:
    """Return the DNN of a `torch.nn.Module`, traced with an example input (a tensor, or a tuple of them).

    The module is put into evaluation mode meanwhile. ModelError where torch cannot export it, or it has what cannot be run.
    """
    torch: Any = sys.modules["torch"]
    who = f"load {type(module).__name__}"
    arguments = example if isinstance(example, tuple) else (example,)
    arguments = tuple(one if isinstance(one, torch.Tensor) else torch.as_tensor(one) for one in arguments)
    training, program = module.training, io.BytesIO()
    try:
        module.eval()
        with torch.no_grad():
            torch.export.save(torch.export.export(module, arguments), program)
    except Exception as error:  # of torch's own, from anywhere in the user's module
        raise ModelError(f"{who}: torch.export cannot export it with this example ({in_one_line(error)})") from error
    finally:
        module.train(training)
    try:
        graph, version = read_export(program)
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from None
    description = [("kind", f"torch module, exported by torch {version}")]
    return findings_of(who, graph, request, description, {"imported_from": type(module).__name__, "importer": "pt2"})
