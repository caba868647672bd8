"""Torch's files are read without torch, whatever their numbers are stored as; one that wants to run something is refused."""

from __future__ import annotations

import argparse
import builtins
import collections
import datetime
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from models.foreign.state_dict import opened_state
from models.foreign.unpickle import MAX_PICKLE_BYTES
from models.network import ModelError
from tests.tools.torch_bytes import Pickle, archive, bfloat16, legacy_file, state_dict_members, torch_file

RNG = np.random.default_rng(3)
WEIGHT = RNG.normal(size=(5, 3)).astype(np.float32)
BIAS = RNG.normal(size=5).astype(np.float32)
TENSORS = {"embeddings.weight": WEIGHT, "decoder.decoder.weight": WEIGHT, "decoder.decoder.bias": BIAS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch")


def read(folder, raw, name="model.cpt"):
    """Read a file of these bytes: the arrays by key, as float32 where they are floats."""
    (folder / name).write_bytes(raw)
    with opened_state(folder / name) as state:
        arrays = {}
        for key, tensor in state.tensors.items():
            floats = tensor.dtype in ("float32", "float64", "float16", "bfloat16")
            arrays[key] = state.array(key, tensor.shape) if floats else np.array(tensor.read())
        return arrays


def refusal(folder, raw):
    """The one line that a file is refused with."""
    with pytest.raises(ModelError) as caught:
        read(folder, raw, "bad.cpt")
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert "bad.cpt: " in line
    assert len(line) < 600
    assert line.isascii() or str(folder) in line
    return line


def refused(folder, raw, *words):
    line = refusal(folder, raw)
    for word in words:
        assert word in line, line


class Runs:
    """An object whose pickle calls what it is given."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


TARGET = "touched-by-a-pickle"

# ---- the files that torch writes


def in_torch(tensors, path, **options):
    torch = pytest.importorskip("torch")

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embeddings = torch.nn.Embedding(*WEIGHT.shape)
            self.decoder = torch.nn.Module()
            self.decoder.decoder = torch.nn.Linear(*WEIGHT.shape[::-1])
            self.decoder.decoder.weight = self.embeddings.weight

    module = Tied()
    module.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in tensors.items()})
    torch.save(module.state_dict(), path, **options)
    return module


def members(raw):
    with zipfile.ZipFile(io.BytesIO(raw)) as file:
        return {info.filename.partition("/")[2]: file.read(info) for info in file.infolist()}


@pytest.mark.wide
def test_our_bytes_are_torchs(tmp_path):
    """Every member by name, order and content; of the serialization id, a hash of torch's own, the length."""
    in_torch(TENSORS, tmp_path / "t.cpt")
    have = members(torch_file(TENSORS, metadata={"": 1, "embeddings": 1, "decoder": 1, "decoder.decoder": 1}))
    want = members((tmp_path / "t.cpt").read_bytes())
    assert list(have) == list(want)
    assert len(have.pop(".data/serialization_id")) == len(want.pop(".data/serialization_id"))
    assert have == want


@pytest.mark.wide
def test_torch_reads_our_bytes(tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "t.cpt").write_bytes(torch_file(TENSORS, location="cuda:0"))
    state = torch.load(tmp_path / "t.cpt", map_location="cpu", weights_only=True)
    assert {key: tensor.numpy().tobytes() for key, tensor in state.items()} == {k: v.tobytes() for k, v in TENSORS.items()}


@pytest.mark.wide
@pytest.mark.filterwarnings("ignore")  # torch's own, of its old format
def test_torchs_own_files_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    module = in_torch(TENSORS, tmp_path / "t.cpt")
    have = read(tmp_path, (tmp_path / "t.cpt").read_bytes())
    assert {key: array.tobytes() for key, array in have.items()} == {key: array.tobytes() for key, array in TENSORS.items()}
    optimizer = torch.optim.Adam(module.parameters())
    module.decoder.decoder(torch.zeros(1, 3)).sum().backward()
    optimizer.step()
    whole = {
        "epoch": 3,
        "state_dict": module.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "best": 1.5,
        "lrs": [1e-3],
    }
    torch.save(whole, tmp_path / "w.pth")
    assert set(read(tmp_path, (tmp_path / "w.pth").read_bytes())) == set(TENSORS)
    for protocol in (2, 3, 4, 5):
        torch.save(dict(module.named_parameters()), tmp_path / "p.pth", pickle_protocol=protocol)
        assert set(read(tmp_path, (tmp_path / "p.pth").read_bytes())) == set(TENSORS) - {"decoder.decoder.weight"}
    for protocol in (2, 3, 4):
        torch.save(whole, tmp_path / "old.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=False)
        assert set(read(tmp_path, (tmp_path / "old.pth").read_bytes())) == set(TENSORS)
    torch.save(module.decoder.decoder, tmp_path / "module.pth")
    refused(tmp_path, (tmp_path / "module.pth").read_bytes(), "tries to execute torch.nn.modules.linear.Linear")


@pytest.mark.wide
def test_strided_torch_tensors_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    views = {"t": whole.t(), "part": whole[1:, 2:5], "flat": whole.reshape(-1)[5:], "scalar": whole[2, 3], "none": whole[:0]}
    torch.save(views, tmp_path / "t.pt")
    have = read(tmp_path, (tmp_path / "t.pt").read_bytes())
    assert {k: (v.shape, v.tolist()) for k, v in have.items()} == {k: (tuple(v.shape), v.tolist()) for k, v in views.items()}
    torch.save({"a": torch.zeros(1).expand(1000, 1000)}, tmp_path / "e.pt")
    refused(tmp_path, (tmp_path / "e.pt").read_bytes(), "needs 1000000 elements", "has 1")


# ---- before 1.6


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_a_file_of_before_1_6_is_read(folder, dtype, order):
    values = np.array([[0, 1, 2.0], [3, 0, 96]])
    array = bfloat16(values) if dtype == "bfloat16" else values.astype(dtype)
    have = read(folder, legacy_file({"a": array, "b": array, "c": BIAS}, byteorder=order))
    assert have["a"].tolist() == have["b"].tolist() == (values.astype(bool) if dtype == "bool" else values).tolist()
    assert have["c"].tobytes() == BIAS.tobytes()


@pytest.mark.wide
def test_torchs_own_of_before_1_6_is_what_ours_is(tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    views = {"t": whole.t(), "part": whole[1:, 2:5], "bits": whole.bfloat16(), "none": whole[:0], "x": torch.ones(3).double()}
    torch.save({"epoch": 3, "model": views}, tmp_path / "t.pt", _use_new_zipfile_serialization=False)
    have = read(tmp_path, (tmp_path / "t.pt").read_bytes())
    assert {k: (v.shape, v.tolist()) for k, v in have.items()} == {k: (tuple(v.shape), v.tolist()) for k, v in views.items()}
    (tmp_path / "own.pt").write_bytes(legacy_file(TENSORS))
    own = torch.load(tmp_path / "own.pt", weights_only=True)
    assert {key: tensor.numpy().tobytes() for key, tensor in own.items()} == {key: t.tobytes() for key, t in TENSORS.items()}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[:-5], ["ends within storage '1', of 20 bytes"]),
        (lambda raw: raw[:-28], ["storage '1' needs 5 elements, and has another number, or is not there"]),
        (lambda raw: raw.replace(struct.pack("<q", 5), struct.pack("<q", 6)), ["storage '1' needs 5 elements"]),
        (lambda raw: raw.replace(b"M\xe9\x03.", b"M\xe8\x03."), ["needs torch's format 1001", "has 1000"]),
        (lambda raw: raw[:137], ["a damaged pickle"]),
        (lambda raw: raw.replace(b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", 1), ["tries to execute os.system"]),
        (lambda raw: b"X\x01\0\0\x007q".join(raw.rsplit(b"X\x01\0\0\x001q", 1)), ["lists other storages"]),
    ],
)
def test_a_damaged_file_of_before_1_6_is_refused(folder, damage, words):
    raw = legacy_file(TENSORS)
    assert damage(raw) != raw
    refused(folder, damage(raw), *words)


@given(st.data())
@settings(deadline=None, max_examples=80)
def test_any_damage_to_a_file_of_before_1_6_ends_in_one_line_without_more_memory(folder, data):
    raw = bytearray(legacy_file({"a": BIAS}))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    tracemalloc.start()
    try:
        read(folder, bytes(raw), "bad.cpt")
    except ModelError as error:
        assert len(str(error).splitlines()) == 1
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_bare_pickle_is_told_how_to_become_a_file_of_torchs(folder):
    refused(
        folder, pickle.dumps({"a": 1}), "a bare pickle, as pickle.dump writes", 'torch.save(pickle.load(open(FILE, "rb")), NEW)'
    )


@pytest.mark.parametrize("location", ["cpu", "cuda:0", "cuda:7", "mps", "xla:1"])
@pytest.mark.parametrize("root", ["archive", "best_egrumodel", "EGRU best.model", "ünï"])
def test_any_device_tag_and_root_folder(folder, location, root):
    have = read(folder, torch_file(TENSORS, root, location=location))
    assert {key: array.tobytes() for key, array in have.items()} == {key: array.tobytes() for key, array in TENSORS.items()}


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_every_type_in_both_byte_orders(folder, dtype, order):
    values = np.array([[0, 1, 2.0], [3, 0, 96]])
    array = bfloat16(values) if dtype == "bfloat16" else values.astype(dtype)
    have = read(folder, torch_file({"a": array}, byteorder=order))["a"]
    assert have.tolist() == (values.astype(bool) if dtype == "bool" else values).tolist()


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict"])
def test_a_wrapped_state_dict(folder, wrapper):
    assert set(read(folder, torch_file(TENSORS, wrapper=wrapper))) == set(TENSORS)
    refused(folder, torch_file(TENSORS, wrapper="things"), "needs tensors by name", "has a dict with things")


def beside(values, before=b""):
    """A file of torch.save: the state_dict under `state_dict`, and beside it what Python pickles of `values`, by name."""
    raw, storages = state_dict_members(TENSORS, wrapper="state_dict")
    out = raw.removesuffix(b"s.")  # a dict and one pair that waits to be put into it
    for name, value in values.items():
        pickled = value if isinstance(value, bytes) else pickle.dumps(value, 2)
        text = name.encode()
        out += b"s" + before + b"X" + struct.pack("<I", len(text)) + text + pickled.removeprefix(b"\x80\x02").removesuffix(b".")
    return archive(out + b"s.", storages)


class Mine:
    """A class of the user's own."""


BESIDE = {
    "best_ppl": (np.float64(81.4), ["numpy.dtype", "scalar"]),
    "args": (argparse.Namespace(lr=0.1, sizes=[1, 2]), ["argparse.Namespace"]),
    "hyper_parameters": ({"root": PurePosixPath("/data"), "when": datetime.date(2026, 1, 2)}, ["pathlib", "datetime.date"]),
    "random_state": (np.random.RandomState(1).get_state(), ["numpy"]),
    "seen": ({1, 2, 3}, ["set"]),
    "milestones": (collections.Counter({30: 1}), ["collections.Counter"]),
    "history": (collections.deque([1.0, 2.0], maxlen=3), ["collections.deque"]),
    "losses": (collections.defaultdict(list, {"train": [1.0]}), []),
    "by_epoch": ({0.5: 1, None: 2, -1: 3, True: 4}, []),
    "array": (np.arange(4), ["numpy"]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_trainers_leave_beside_the_weights_is_passed_over_and_named(folder, name):
    value, words = BESIDE[name]
    raw = beside({name: value})
    assert {key: array.tobytes() for key, array in read(folder, raw).items()} == {k: v.tobytes() for k, v in TENSORS.items()}
    with opened_state(folder / "model.cpt") as state:
        notes = state.log.notes
    assert f"the state_dict lies under 'state_dict'; beside it: {name}" in notes
    passed = [note for note in notes if note.startswith("passed over, without running anything: ")]
    assert bool(passed) == bool(words)
    for word in words:
        assert word in passed[0]


def test_an_object_of_an_unknown_class_is_refused_with_its_place_and_the_line_that_helps(folder):
    for value in (Mine(), Runs(Mine), {"deep": [1, Mine()]}):
        line = refusal(folder, beside({"args": value, "epoch": 3}))
        assert "Mine under 'args'" in line
        assert 'torch.save(torch.load(FILE, weights_only=False)["state_dict"], NEW)' in line
    line = refusal(folder, archive(pickle.dumps(Mine(), 2)))
    assert "torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW)" in line


def test_what_may_do_harm_is_refused_without_a_line_that_loads_it(folder):
    line = refusal(folder, beside({"args": Runs(os.system, f"touch {TARGET}")}))
    assert "tries to execute posix.system under 'args'" in line
    assert "weights_only" not in line
    assert line.endswith("do not load it with torch either")


@pytest.mark.parametrize("words", ["numpy.core.multiarray\n_reconstruct", "argparse\nNamespace"])
def test_a_file_of_nothing_but_such_a_value_holds_no_state_dict(folder, words):
    refused(folder, archive(f"\x80\x02c{words}\n.".encode("latin1")), f"holds nothing but a {words.replace(chr(10), '.')}")


def test_arrays_of_numpy_in_the_place_of_tensors_are_told_how_to_become_some(folder):
    refused(folder, archive(pickle.dumps({"a": np.zeros(3)}, 2)), "needs tensors by name", "numpy arrays", "torch.from_numpy")


@pytest.mark.parametrize("wrapper", ["model", "net", "module", "ema_state_dict"])
def test_other_wrappers_and_wrappers_in_wrappers(folder, wrapper):
    assert set(read(folder, torch_file(TENSORS, wrapper=wrapper))) == set(TENSORS)
    inner, storages = state_dict_members(TENSORS, wrapper=wrapper)
    outer = b"\x80\x02}X\x0a\0\0\0state_dict" + inner.removeprefix(b"\x80\x02").removesuffix(b".") + b"s."
    assert set(read(folder, archive(outer, storages))) == set(TENSORS)


def test_a_file_without_checksums_is_read_and_says_so(folder):
    good = torch_file(TENSORS)
    raw = without_checksums(good)
    assert {key: array.tobytes() for key, array in read(folder, raw).items()} == {k: v.tobytes() for k, v in TENSORS.items()}
    with opened_state(folder / "model.cpt") as state:
        assert any("no checksums" in note for note in state.log.notes)
    spoilt = bytearray(good)
    spoilt[good.find(WEIGHT.tobytes())] ^= 1
    refused(folder, bytes(spoilt), "damaged", "Bad CRC-32")  # one that has them is still held to them


def without_checksums(raw):
    """The file as torch writes it after torch.serialization.set_crc32_options(False): a zero for each."""
    out = bytearray(raw)
    for mark, at in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        place = out.find(mark)
        while place >= 0:
            out[place + at : place + at + 4] = bytes(4)
            place = out.find(mark, place + 4)
    return bytes(out)


@pytest.mark.wide
def test_torchs_own_file_without_checksums(tmp_path):
    torch = pytest.importorskip("torch")
    torch.serialization.set_crc32_options(False)
    try:
        in_torch(TENSORS, tmp_path / "t.cpt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert set(read(tmp_path, (tmp_path / "t.cpt").read_bytes())) == set(TENSORS)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.safetensors", "model"])
def test_a_file_is_told_by_its_content_and_not_by_its_name(folder, name):
    save_file({key: array.copy() for key, array in TENSORS.items()}, folder / "plain")
    for raw in ((folder / "plain").read_bytes(), torch_file(TENSORS)):
        assert set(read(folder, raw, name)) == set(TENSORS)


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"), (b'{"weight_map": {}}', "JSON"), (b"GGUF" + bytes(20), "GGUF")],
)
def test_files_of_other_kinds_are_named(folder, raw, words):
    refused(folder, raw, "no file of torch.save or safetensors", words)


def test_members_that_torch_may_or_may_not_write(folder):
    """Older versions write neither byteorder nor the dotted members; others pack files of their own."""
    raw, storages = state_dict_members(TENSORS)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in {"data.pkl": raw, **{f"data/{k}": v for k, v in storages.items()}, "extra/readme": b"x"}.items():
            file.writestr(f"a/{name}", content)
    assert set(read(folder, out.getvalue())) == set(TENSORS)
    assert set(read(folder, archive(raw, storages, extra={"../../../tmp/evil": b"x", "/etc/passwd": b"x"}))) == set(TENSORS)


def test_safetensors(folder):
    tensors = {key: array.copy() for key, array in TENSORS.items()}
    save_file(tensors | {"n": np.arange(3), "h": np.ones(2, np.float16)}, folder / "m.safetensors")
    have = read(folder, (folder / "m.safetensors").read_bytes(), "m.safetensors")
    assert have["decoder.decoder.bias"].tobytes() == BIAS.tobytes()
    assert (have["n"].tolist(), have["h"].tolist()) == ([0, 1, 2], [1, 1])
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    raw = struct.pack("<Q", len(header)) + header + bfloat16([1.5, -2]).tobytes()
    assert read(folder, raw, "b.safetensors")["a"].tolist() == [1.5, -2]
    with pytest.raises(ModelError, match="F8_E4M3"):
        read(folder, raw.replace(b'"BF16","shape":[2]', b'"F8_E4M3","shape":[4]').replace(b"\x37", b"\x3a", 1), "c.safetensors")
    for bad, why in ((b"", "is empty"), (b"x" * 30, "damaged"), (raw[:-1], "damaged")):
        with pytest.raises(ModelError, match=why):
            read(folder, bad, "d.safetensors")


# ---- files that want to run something


HOSTILE = {
    "system by GLOBAL": (pickle.dumps(Runs(os.system, f"touch {TARGET}"), 2), "posix.system"),
    "system by STACK_GLOBAL": (pickle.dumps(Runs(os.system, f"touch {TARGET}"), 4), "posix.system"),
    "os.system, protocol 0": (f"cos\nsystem\n(S'touch {TARGET}'\ntR.".encode(), "os.system"),
    "eval": (pickle.dumps(Runs(eval, f"open('{TARGET}', 'w')"), 2), "__builtin__.eval"),
    "exec, protocol 5": (pickle.dumps(Runs(exec, f"open('{TARGET}', 'w')"), 5), "builtins.exec"),
    "nested deep in data": (pickle.dumps({"state_dict": [({"a": Runs(os.system, f"touch {TARGET}")},)]}, 2), "posix.system"),
    "INST": (f"(S'touch {TARGET}'\nios\nsystem\n.".encode(), "os.system"),
    "OBJ": (f"(cos\nsystem\nS'touch {TARGET}'\no.".encode(), "os.system"),
    "NEWOBJ": (b"\x80\x02csubprocess\nPopen\n(X\x02\x00\x00\x00idt\x81.", "subprocess.Popen"),
    "named and not called": (b"\x80\x02cos\nsystem\n.", "os.system"),
    "getattr of an allowed module": (b"\x80\x04\x8c\x05torch\x8c\x04load\x93.", "torch.load"),
    "an attribute path": (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "collections.OrderedDict.__init__"),
    "a name with a blank": (b"\x80\x02ccollections \nOrderedDict\n.", "OrderedDict"),
    "an unknown builder of torch's": (b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n.", "torch._utils._rebuild_sparse_tensor"),
    "a name of two lines": (b"\x80\x04\x8c\x04a\nb\x1b\x8c\x02\xc3\xbc\x93.", "a"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_wants_to_be_run_is_refused_by_name(folder, monkeypatch, name):
    raw, words = HOSTILE[name]
    monkeypatch.chdir(folder)
    for module, function in ((os, "system"), (builtins, "eval"), (builtins, "exec")):
        monkeypatch.setattr(module, function, lambda *_: pytest.fail("a pickle was run"))
    refused(folder, archive(raw), "tries to execute", words, "nothing in this file was run")
    assert not (folder / TARGET).exists()


def tensor_pickle(storage=("FloatStorage", "0", "cpu", 4), view=(0, (2, 2), (2, 1))):
    p = Pickle()
    p.out += b"}"
    p.put()
    p.text("a")
    p.tensor(*storage, *view)
    return bytes(p.out) + b"s."


def test_the_hand_made_pickle_is_good(folder):
    """So that what follows is refused for what is wrong with it."""
    data = {"0": np.arange(4, dtype="<f4").tobytes()}
    assert read(folder, archive(tensor_pickle(), data))["a"].tolist() == [[0, 1], [2, 3]]
    assert read(folder, archive(tensor_pickle(view=(1, (3,), (1,))), data))["a"].tolist() == [1, 2, 3]
    assert read(folder, archive(tensor_pickle(view=(0, (0, 9), (9, 1))), data))["a"].shape == (0, 9)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"view": (1, (2, 2), (2, 1))}, ["needs 5 elements of storage '0'", "has 4"]),
        ({"view": (0, (2, 2), (3, 1))}, ["needs 5 elements"]),
        ({"view": (4, (), ())}, ["needs 5 elements"]),
        ({"view": (0, (10**6, 10**6), (0, 0))}, ["needs 1000000000000 elements"]),
        ({"view": (0, (1 << 62, 2), (0, 0))}, ["cannot be"]),
        ({"view": (0, (2,), (1 << 62,))}, ["cannot be"]),
        ({"view": (0, (2, 2), (2,))}, ["2 sizes and 1 strides"]),
        ({"view": (0, (1,) * 9, (1,) * 9)}, ["9 sizes"]),
        ({"storage": ("FloatStorage", "0", "cpu", 5)}, ["storage '0' needs 20 bytes, has 16"]),
        ({"storage": ("FloatStorage", "0", "cpu", 3), "view": (0, (2,), (1,))}, ["needs 12 bytes, has 16"]),
        ({"storage": ("DoubleStorage", "0", "cpu", 4)}, ["needs 32 bytes, has 16"]),
        ({"storage": ("FloatStorage", "0", "cpu", 1 << 40)}, ["needs 4398046511104 bytes, has 16"]),
        ({"storage": ("FloatStorage", "0", "cpu", 1 << 80)}, ["cannot be"]),
        ({"storage": ("FloatStorage", "0", "cpu", 1 << 2000)}, ["cannot be"]),
        ({"storage": ("FloatStorage", "../../etc/passwd", "cpu", 4)}, ["'../../etc/passwd' needs 16 bytes, has no such member"]),
        ({"storage": ("FloatStorage", "1", "cpu", 4)}, ["storage '1' needs 16 bytes, has no such member"]),
        (
            {"storage": ("ComplexFloatStorage", "0", "cpu", 4)},
            ["storage of type torch.ComplexFloatStorage", "needs one of float32"],
        ),
        ({"storage": ("QInt8Storage", "0", "cpu", 4)}, ["torch.QInt8Storage"]),
    ],
)
def test_tensors_that_cannot_be(folder, parts, words):
    refused(folder, archive(tensor_pickle(**parts), {"0": np.arange(4, dtype="<f4").tobytes()}), *words)


@pytest.mark.wide
def test_a_negated_view(folder, tmp_path):
    """Its storage holds other numbers than the tensor."""
    torch = pytest.importorskip("torch")
    torch.save({"a": torch._neg_view(torch.ones(3))}, tmp_path / "n.pt")
    refused(folder, (tmp_path / "n.pt").read_bytes(), "negated or conjugate view")


def dict_of(items):
    return b"}(" + b"".join(items) + b"u"


@pytest.mark.wide
@pytest.mark.timeout(30)
def test_dicts_that_would_take_hours(folder):
    """Numbers that hash alike, as keys and in the memo; and one dict seen from a great many places in another one."""
    alike = [(1 + k * (2**61 - 1)) for k in range(40_000)]
    refused(
        folder,
        archive(b"\x80\x02" + dict_of(b"\x8a\x0a" + n.to_bytes(10, "little") + b"N" for n in alike) + b"."),
        "key that is a int",
    )
    refused(folder, archive(b"N" + b"".join(b"p%d\n" % n for n in alike) + b"."), "memo index")
    inner = dict_of(b"X\4\0\0\0%04xN" % n for n in range(60_000))
    outer = dict_of([b"X\1\0\0\0a" + inner + b"q\0", *(b"X\4\0\0\0%04xh\0" % n for n in range(60_000))])
    refused(folder, archive(b"\x80\x02" + outer + b"."), "needs tensors by name")


def test_a_storage_seen_too_often(folder):
    """Tensors are views until they are read; read they would be as many copies."""
    shared = np.zeros(5000, np.float32)
    assert len(read(folder, torch_file(dict.fromkeys("abcdef", shared)))) == 6
    refused(folder, torch_file({f"k{n}": shared for n in range(100)}), "too often", "8 times")


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x80\x02}.", ["needs tensors by name"]),
        (b"\x80\x02N.", ["has a NoneType"]),
        (b"\x80\x02]q\x00h\x00a.", ["has a list"]),  # contains itself
        (b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.", ["needs tensors by name"]),  # so does this
        (b"\x80\x02)" + b"\x85" * 1000 + b".", ["has a tuple"]),
        (b"\x80\x02}" + b")" + b"\x85" * 60_000 + b"K\x01s.", ["key that is a tuple"]),
        (b"\x80\x02" + b"(" * 60_000 + b".", ["damaged"]),
        (b"\x80\x02ccollections\nOrderedDict\n(K\x01K\x02tR.", ["damaged"]),
        (b"\x80\x02K\x01)R.", ["tries to call", "int"]),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", ["tries to call", "torch.FloatStorage"]),
        (b"\x80\x02ctorch\nFloatStorage\n}b.", ["damaged"]),
        (b"\x80\x02X\x02\x00\x00\x00idQ.", ["persistent id"]),
        (b"Pid\n.", ["opcode PERSID"]),
        (b"\x80\x02\x82\x01.", ["opcode EXT1"]),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b".", ["damaged"]),
        (b"\x80\x05\x8e" + struct.pack("<Q", 1 << 62) + b".", ["damaged"]),
        (b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b".", ["damaged"]),
        (b"\x80\x02Nr\xff\xff\xff\xff.", ["memo index"]),
        (b"\x80\x02h\x05.", ["damaged"]),
        (b"\x80\x02.", ["damaged"]),
        (b"\x80\x02NN.", ["damaged"]),
        (b"\xff.", ["damaged"]),
        (b"", ["damaged"]),
        (b"I" + b"9" * 5000 + b"\n.", ["damaged"]),
        (b"\x80\x02" + b"N0" * MAX_PICKLE_BYTES, ["a state_dict's has less than 2097152"]),
    ],
)
def test_pickles_that_hold_no_state_dict(folder, raw, words):
    tracemalloc.start()
    try:
        refused(folder, archive(raw), *words)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


