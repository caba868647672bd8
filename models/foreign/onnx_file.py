"""ONNX files as an operator graph, read without the onnx package: a protobuf message, and perhaps a file of weights beside it.

Only what a graph of tensors needs is read. Operators with graphs of their own (If, Loop) keep none; who runs them refuses them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.dnn.graph import GraphInput, Operator, OperatorGraph
from models.foreign.protobuf import DamagedMessage, Value, fields, integers, numbers, part, signed, single, text
from models.input_file import InputError, open_input, read_input
from models.network import Array, ModelError

MOST_BYTES = 1 << 31  # protobuf's own bound; larger models keep their weights beside
MOST_DIMENSIONS = 8
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8"}
_TYPE_NAMES = {8: "string", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8", 21: "uint4", 22: "int4"}
_DOMAINS = ("", "ai.onnx")
_QDQ_DOMAIN = "com.microsoft"  # onnxruntime's QuantizeLinear, the same but for its domain
_GRAPH = "graph"


@dataclass
class _Graph:
    """What a GraphProto holds."""

    inputs: list[GraphInput] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class OnnxFile:
    """A file's graph, and what it says of itself: the version of ONNX's operators, and the program that wrote it."""

    graph: OperatorGraph
    opset: int
    producer: str


def is_onnx(start: bytes) -> bool:
    """Tell whether a file's first bytes may be ONNX's: field 1 is a small version, and another field of a model follows."""
    return len(start) > 4 and start[0] == 0x08 and start[1] < 0x20 and start[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)


def read_onnx(path: Path) -> OnnxFile:
    """Return what an ONNX file holds; ModelError, in one line, where it is damaged or holds what cannot be read."""
    who = f"import {path}"
    try:
        raw = memoryview(read_input(path, MOST_BYTES))
        return _model(raw, path.parent)
    except InputError as error:
        raise ModelError(f"{who}: {error}") from None
    except DamagedMessage as error:
        raise ModelError(f"{who}: damaged or no ONNX file: {error}") from None
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from None


def _model(raw: memoryview, folder: Path) -> OnnxFile:
    graph, opset, producer, functions = None, 0, "", 0
    for number, _, value in fields(raw):
        match number:
            case 2:
                producer = text(value)
            case 7:
                graph = _graph(part(value), folder)
            case 8:
                domain, version = _opset(part(value))
                opset = version if domain in _DOMAINS else opset
            case 25:
                functions += 1
    if graph is None or not graph.operators:
        raise DamagedMessage("has no graph with operators")
    if functions:
        raise ModelError(f"has {functions} functions of its own; export it with them inlined (onnx.inliner.inline_local_functions)")
    if not 7 <= opset <= 30:
        raise ModelError(f"of ONNX's operators version {opset}; needs 7 to 30")
    fed = tuple(one for one in graph.inputs if one.name not in graph.constants)  # old files list weights among the inputs
    return OnnxFile(OperatorGraph(fed, tuple(graph.outputs), tuple(graph.operators), graph.constants), opset, producer[:80])


def _opset(raw: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in fields(raw):
        if number == 1:
            domain = text(value)
        elif number == 2:
            version = signed(value)
    return domain, version


def _graph(raw: memoryview, folder: Path) -> _Graph:
    graph = _Graph()
    for number, _, value in fields(raw):
        match number:
            case 1:
                graph.operators.append(_operator(part(value), folder, len(graph.operators)))
            case 5:
                name, array = tensor_of(part(value), folder)
                graph.constants[name] = array
            case 11:
                graph.inputs.append(_input(part(value)))
            case 12:
                graph.outputs.append(_input(part(value), typed=False).name)
            case 15:
                raise ModelError("has sparse weights; needs dense ones")
    return graph


def _operator(raw: memoryview, folder: Path, place: int) -> Operator:
    inputs, outputs, name, kind, domain = list[str](), list[str](), "", "", ""
    attributes: dict[str, Any] = {}
    for number, _, value in fields(raw):
        match number:
            case 1:
                inputs.append(text(value))
            case 2:
                outputs.append(text(value))
            case 3:
                name = text(value)
            case 4:
                kind = text(value)
            case 5:
                key, content = _attribute(part(value), folder)
                attributes[key] = content
            case 7:
                domain = text(value)
    if not kind or not outputs:
        raise DamagedMessage(f"operator {place} has no {'kind' if not kind else 'output'}")
    if domain not in _DOMAINS and not (domain == _QDQ_DOMAIN and kind in ("QuantizeLinear", "DequantizeLinear", "Gelu")):
        kind = f"{domain[:40]}.{kind}"
    return Operator(name or f"{kind}_{place}", kind, tuple(inputs), tuple(outputs), attributes)


def _attribute(raw: memoryview, folder: Path) -> tuple[str, Any]:
    name, of = "", 0
    content: Any = None
    floats, ints, strings = list[float](), list[int](), list[str]()
    for number, wire, value in fields(raw):
        match number:
            case 1:
                name = text(value)
            case 2:
                content = single(value)
            case 3:
                content = signed(value)
            case 4:
                content = str(part(value), "utf-8", "replace")
            case 5:
                content = tensor_of(part(value), folder)[1]
            case 6 | 11:
                content = _GRAPH
            case 7:
                floats += [single(value)] if wire == 5 else numbers(value, "<f4").tolist()
            case 8:
                ints += integers(wire, value)
            case 9:
                strings.append(str(part(value), "utf-8", "replace"))
            case 20:
                of = signed(value)
    lists: dict[int, list[Any]] = {6: floats, 7: ints, 8: strings}
    return name, lists.get(of, content if content is not None else floats or ints or strings)


def _input(raw: memoryview, *, typed: bool = True) -> GraphInput:
    name, dtype, shape = "", "", list[int | None]()
    for number, _, value in fields(raw):
        if number == 1:
            name = text(value)
        elif number == 2 and typed:
            for kind, _, inner in fields(part(value)):
                if kind != 1:
                    raise ModelError(f"input {name[:60]!r} is a sequence or a map; needs a tensor")
                for which, _, content in fields(part(inner)):
                    if which == 1:
                        dtype = _dtype(signed(content), name)
                    elif which == 2:
                        shape = [_dimension(part(one)) for number, _, one in fields(part(content)) if number == 1]
    return GraphInput(name, tuple(shape), np.dtype(dtype or "<f4").name)


def _dimension(raw: memoryview) -> int | None:
    length = None
    for number, _, value in fields(raw):
        if number == 1:
            length = signed(value)
    return length if length is not None and length > 0 else None


def tensor_of(raw: memoryview, folder: Path) -> tuple[str, Array]:
    """Return a TensorProto's name and array; ModelError where its numbers are not as many as its shape says."""
    shape, code, name, elsewhere = list[int](), 1, "", dict[str, str]()
    data: list[tuple[int, int, Value]] = []
    for number, wire, value in fields(raw):
        match number:
            case 1:
                shape += integers(wire, value)
            case 2:
                code = signed(value)
            case 3:
                raise ModelError("has a tensor in segments; needs it whole")
            case 4 | 5 | 7 | 9 | 10 | 11:
                data.append((number, wire, value))
            case 8:
                name = text(value)
            case 13:
                key, content = _entry(part(value))
                elsewhere[key] = content
            case 14:
                elsewhere.setdefault("location", "") if signed(value) == 1 else None
    dtype = _dtype(code, name)
    if len(shape) > MOST_DIMENSIONS or any(n < 0 for n in shape):
        raise DamagedMessage(f"tensor {name[:60]!r} has shape {str(shape)[:60]}")
    count = math.prod(shape)
    array = _beside(folder, name, elsewhere, np.dtype(dtype), count) if elsewhere else _numbers(data, dtype)
    if array.size != count:
        raise DamagedMessage(f"tensor {name[:60]!r} of shape {tuple(shape)} has {array.size} numbers")
    return name, array.reshape(shape)


