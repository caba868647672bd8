"""Fuzz targets of what reads files: each is read, or refused in one line of the reader's own error."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from host.cost.ledger_file import load_ledger
from models.checkpoint import Model, load, save
from models.dvs.aedat import read_aedat, write_aedat
from models.dvs.samples import DvsError, Events
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.foreign.unpickle import unpickle
from models.network import ModelError
from models.seeded import seeded_egru, seeded_embedding
from models.text.corpus import text_file
from models.text.tokeniser import TextError, detokenise, tokenise
from tests.fuzz.wire_targets import Target
from tests.tools.ledgers import invented, placed
from tests.tools.tiny import tiny_network
from tests.tools.torch_bytes import state_dict_members, torch_file


@cache
def _folder() -> Path:
    """Return a folder in memory for the file that is read."""
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")
    folder = place / f"gennaker-fuzz-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder


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
    from host.cost.ledger_file import save_ledger

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


TARGETS: dict[str, Callable[[], Target]] = {make.__name__: make for make in (checkpoint, torch_zip, pickle, aedat, text, ledger)}