# ---- the zip around it


def test_zips_that_torch_would_not_write(folder):
    raw, storages = state_dict_members({"a": np.zeros(1 << 20, np.float32)})
    bomb = archive(raw, storages, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    refused(folder, bomb, "'archive/data.pkl' is compressed")
    refused(folder, archive(raw, {}), "no such member")
    refused(folder, archive(raw, storages, extra={"b/data.pkl": raw}), "has 2")
    refused(folder, archive(raw, storages, byteorder="middle"), "byteorder", "middle")
    refused(folder, archive(raw, storages, extra={"archive/constants.pkl": b""}), "TorchScript")
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive(raw, storages, extra={"archive/data/0": storages["0"]})
    refused(folder, twice, "two members 'archive/data/0'")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("notes.txt", "hello")
    refused(folder, out.getvalue(), "needs one member data.pkl", "has 0")


def test_members_within_members(folder):
    """Each holds the next one, header and all: read one by one they would be a great many times the file."""
    inner, entries = b"x" * 100_000, []
    for number in range(50):
        name, crc = f"a/data/{number}".encode(), zlib.crc32(inner)
        head = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 33, crc, len(inner), len(inner), len(name), 0) + name
        entries = [(n, c, s, at + len(head)) for n, c, s, at in entries] + [(name, crc, len(inner), 0)]
        inner = head + inner
    directory = b"".join(
        struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 33, crc, size, size, len(name), 0, 0, 0, 0, 0, at) + name
        for name, crc, size, at in entries
    )
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(entries), len(entries), len(directory), len(inner), 0)
    refused(folder, inner + directory + end, "members claim 50", "the file has 10")


