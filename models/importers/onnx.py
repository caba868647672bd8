"""ONNX: DNNs in float32, or quantised (QDQ), read without the onnx package (`models/foreign/onnx_file.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.foreign.request import ImportRequest
from models.importers import Flags, Head

if TYPE_CHECKING:
    from models.foreign.request import DnnFindings

KNOWN_BY = "ONNX graph"
MAKES = "dnn"
DIRECT = (".onnx",)
_BY_NAME, _BY_CONTENT = 80, 50


def add_flags(parser: Flags) -> None:
    """Add the flag by which a user says what a file leaves open."""
    text = "shape of an input that the file leaves open, as in 1,3,32,32 or NAME=1,3,32,32; may be repeated"
    parser.add_argument("--shape", metavar="SHAPE", action="append", help=text)


def probe(head: Head) -> int:
    """Return how certain it is that the file is ONNX."""
    from models.foreign.onnx_file import is_onnx

    if head.path.suffix in DIRECT:
        return _BY_NAME
    return _BY_CONTENT if is_onnx(head.start) else 0


def read(path: Path, request: ImportRequest) -> DnnFindings:
    """Return the DNN in a file; ModelError, in one line, where it is damaged or has what cannot be run."""
    from models.foreign.import_dnn import findings_of, origin_of
    from models.foreign.onnx_file import read_onnx

    file = read_onnx(path)
    description = [("kind", f"ONNX, operators of version {file.opset}" + (f", by {file.producer}" if file.producer else ""))]
    origin = {**origin_of(path), "importer": "onnx", "producer": file.producer}
    return findings_of(f"import {path}", file.graph, request, description, origin)
