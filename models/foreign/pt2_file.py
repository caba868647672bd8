"""torch.export's files (.pt2) without torch: a zip with the graph as JSON (`ROOT/models/NAME.json`) and each weight as raw bytes.

Nothing in the file is run. The one pickle that there is, the sample inputs, is not opened. Members are stored as they are, each
once, and no longer together than the file, as in `models/foreign/torch_file.py`; an entry that is marked as a pickle is refused.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from models.dnn.graph import GraphInput, OperatorGraph
from models.foreign.pt2_call import length_of
from models.foreign.pt2_operators import Translation
from models.input_file import InputError, open_input
from models.network import Array, ModelError, in_one_line

MOST_JSON_BYTES = 1 << 27  # a graph of tens of thousands of operators with its stack traces
_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?"}
_BFLOAT16 = 13
_SCHEMA = 8


def is_pt2(path: Path, start: bytes) -> bool:
    """Tell whether a file is one of torch.export: a zip with a graph as JSON."""
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/models/" in f"/{name}" and name.endswith(".json") for name in archive.namelist())
    except Exception:  # zipfile has exceptions of a dozen kinds
        return False


def read_pt2(path: Path) -> tuple[OperatorGraph, str]:
    """Return a file's graph, and the version of torch that wrote it; ModelError, in one line, where it cannot be read."""
    try:
        with open_input(path) as file:
            return read_export(file)
    except InputError as error:
        raise ModelError(f"import {path}: {error}") from None
    except ModelError as error:
        raise ModelError(f"import {path}: {error}") from None