def test_members_that_lie_on_one_another(folder):
    """Two names for the same bytes."""
    raw, storages = state_dict_members({"a": np.zeros(1 << 12, np.float32), "b": np.ones(1 << 12, np.float32)})
    good = bytearray(archive(raw, storages))
    first, second = (good.find(b"PK\x01\x02", good.find(b"PK\x01\x02")) for _ in range(2))
    entries = []
    place = good.find(b"PK\x01\x02")
    while good[place : place + 4] == b"PK\x01\x02":
        entries.append(place)
        place += 46 + sum(struct.unpack("<HHH", good[place + 28 : place + 34]))
    storages_at = [e for e in entries if b"data/" in good[e + 46 : e + 70] and b"." not in good[e + 46 : e + 62]]
    assert len(storages_at) == 2
    first, second = storages_at
    good[second + 42 : second + 46] = good[first + 42 : first + 46]
    refusal(folder, bytes(good))


@pytest.mark.parametrize("raw", [b"", b"P", b"PK", b"PK\x03\x04" + b"\0" * 100, b"hello", b"\xff" * 100, b"\x80\x02}q\x00."])
def test_what_is_no_zip(folder, raw):
    refusal(folder, raw)


def test_a_missing_file_and_a_folder(folder):
    for path, why in ((folder / "missing.cpt", "no such file"), (folder, "is no file")):
        with pytest.raises(ModelError, match=why), opened_state(path):
            pass


