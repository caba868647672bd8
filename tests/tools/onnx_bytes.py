"""ONNX files put together by hand, field by field; `tests/test_onnx_files.py` holds them against onnx's own where it is there."""

import struct

import numpy as np

DTYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}


def varint(value):
    value &= (1 << 64) - 1
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def field(number, value):
    """A field: a number, a float, a text, or a message of bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def tensor(name, array):
    array = np.asarray(array)
    shape = b"".join(field(1, int(n)) for n in array.shape)
    return (
        shape
        + field(2, DTYPES[array.dtype.name])
        + field(8, name)
        + field(9, array.astype(array.dtype.newbyteorder("<")).tobytes())
    )


def attribute(name, value):
    head = field(1, name)
    if isinstance(value, str):
        return head + field(4, value) + field(20, 3)
    if isinstance(value, float):
        return head + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return head + field(3, value) + field(20, 2)
    if isinstance(value, np.ndarray):
        return head + field(5, tensor("", value)) + field(20, 4)
    return head + field(8, b"".join(map(varint, value))) + field(20, 7)


def node(kind, inputs, outputs, name="", **attributes):
    made = b"".join(field(1, one) for one in inputs) + b"".join(field(2, one) for one in outputs)
    return made + field(3, name or outputs[0]) + field(4, kind) + b"".join(field(5, attribute(k, v)) for k, v in attributes.items())


def value(name, shape, dtype="float32"):
    dims = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, DTYPES[dtype]) + field(2, dims)))


def model(nodes, inputs, outputs, constants=(), opset=17):
    """A file's bytes: nodes are bytes of `node`, inputs (name, shape[, dtype]), constants arrays by name."""
    graph = b"".join(field(1, one) for one in nodes) + field(2, "net")
    graph += b"".join(field(5, tensor(name, array)) for name, array in dict(constants).items())
    graph += b"".join(field(11, value(*one)) for one in inputs) + b"".join(field(12, value(name, ())) for name in outputs)
    return field(1, 8) + field(2, "tests") + field(7, graph) + field(8, field(2, opset))
