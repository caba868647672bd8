"""`launch.py import`: somebody else's checkpoint becomes one of ours, with a summary of what was found and done."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from host.commands._labelled_lines import print_labelled
from host.commands._new_file import check_new, write_new
from host.commands._quantise_flags import FLOAT, add_quantise_flags, quantise_model, take_quantise_flags
from models.foreign.request import ImportRequest
from models.importers import all_flags, makes_dnn
from models.network import SEGMENT_STATES, ModelError

HELP = "read a checkpoint of EvNN or torch.nn.GRU, a NIR file or a DNN"
EXAMPLES = (("import SRC DST", "read EvNN, GRU, NIR, ONNX, .pt2"),)
DESCRIPTION = """\
Read a checkpoint of EvNN (EGRU language models and layers, 0.1.0 and 0.2.0) or
of torch.nn.GRU, and write it as one of Gennaker's. SRC is a file of torch.save
(a state_dict, or a dict with one; CUDA tensors too) or of safetensors. It is
read without torch and without running anything that it holds. A spiking network
may come as a NIR file (snnTorch, Norse, sinabs, ...): docs/nir.md. A DNN comes
as ONNX or as torch.export's .pt2: docs/dnn.md."""
EPILOG = """\
examples:
  python launch.py import checkpoints/EGRU_best_model.cpt DST --text wikitext-2/
  python launch.py import best_model.pth gestures.safetensors --prefix layers
  python launch.py import decoder.pth DST --prefix egru.1 --zoneout 0.2
  python launch.py import network.nir DST --dt 1e-3 --reset zero

A config.yaml beside SRC, or above its folder checkpoints, is held against the
tensors and gives bptt and zoneout. What becomes of each key: docs/import.md."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="SRC", help="the checkpoint to read")
    parser.add_argument("target", metavar="DST", help="the checkpoint to write; must not exist")
    text = "WikiText or PTB folder it was trained on: gives the words, valid and test text"
    parser.add_argument("--text", metavar="DIR", help=text)
    parser.add_argument("--licence", default="", metavar="TEXT", help="licence of that text, kept in DST")
    parser.add_argument("--prefix", default="", metavar="KEY", help="take only the layers whose keys begin so")
    parser.add_argument("--segment", type=int, metavar="N", help="positions of a segment (default: bptt of config.yaml, else 70)")
    state = f"{' or '.join(SEGMENT_STATES)} cell state where a segment begins (default: zeroed for language models, else carried)"
    parser.add_argument("--state", metavar="NAME", help=state)
    parser.add_argument("--importer", metavar="NAME", help="which importer reads SRC (default: the one that is most certain)")
    add_quantise_flags(parser.add_argument_group("of spiking networks"), FLOAT)
    groups: dict[str, Any] = {}
    for flag, of in all_flags():
        title = f"for the importer{'s' if len(of) > 1 else ''} {' and '.join(of)}"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        groups[title].add_argument(flag.typed, dest=flag.name, **flag.settings)


def run(flags: dict[str, Any]) -> int:
    """Import, print the summary; ModelError, TextError or HostError in one line where that cannot be."""
    from models.checkpoint import save
    from models.foreign.import_model import import_model, importer_of

    source, target = Path(flags.pop("source")), Path(flags.pop("target"))
    text, options = flags.pop("text"), {flag.name: flags.pop(flag.name) for flag, _ in all_flags()}
    quantising = take_quantise_flags(flags)
    check_new("import", target)
    request = ImportRequest(text=Path(text) if text is not None else None, options=options, **flags)
    if makes_dnn(importer_of(source, request)):
        return _import_dnn(source, target, request, quantise=quantising.bits != FLOAT)
    imported = import_model(source, request)
    model, report = quantise_model(imported.model, quantising)
    size = write_new("import", target, lambda path: save(path, model))
    rows = [("source", str(source)), *imported.description, *(("note", note) for note in imported.notes)]
    file_line = f"{'written':<14} {target} ({size:,} bytes)"
    print_labelled([*(f"{name:<14} {value}" for name, value in rows), *report, file_line], label=15)
    return 0


def _import_dnn(source: Path, target: Path, request: ImportRequest, *, quantise: bool) -> int:
    from models.dnn.file import save_dnn
    from models.foreign.import_dnn import import_dnn

    if quantise:
        raise ModelError(f"import {source}: a DNN is quantised by samples: import it, then `quantise DST NEW --calibrate FILE`")
    imported = import_dnn(source, request)
    size = write_new("import", target, lambda path: save_dnn(path, imported.model))
    rows = [("source", str(source)), *imported.description, *(("note", note) for note in imported.notes)]
    print_labelled([*(f"{name:<14} {value}" for name, value in rows), f"{'written':<14} {target} ({size:,} bytes)"], label=15)
    return 0
