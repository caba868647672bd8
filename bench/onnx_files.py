"""ONNX files of others: how many operators each has here, and whether its float graph computes what onnxruntime does.

python -m bench.onnx_files                        the files of docs/dnn.md, out of PyPI's packages that are installed
python -m bench.onnx_files --write                put their table into docs/dnn.md
python -m bench.onnx_files FILE[:1,3,32,32] ...   others, with the shape of an input that a file leaves open

    pip install --no-deps qonnx magika rapidocr-onnxruntime; pip install onnxruntime

Inputs are drawn from a seed: normal ones, or whole numbers from 0 to 255 where a network looks rows up by them.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.dnn import PAGE, put_table
from host.show.text_table import format_markdown
from models.dnn.evaluate import run_graph
from models.foreign.import_dnn import import_dnn
from models.foreign.request import ImportRequest
from models.network import ModelError

FILES = (
    ("magika", "magika 1.0.3, Apache-2.0", "models/standard_v3_3/model.onnx", ""),
    ("qonnx", "qonnx 1.0.0, Apache-2.0", "data/onnx/mnist-conv/model.onnx", ""),
    ("qonnx", "qonnx 1.0.0, Apache-2.0", "data/onnx/bsd300x3-espcn/nn_resize/float_model.onnx", ""),
    ("qonnx", "qonnx 1.0.0, Apache-2.0", "data/onnx/bsd300x3-espcn/subpixel/float_model.onnx", ""),
    ("rapidocr_onnxruntime", "rapidocr-onnxruntime 1.4.4, Apache-2.0", "models/ch_PP-OCRv4_rec_infer.onnx", "1,3,48,64"),
    ("rapidocr_onnxruntime", "rapidocr-onnxruntime 1.4.4, Apache-2.0", "models/ch_PP-OCRv4_rec_infer.onnx", "1,3,48,320"),
    ("rapidocr_onnxruntime", "rapidocr-onnxruntime 1.4.4, Apache-2.0", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "1,3,48,192"),
    ("rapidocr_onnxruntime", "rapidocr-onnxruntime 1.4.4, Apache-2.0", "models/ch_PP-OCRv4_det_infer.onnx", "1,3,64,64"),
)  # fmt: skip
HEADS = ("file", "package", "input", "operators in the file", "here", "weights", "off, of the largest")
_SAMPLES = 3


def row_of(path: Path, shape: str) -> tuple[str, ...]:
    """Return what a file has become: its input, operators before and after, weights, and how far its outputs are off at most.

    *How far* is a share of onnxruntime's largest number; where the file is refused the row has the refusal.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    try:
        model = import_dnn(path, ImportRequest(importer="onnx", options={"shape": [shape]} if shape else {})).model
    except ModelError as error:
        refusal = str(error).partition(f"{path}: ")[2].partition(": operator ")[2] or str(error)
        return shape.replace(",", " x "), "", f"refused: {refusal}", "", ""
    assert model.prepared is not None
    graph = model.prepared.graph
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng, furthest = np.random.default_rng(1), 0.0
    for _ in range(_SAMPLES):
        feeds = {one.name: _draw(rng, one.dtype, one.shape) for one in graph.inputs}
        outputs = run_graph(graph, feeds)
        shaped = {one.name: feeds[one.name] for one in session.get_inputs() if one.name in feeds}
        for name, expected in zip(graph.outputs, session.run(None, shaped), strict=True):
            apart = np.abs(outputs[name].reshape(expected.shape) - expected).max()
            furthest = max(furthest, float(apart / (np.abs(expected).max() or 1.0)))
    kinds = Counter(operator.kind for operator in graph.operators)
    most = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(6)) + ", ..." * (len(kinds) > 6)
    shapes = ", ".join(" x ".join(map(str, one.shape)) for one in graph.inputs)
    weights = sum(array.size for array in graph.weights())
    return shapes, f"{_operators(path)}", f"{len(graph.operators)}: {most}", f"{weights:,}", f"{furthest:.1g}"


def _draw(rng: np.random.Generator, dtype: Any, shape: Sequence[int]) -> Any:
    """Return an input of a network."""
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 256, shape).astype(dtype)
    return rng.normal(size=shape).astype(np.float32)


def _operators(path: Path) -> int:
    """Return how many operators a file has."""
    import onnx

    return len(onnx.load(str(path), load_external_data=False).graph.node)


def table() -> str:
    """Return the table of the packages that are installed."""
    rows = []
    for package, words, name, shape in FILES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            path = Path(spec.submodule_search_locations[0]) / name
            rows.append(("/".join(path.parts[-2:]), words, *row_of(path, shape)))
    return format_markdown(HEADS, rows)


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.onnx_files", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE[:SHAPE]")
    parser.add_argument("--write", action="store_true", help="put the table into docs/dnn.md")
    flags = parser.parse_args()
    if flags.write:
        PAGE.write_text(put_table(PAGE.read_text(encoding="utf-8"), "files", table()), encoding="utf-8")
        return
    if not flags.files:
        print(table())
        return
    for text in flags.files:
        name, _, shape = text.partition(":")
        print("  ".join((name, *row_of(Path(name), shape))))


if __name__ == "__main__":
    main()
