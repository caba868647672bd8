"""Fuzz targets of what reads files: each is read, or refused in one line of the reader's own error."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from host.cost.ledger_file import load_ledger
from models import importers
from models.checkpoint import Model, load, save
from models.dnn.file import load_dnn, save_dnn
from models.dnn.model import DnnModel
from models.dnn.prepare import prepare
from models.dnn.sample_set import SampleSet
from models.dvs.aedat import read_aedat, write_aedat
from models.dvs.samples import DvsError, Events
from models.foreign.import_dnn import import_dnn
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.foreign.unpickle import unpickle
from models.network import ModelError
from models.seeded import seeded_egru, seeded_embedding
from models.text.corpus import text_file
from models.text.tokeniser import TextError, detokenise, tokenise
from tests.fuzz.wire_targets import Target
from tests.tools.dnn_nets import mlp, samples_of
from tests.tools.ledgers import invented, placed
from tests.tools.onnx_bytes import model, node
from tests.tools.tiny import tiny_network
from tests.tools.torch_bytes import state_dict_members, torch_file


@cache
def _memory_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory that goes with this process."""
    return tempfile.TemporaryDirectory(prefix="gennaker-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def _folder() -> Path:
    """Return a folder in memory for the file that is read."""
    return Path(_memory_folder().name)


def _reader(name: str, read: Callable[[Path], object], errors: tuple[type[Exception], ...]) -> Callable[[bytes], None]:
    def run(raw: bytes) -> None:
        path = _folder() / name
        path.write_bytes(raw)
        try:
            read(path)
        except errors as error:
            assert len(str(error).splitlines()) == 1, error
        finally:
            path.unlink()

    return run


def checkpoint() -> Target:
    """Gennaker's own checkpoints (`models/checkpoint/file.py`)."""
    path, words = _folder() / "seed.safetensors", ("<unk>", "<eos>", "a", "b")
    network = seeded_egru(4, (5, 4), density=0.6, seed=3, threshold=0.1)
    save(path, Model(network, seeded_embedding(4, 4, seed=3), np.zeros(4, np.float32), words, 7))
    raw = path.read_bytes()
    path.unlink()
    return Target([raw], _reader("a.safetensors", load, (ModelError,)), False)


def torch_zip() -> Target:
    """Files of `torch.save`, on their way to a network (`models/foreign/torch_file.py`, `models/importers/`)."""
    rng = np.random.default_rng(1)
    shapes = {"weight_ih_l0": (12, 3), "weight_hh_l0": (12, 4), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    entries = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    read = _reader("a.pt", lambda path: import_model(path, ImportRequest()), (ModelError,))
    return Target([torch_file(entries)], read, False)


def pickle() -> Target:
    """The pickle within (`models/foreign/unpickle.py`)."""

    def run(raw: bytes) -> None:
        try:
            unpickle(raw)
        except ModelError as error:
            assert len(str(error).splitlines()) == 1, error

    entries = {"w": np.ones((3, 2), np.float32), "b": np.arange(5)}
    return Target([state_dict_members(entries)[0], state_dict_members(entries, metadata={"": 1})[0]], run, False)


def aedat() -> Target:
    """Recordings (`models/dvs/aedat.py`)."""
    path, count = _folder() / "seed.aedat", 40
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 128, (2, count)).astype(np.uint8)
    write_aedat(path, Events(np.arange(count, dtype=np.int64), x, y, rng.random(count) < 0.5))
    raw = path.read_bytes()
    path.unlink()
    return Target([raw], _reader("a.aedat", read_aedat, (DvsError,)), False)


def text() -> Target:
    """Texts (`models/text/`)."""

    def read(path: Path) -> None:
        words = text_file(path)
        assert tokenise(detokenise(words)) is not None

    seeds = [
        b'The quick <unk> fox, it\'s 3.14 (here) - "so".\n\n = = Head = =\n',
        "\ufeffhäß \u202e x\0y\r\n".encode(),
        b"\xff\xfe\0",
    ]
    return Target(seeds, _reader("a.txt", read, (TextError,)), False)


def ledger() -> Target:
    """A run's ledger (`host/cost/ledger_file.py`)."""
    from host.cost.ledger_writer import save_ledger

    folder = _folder()
    save_ledger(invented(placed(tiny_network(), 3), 5), folder)
    (path,) = folder.glob("ledger*")
    raw = path.read_bytes()

    def run(changed: bytes) -> None:
        path.write_bytes(changed)
        try:
            load_ledger(folder)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1, error

    return Target([raw], run, False)


def _golden(folder: str, *patterns: str) -> list[bytes]:
    """Return small files that are stored for other tests."""
    place = Path(__file__).resolve().parent.parent / folder
    return [path.read_bytes() for pattern in patterns for path in sorted(place.glob(pattern))]


def _importing(name: str) -> Callable[[bytes], None]:
    importer = {"onnx": "onnx", "pt2": "pt2", "nir": "nir", "keras": "keras", "h5": "keras"}[name]
    read = import_dnn if importers.makes_dnn(importer) else import_model
    return _reader(f"a.{name}", lambda path: read(path, ImportRequest(importer=importer)), (ModelError,))


def onnx() -> Target:
    """ONNX files, on their way to an integer network (`models/foreign/onnx_file.py`, `models/dnn/prepare.py`)."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(2, 1, 3, 3)).astype(np.float32), "s": np.array([1, -1], np.int64)}
    nodes = [
        node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]), node("Relu", ["y"], ["z"]), node("Reshape", ["z", "s"], ["r"]),
        node("Softmax", ["r"], ["p"], axis=1),
    ]  # fmt: skip
    small = model([*nodes], [("x", (1, 1, 4, 4))], ["p"], weights)
    return Target([small, *_golden("golden_dnn", "*.onnx")], _importing("onnx"), False)


def pt2() -> Target:
    """Files of torch.export (`models/foreign/pt2_file.py`)."""
    return Target(_golden("golden_dnn", "cnn.pt2"), _importing("pt2"), False)


def pt2_graph() -> Target:
    """The JSON within, which a checksum would keep mutations from."""
    (whole,) = _golden("golden_dnn", "cnn.pt2")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    graph = next(name for name in members if name.endswith("models/model.json"))
    run = _importing("pt2")

    def changed(raw: bytes) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), raw if name == graph else content)
        run(made.getvalue())

    return Target([members[graph]], changed, False)


def dnn_checkpoint() -> Target:
    """Checkpoints of DNNs (`models/dnn/file.py`)."""
    from models.quantise.dnn import quantise_dnn
    from models.quantise.dnn_lower import DnnSettings

    rng, path = np.random.default_rng(4), _folder() / "seed.safetensors"
    prepared = prepare(mlp(rng), {})
    network, _ = quantise_dnn(prepared, samples_of(rng, 8, 6), DnnSettings())
    samples = SampleSet(inputs=samples_of(rng, 3, 6), labels=np.arange(3), classes=("a", "b", "c"), about="random")
    save_dnn(path, DnnModel(prepared=prepared, network=network, test_set=samples))
    raw = path.read_bytes()
    path.unlink()
    return Target([raw], _reader("a.safetensors", load_dnn, (ModelError,)), False)


def nir() -> Target:
    """NIR files, HDF5 that h5py reads (`models/foreign/hdf5.py`, `models/foreign/nir_*.py`)."""
    return Target(_golden("golden_nir", "*lif*.nir")[:4], _importing("nir"), False, slow=True)


def keras() -> Target:
    """Keras' files, a zip with HDF5 in it (`models/foreign/keras_file.py`)."""
    return Target(_golden("golden_keras", "*.keras"), _importing("keras"), False)


def keras_weights() -> Target:
    """The HDF5 within, which a checksum would keep mutations from."""
    (whole,) = _golden("golden_keras", "*.keras")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights, run = next(name for name in members if name.endswith(".h5")), _importing("keras")

    def changed(raw: bytes) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, raw if name == weights else content)
        run(made.getvalue())

    return Target([members[weights]], changed, False, slow=True)


TARGETS: dict[str, Callable[[], Target]] = {
    make.__name__: make
    for make in (
        checkpoint, torch_zip, pickle, aedat, text, ledger, onnx, pt2, pt2_graph, dnn_checkpoint, nir, keras, keras_weights,
    )
}  # fmt: skip