def _entry(raw: memoryview) -> tuple[str, str]:
    content = {number: text(value) for number, _, value in fields(raw) if number in (1, 2)}
    return content.get(1, ""), content.get(2, "")


def _numbers(data: list[tuple[int, int, Value]], dtype: str) -> Array:
    """Return a tensor's numbers, raw or in one of the fields for them; those of 16 bits come as 32."""
    parts: list[Array] = []
    for number, wire, value in data:
        match number:
            case 9:
                parts.append(numbers(value, dtype).astype(np.dtype(dtype).newbyteorder("="), copy=False))
            case 4:
                parts.append(numbers(value, "<f4").astype(dtype))
            case 10:
                parts.append(numbers(value, "<f8").astype(dtype))
            case _:
                whole = np.array(integers(wire, value), np.int64)
                parts.append(whole.astype(np.uint16).view("<f2") if dtype == "<f2" else whole.astype(dtype))
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.zeros(0, dtype)


def _beside(folder: Path, name: str, where: Mapping[str, str], dtype: np.dtype[Any], count: int) -> Array:
    """Return numbers that lie in a file beside: in the same folder, and nowhere else."""
    who, file_name = f"tensor {name[:60]!r}", where.get("location", "")
    if not file_name or Path(file_name).name != file_name or file_name in (".", ".."):
        raise ModelError(f"{who} lies in {file_name[:80]!r}; needs a file in the same folder")
    try:
        offset, length = int(where.get("offset") or 0), int(where.get("length") or count * dtype.itemsize)
    except ValueError:
        raise DamagedMessage(f"{who} says where it lies in no numbers") from None
    if offset < 0 or length != count * dtype.itemsize:
        raise DamagedMessage(f"{who} needs {count * dtype.itemsize} bytes, {file_name[:80]!r} keeps {length} for it")
    path = folder / file_name
    if path.is_symlink():
        raise ModelError(f"{who}: {file_name[:80]!r} is a link to another place; needs the file itself")
    try:
        with open_input(path) as file:
            have = file.seek(0, 2)
            if offset + length > have:
                raise ModelError(f"{who} needs bytes {offset} to {offset + length} of {file_name[:80]!r}, which has {have}")
            file.seek(offset)
            return np.frombuffer(file.read(length), dtype)
    except InputError as error:
        raise ModelError(f"{who}: {file_name[:80]!r}, where it lies, {error}") from None


def _dtype(code: int, name: str) -> str:
    if code not in _DTYPES:
        what = _TYPE_NAMES.get(code, f"type {code}")
        raise ModelError(f"tensor {name[:60]!r} is of {what}; needs float32, int8 or another of numpy's")
    return _DTYPES[code]
