"""torch.export's files (.pt2): DNNs in float32, read without torch and without running anything (`models/foreign/pt2_file.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.foreign.request import ImportRequest
from models.importers import Flags, Head

if TYPE_CHECKING:
    from models.foreign.request import DnnFindings

KNOWN_BY = "torch.export's program (.pt2)"
MAKES = "dnn"
DIRECT = (".pt2",)
_CERTAINTY, _BY_NAME = 90, 80


def add_flags(parser: Flags) -> None:
    """Add the flag by which a user says what a file leaves open."""
    text = "shape of an input that the file leaves open, as in 1,3,32,32 or NAME=1,3,32,32; may be repeated"
    parser.add_argument("--shape", metavar="SHAPE", action="append", help=text)


def probe(head: Head) -> int:
    """Return how certain it is that the file is torch.export's."""
    from models.foreign.pt2_file import is_pt2

    if is_pt2(head.path, head.start):
        return _CERTAINTY
    return _BY_NAME if head.path.suffix in DIRECT else 0


def read(path: Path, request: ImportRequest) -> DnnFindings:
    """Return the DNN in a file; ModelError, in one line, where it is damaged or has what cannot be run."""
    from models.foreign.import_dnn import findings_of, origin_of
    from models.foreign.pt2_file import read_pt2

    graph, torch = read_pt2(path)
    description = [("kind", "torch.export's program" + (f", of torch {torch}" if torch else ""))]
    return findings_of(f"import {path}", graph, request, description, {**origin_of(path), "importer": "pt2", "torch": torch})
