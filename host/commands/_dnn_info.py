"""What `info` shows of a DNN: its ends, its operators, and of an integer network each operation with the width of its sums."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from host.show.entries import plain_text
from host.show.text_table import format_table
from models.dnn.integer import IntegerNetwork, IntegerOperation
from models.dnn.model import DnnModel
from models.dnn.prepare import PreparedGraph

_LABEL = 13


def info_lines(path: Path, model: DnnModel) -> list[str]:
    """Return the lines of a DNN's tables."""
    rows = [("checkpoint", f"{path.name}, {path.stat().st_size:,} B")]
    origin = model.provenance.get("imported_from")
    if isinstance(origin, str):
        rows.append(("from", origin))
    if model.prepared is not None:
        rows += _graph_rows(model.prepared)
    if model.test_set is not None:
        samples = model.test_set
        rows.append(("test set", f"{len(samples):,} samples of {len(samples.classes)} classes: {samples.about}"))
    lines = [f"{name:<{_LABEL}} {plain_text(text)}" for name, text in rows]
    if model.network is None:
        return [*lines, f"{'numbers':<{_LABEL}} float32; `quantise` makes them int8"]
    return [*lines, *_network_lines(model.network)]


def _graph_rows(prepared: PreparedGraph) -> list[tuple[str, str]]:
    graph = prepared.graph
    kinds = Counter(one.kind for one in graph.operators)
    ends = [
        ("inputs", ", ".join(f"{one.name} {_shape(prepared.shapes[one.name])} {one.dtype}" for one in graph.inputs)),
        ("outputs", ", ".join(f"{name} {_shape(prepared.shapes[name])}" for name in graph.outputs)),
    ]
    weights = sum(array.size for array in graph.weights())
    return [*ends, ("operators", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())), ("weights", f"{weights:,}")]


def _network_lines(network: IntegerNetwork) -> list[str]:
    heads = ("operation", "kind", "shape", "weights", "scale", "bits of a sum")
    rows = [
        (
            plain_text(one.name[:40]),
            one.kind,
            _shape(network.tensors[one.output].shape),
            _weights(one),
            _scale(network, one),
            _bits(one),
        )
        for one in network.operations
    ]
    wide = sum(one.may_overflow for one in network.operations)
    sums = f"{wide} operations could exceed the array's 24 bits" if wide else "no sum can exceed the array's 24 bits"
    return [
        f"{'numbers':<{_LABEL}} int8; {sums}",
        f"{'rules':<{_LABEL}} rounds {network.rounding}, a wider sum: {network.overflow}",
        f"{'sha256':<{_LABEL}} {network.fingerprint()}",
        "",
        *format_table([heads, *rows]),
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _weights(one: IntegerOperation) -> str:
    return f"{one.arrays['weights'].size:,}" if "weights" in one.arrays else ""


def _scale(network: IntegerNetwork, one: IntegerOperation) -> str:
    tensor = network.tensors[one.output]
    return f"2^{tensor.exponent}" if tensor.exponent is not None else f"{tensor.scale:.4g}"


def _bits(one: IntegerOperation) -> str:
    widest = max(one.sum_high, -one.sum_low - 1, 0)
    return str(widest.bit_length() + 1) if widest else ""