GOOD = torch_file(TENSORS, metadata={"": 1})
RAW_PICKLE, RAW_STORAGES = state_dict_members(TENSORS, metadata={"": 1})


def readable_or_one_line(folder, raw):
    tracemalloc.start()
    try:
        for array in read(folder, raw, "fuzz.cpt").values():
            assert np.isfinite(array).all()
    except ModelError as error:
        assert len(str(error).splitlines()) == 1
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_member_of_two_sizes(folder):
    """What a single flipped byte of the directory made the reader take 4 MB for; it could have been 4 GB."""
    raw = bytearray(GOOD)
    place = raw.find(b"archive/byteorder", raw.find(b"PK\x01\x02")) - 46
    raw[place + 20 : place + 24] = b"\xff\xff\xff\x7f"
    refused(folder, bytes(raw), "'archive/byteorder' has two sizes, 2147483647 and 6 bytes")


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_flipped_bytes_of_the_file(folder, data):
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    readable_or_one_line(folder, bytes(raw))


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_flipped_bytes_of_the_pickle(folder, data):
    """In a zip whose checksums are right, so that the pickle is read."""
    raw = bytearray(RAW_PICKLE)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    readable_or_one_line(folder, archive(bytes(raw), RAW_STORAGES))


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=100)
def test_any_bytes_as_a_pickle(folder, raw):
    readable_or_one_line(folder, archive(b"\x80\x02" + raw, RAW_STORAGES))


@given(st.integers(0, len(GOOD) - 1))
@settings(deadline=None, max_examples=60)
def test_a_truncated_file(folder, end):
    refusal(folder, GOOD[:end])