def read_export(file: BinaryIO) -> tuple[OperatorGraph, str]:
    """Return the graph of an open file, and the version of torch that wrote it; ModelError, without the file's name."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _Export(archive, file.seek(0, 2)).graph()
    except ModelError:
        raise
    except RecursionError:
        raise ModelError("damaged: its JSON is nested too deep") from None
    except Exception as error:
        # JSON in which any value may stand in the place of any other, and zipfile's own exceptions.
        raise ModelError(f"damaged, or no file of torch.export ({in_one_line(error)})") from error


class _Export:
    """An open file, its members checked."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
                raise ModelError(f"member {info.filename[:60]!a} is packed; torch stores it as it is")
            if info.filename in self._infos:
                raise ModelError(f"has two members {info.filename[:60]!a}")
            self._infos[info.filename] = info
        if (total := sum(info.file_size for info in self._infos.values())) > size:
            raise ModelError(f"its members claim {total} bytes, the file has {size}")
        graphs = [name for name in self._infos if "/models/" in f"/{name}" and name.endswith(".json")]
        if len(graphs) != 1:
            raise ModelError(f"needs one graph (models/NAME.json), has {len(graphs)}")
        self._model = graphs[0]
        self._root, _, name = self._model.rpartition("models/")
        self._stem = name.removesuffix(".json")
        if self._infos.get(f"{self._root}byteorder") and self._read(f"{self._root}byteorder") != b"little":
            raise ModelError("is of a big-endian machine; export it on a little-endian one")

    def _read(self, name: str, most: int = 1 << 31) -> bytes:
        info = self._infos.get(name)
        if info is None:
            raise ModelError(f"has no member {name[:80]!a}")
        if info.file_size > most:
            raise ModelError(f"member {name[:80]!a} has {info.file_size:,} bytes; at most {most:,}")
        return self._archive.read(info)

    def _json(self, name: str) -> Any:
        return json.loads(self._read(name, MOST_JSON_BYTES))

    def graph(self) -> tuple[OperatorGraph, str]:
        """Return what the file holds."""
        about = self._json(self._model)
        if (major := about["schema_version"]["major"]) != _SCHEMA:
            raise ModelError(f"has schema {str(major)[:20]} of torch.export; needs {_SCHEMA} (torch 2.7 and later)")
        module = about["graph_module"]
        graph, signature = module["graph"], module["signature"]
        values = graph["tensor_values"]
        weights = {kind: self._configs(kind) for kind in ("weights", "constants")}
        constants: dict[str, Array] = {}
        inputs: list[GraphInput] = []
        for one in signature["input_specs"]:
            ((kind, said),) = one.items()
            if kind == "user_input":
                if "as_tensor" not in said["arg"]:
                    raise ModelError("takes an input that is no tensor; export it with tensors alone")
                name = said["arg"]["as_tensor"]["name"]
                inputs.append(GraphInput(name, *_described(values[name])))
            elif kind in ("parameter", "buffer", "tensor_constant"):
                key = said.get(f"{kind}_name")
                where = weights["constants" if kind == "tensor_constant" or not said.get("persistent", True) else "weights"]
                numbers = where.get(key) or weights["weights"].get(key) or weights["constants"].get(key)
                if numbers is None:
                    raise ModelError(f"has no numbers of {kind} {str(key)[:80]!r}")
                constants[said["arg"]["name"]] = self._tensor(str(key), *numbers)
            else:
                raise ModelError(f"takes a {str(kind)[:40]}; needs tensors")
        shapes = {name: _described(value)[0] for name, value in values.items()}
        translation = Translation(constants, shapes)
        for at, node in enumerate(graph["nodes"]):
            translation.add(node, at)
        outputs = []
        for one in signature["output_specs"]:
            ((kind, said),) = one.items()
            if kind != "user_output" or "as_tensor" not in said["arg"]:
                raise ModelError(f"gives a {str(kind)[:40]} that is no tensor; needs tensors as outputs")
            outputs.append(said["arg"]["as_tensor"]["name"])
        float_graph = OperatorGraph(tuple(inputs), tuple(outputs), tuple(translation.operators), constants)
        return float_graph, str(about.get("torch_version", ""))[:40]

    def _configs(self, kind: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
        name = f"{self._root}data/{kind}/{self._stem}_{kind}_config.json"
        if name not in self._infos:
            return {}
        config = self._json(name)["config"]
        return {key: (f"{self._root}data/{kind}/{said['path_name']}", said) for key, said in config.items()}

    def _tensor(self, key: str, member: str, said: Mapping[str, Any]) -> Array:
        """Return a weight, as its member's bytes and its strides say."""
        who, meta = f"weight {key[:80]!r}", said["tensor_meta"]
        if said["use_pickle"]:
            raise ModelError(f"{who} is stored as a pickle, which is not run; export it with plain tensors")
        code = meta["dtype"]
        if code not in _DTYPES and code != _BFLOAT16:
            raise ModelError(f"{who} is of torch's type {str(code)[:20]}; needs floats or integers")
        dtype = np.dtype("<u2" if code == _BFLOAT16 else _DTYPES[code])
        shape, strides = ([length_of(one) for one in meta[name]] for name in ("sizes", "strides"))
        offset = length_of(meta["storage_offset"])
        raw = self._read(member)
        if len(shape) != len(strides) or len(shape) > 8 or min([*shape, *strides, offset], default=0) < 0:
            raise ModelError(f"{who} has shape {str(shape)[:60]} and strides {str(strides)[:60]}")
        if math.prod(shape) == 0:
            return np.zeros(shape, dtype)
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if (last + 1) * dtype.itemsize > len(raw) or math.prod(shape) > len(raw):
            raise ModelError(f"{who} needs {(last + 1) * dtype.itemsize} bytes, has {len(raw)}")
        steps = tuple(stride * dtype.itemsize for stride in strides)
        array = np.ascontiguousarray(np.ndarray(tuple(shape), dtype, raw, offset * dtype.itemsize, steps))
        return (array.astype(np.uint32) << 16).view(np.float32) if code == _BFLOAT16 else array


def _described(value: Mapping[str, Any]) -> tuple[tuple[int | None, ...], str]:
    """Return a tensor's shape, None where it is symbolic, and its type."""
    shape = tuple(one.get("as_int") for one in value["sizes"])
    if any(length is not None and (type(length) is not int or length < 0) for length in shape) or len(shape) > 8:
        raise ModelError(f"has a tensor of shape {str(shape)[:60]}")
    code = value["dtype"]
    return shape, np.dtype(_DTYPES[code]).name if code in _DTYPES else "float32"
