"""A checkpoint comes back as it was saved, or is refused in one line that says what is wrong; nothing else ever happens."""

import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.checkpoint import Model, load, save
from models.network import ModelError, SparseRows
from models.seeded import seeded_egru, seeded_embedding

UNITS = (6, 9, 6)  # input, then layers
WORDS = ("<unk>", "the", "naïve", "ship")
MODEL = Model(
    seeded_egru(UNITS[0], UNITS[1:], 0.4, seed=2, zoneout=0.1),
    seeded_embedding(len(WORDS), UNITS[0]),
    np.arange(len(WORDS), dtype=np.float32) / 8,
    WORDS,
    provenance={"from": "a test"},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def saved(folder):
    """The bytes of a good file."""
    save(folder / "good.safetensors", MODEL)
    return (folder / "good.safetensors").read_bytes()


def load_bytes(folder, raw):
    path = folder / "damaged.safetensors"
    path.write_bytes(raw)
    return load(path)


def loads_or_one_line(folder, raw):
    """Return the model, usable, or the one line it was refused with."""
    try:
        model = load_bytes(folder, raw)
    except ModelError as error:
        assert len(str(error).splitlines()) == 1
        assert "damaged.safetensors" in str(error)
        return str(error)
    for layer in model.network.populations:
        for projection in layer.projections:
            assert np.isfinite(projection.weights.to_dense()).all()
    assert model.embedding.shape == (len(model.vocabulary), model.network.populations[0].units)
    return model


def refused(folder, raw, *words):
    answer = loads_or_one_line(folder, raw)
    assert isinstance(answer, str), "a damaged file was loaded"
    for word in words:
        assert word in answer


class Parts:
    """A safetensors file taken apart: its tensors as arrays and its metadata as an object, both to be changed."""

    def __init__(self, raw):
        (length,) = struct.unpack("<Q", raw[:8])
        self.header = json.loads(raw[8 : 8 + length])
        self.about = json.loads(self.header.pop("__metadata__")["gennaker"])
        body = raw[8 + length :]
        self.tensors = {}
        for name, entry in self.header.items():
            first, last = entry["data_offsets"]
            dtype = {"F32": "<f4", "I64": "<i8", "U32": "<u4", "U8": "|u1"}[entry["dtype"]]
            self.tensors[name] = np.frombuffer(body[first:last], dtype).reshape(entry["shape"]).copy()

    def file(self, about_text=None, dtypes=()):
        """The bytes again; `dtypes` renames the types of some tensors."""
        names = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64", "<i4": "I32", "<u4": "U32", "|u1": "U8"}
        header = {"__metadata__": {"gennaker": json.dumps(self.about) if about_text is None else about_text}}
        body = b""
        for name, array in self.tensors.items():
            end = len(body) + array.nbytes
            dtype = dict(dtypes).get(name) or names[array.dtype.str]
            header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(body), end]}
            body += array.tobytes()
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body


@pytest.fixture
def parts(saved):
    return Parts(saved)


# ---- a good file


def test_a_model_comes_back_as_it_was_saved(folder, saved):
    model = load(folder / "good.safetensors")
    assert (model.vocabulary, model.segment, model.provenance) == (WORDS, 70, {"from": "a test"})
    assert model.embedding.tobytes() == MODEL.embedding.tobytes()
    assert model.decoder_bias.tobytes() == MODEL.decoder_bias.tobytes()
    for have, want in zip(model.network.populations, MODEL.network.populations, strict=True):
        assert (have.name, have.units, have.kernel) == (want.name, want.units, want.kernel)
        assert {name: v.tobytes() for name, v in have.vectors.items()} == {name: v.tobytes() for name, v in want.vectors.items()}
        for a, b in zip(have.projections, want.projections, strict=True):
            assert (a.source, a.port, a.weights.shape) == (b.source, b.port, b.weights.shape)
            for array in ("extents", "columns", "values"):
                x, y = getattr(a.weights, array), getattr(b.weights, array)
                assert (x.dtype, x.tobytes()) == (y.dtype, y.tobytes())
    assert [layer.params for layer in model.network.populations[1:]] == [{"zoneout": 0.1, "fire_at_threshold": 0.0}] * 2


def test_a_saved_file_loads_and_saves_to_the_same_bytes(folder, saved):
    save(folder / "again.safetensors", load(folder / "good.safetensors"))
    assert (folder / "again.safetensors").read_bytes() == saved


def test_thresholds_are_clamped_as_the_authors_code_does(folder, parts):
    """Files of the authors hold slightly negative ones."""
    name = "layer1.threshold"
    parts.tensors[name][:4] = [-0.01, 1.5, 0.0, 1.0]
    model = load_bytes(folder, parts.file())
    have = model.network.populations[1].vectors["threshold"]
    assert have[:4].tolist() == [0, 1, 0, 1]
    assert have[4:].tobytes() == parts.tensors[name][4:].tobytes()


def test_an_embedding_may_be_float16(folder, parts):
    parts.tensors["embedding"] = parts.tensors["embedding"].astype("<f2")
    model = load_bytes(folder, parts.file())
    assert model.embedding.dtype == np.float32
    assert np.array_equal(model.embedding, parts.tensors["embedding"].astype(np.float32))


def test_params_that_a_file_does_not_name_have_their_defaults(folder, parts):
    parts.about["layers"][0]["params"] = {}
    assert load_bytes(folder, parts.file()).network.populations[1].params == {"zoneout": 0.0, "fire_at_threshold": 0.0}


# ---- damage to the file


def test_a_missing_file_and_a_folder_are_named(folder):
    for path, why in ((folder / "missing", "no such file"), (folder, "is no file"), (folder / "good.safetensors" / "x", "no such")):
        with pytest.raises(ModelError) as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert why in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_a_name_too_long_for_a_file_is_a_missing_file(folder):
    with pytest.raises(ModelError):
        load(folder / ("x" * 300))


@pytest.mark.parametrize("raw", [b"", b"\0", b"not safetensors at all", b"\xff" * 100, struct.pack("<Q", 2) + b"{}"])
def test_what_is_no_checkpoint_is_refused(folder, raw):
    refused(folder, raw)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_a_truncated_file_is_refused_wherever_it_ends(folder, saved, data):
    refused(folder, saved[: data.draw(st.integers(0, len(saved) - 1))])


def test_a_file_with_something_behind_its_end_is_refused(folder, saved):
    refused(folder, saved + b"x")


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_flipped_bytes_load_or_are_refused(folder, saved, data):
    """Never another exception; what loads can be used."""
    (length,) = struct.unpack("<Q", saved[:8])
    raw = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 8 + length - 1) | st.integers(8 + length, len(saved) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
    loads_or_one_line(folder, bytes(raw))


# ---- tensors that cannot be


NAMES = [
    "embedding",
    "decoder_bias",
    "vocabulary",
    *(f"layer{n}.{v}" for n in (1, 2) for v in ("threshold", "bias", "recurrent_bias")),
    *(f"layer{n}.{port}.{a}" for n in (1, 2) for port in ("input", "recurrent") for a in ("extents", "columns", "values")),
]
NUMBERS = [name for name in NAMES if name != "vocabulary"]  # of words any number will do that the embedding has too
FLOATS = [name for name in NAMES if name.split(".")[-1] not in ("vocabulary", "extents", "columns")]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_tensor_is_named(folder, parts, name):
    assert parts.tensors.keys() == set(NAMES)
    del parts.tensors[name]
    refused(folder, parts.file(), f"has no tensor '{name}'")


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named_with_its_place(folder, parts, name, value):
    parts.tensors[name].reshape(-1)[3] = value
    refused(folder, parts.file(), name.removesuffix(".values"), "not finite", "at 3")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_wrong_shape_is_refused(folder, parts, name):
    good = parts.tensors[name]
    for bad in (good.reshape(-1)[:-1], np.concatenate([good, good]), good[None], good.reshape(-1)[:0]):
        parts.tensors[name] = bad
        refused(folder, parts.file(), name.rsplit(".", 1)[0])


@pytest.mark.parametrize("name", NUMBERS)
def test_a_wrong_type_is_refused(folder, parts, name):
    parts.tensors[name] = parts.tensors[name].astype("<i4" if name in FLOATS else "<f4")
    refused(folder, parts.file(), name.rsplit(".", 1)[0])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("embedding", "BF16"), ("vocabulary", "F8_E4M3")],
)
def test_a_type_that_numpy_does_not_have_is_refused(folder, parts, name, dtype):
    if dtype == "BF16":
        parts.tensors[name] = parts.tensors[name].astype("<f2")
    refused(folder, parts.file(dtypes={name: dtype}), name)


def break_columns(change):
    def damage(parts):
        extents, columns = (parts.tensors[f"layer1.input.{name}"] for name in ("extents", "columns"))
        row = int(np.argmax(np.diff(extents) >= 2))  # a row with at least two weights
        change(columns, int(extents[row]))

    return damage


def _swap(columns, first):
    columns[first], columns[first + 1] = columns[first + 1], columns[first]


def _repeat(columns, first):
    columns[first + 1] = columns[first]


def _too_large(columns, first):
    columns[first] = UNITS[0]


def _extents(index, value):
    def damage(parts):
        parts.tensors["layer1.input.extents"][index] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_columns(_swap), ["ascending order within each row"]),
        (break_columns(_repeat), ["ascending order within each row"]),
        (break_columns(_too_large), [f"column {UNITS[0]} in a matrix of {UNITS[0]} columns"]),
        (_extents(0, 1), ["row extents"]),
        (_extents(0, -1), ["row extents"]),
        (_extents(3, 10**6), ["row extents"]),
        (_extents(-1, 10**6), ["1000000 weights, the file has"]),
        (_extents(-1, 2**62), ["weights, the file has"]),
    ],
    ids=["unsorted", "twice", "out of range", "from 1", "from -1", "descending", "too many", "far too many"],
)
def test_malformed_rows_are_refused(folder, parts, damage, words):
    damage(parts)
    refused(folder, parts.file(), "layer1.input", *words)


def test_row_extents_that_wrap_around_are_refused():
    top = 2**63 - 1
    extents = np.array([0, top, -top - 1, -1, 3])
    with pytest.raises(ModelError):
        SparseRows((4, 4), extents, np.arange(3, dtype=np.uint32), np.ones(3, np.float32)).check("file")


def test_a_vocabulary_that_is_no_text_or_has_another_size_is_refused(folder, parts):
    good = parts.tensors["vocabulary"]
    parts.tensors["vocabulary"] = np.concatenate([good, np.array([0xFF], np.uint8)])
    refused(folder, parts.file(), "not UTF-8")
    parts.tensors["vocabulary"] = np.frombuffer(b"one\ntwo", np.uint8)
    refused(folder, parts.file(), "embedding", f"(2, {UNITS[0]})")


# ---- metadata that cannot be


def _set(**changes):
    return lambda about: about.update(changes)


def _layer(**changes):
    return lambda about: about["layers"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(version=2), ["version 1", "has 2"]),
        (_set(version=None), ["version 1", "has None"]),
        (_set(input_units=0), ["sizes [0, 9, 6]"]),
        (_set(input_units=-6), ["sizes"]),
        (_set(input_units="6"), ["sizes"]),
        (_set(input_units=6.0), ["sizes"]),
        (_set(input_units=7), ["last layer of 7 units, has 6"]),
        (_set(layers=[]), ["sizes [6]"]),
        (_set(layers=None), ["layers"]),
        (_set(layers={"a": 1}), ["layers"]),
        (_set(layers=[[]]), ["layers"]),
        (_set(segment=-1), ["segment -1"]),
        (_set(segment=True), ["segment True"]),
        (_set(segment=1e3), ["segment 1000.0"]),
        (_layer(units=True), ["sizes"]),
        (_layer(units=8), ["layer1"]),
        (_layer(params=None), ["params"]),
        (_layer(params={"zoneout": "much"}), ["params"]),
        (_layer(params={"zoneout": 1.5}), ["zoneout"]),
        (_layer(params={"zoneout": float("nan")}), ["zoneout"]),
        (lambda about: about["layers"].pop(), ["last layer of 6 units, has 9"]),
    ],
)
def test_metadata_that_cannot_be_are_refused(folder, parts, change, words):
    change(parts.about)
    refused(folder, parts.file(), *words)


@pytest.mark.parametrize("text", ["", "null", "3", "[]", "{", "[" * 100_000, "\u0000", '{"version": "1"}'])
def test_metadata_that_are_no_object_are_refused(folder, parts, text):
    refused(folder, parts.file(about_text=text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"version": 1, "segment": ' + "9" * 5000 + "}", id="a number of 5000 digits"),
        pytest.param(
            '{"version": 1, "input_units": 6, "segment": 0, "layers": [{"units": 9, "params": {"zoneout": 1' + "0" * 400 + "}}]}",
            id="a number beyond float",
        ),
        pytest.param('{"version": "1\\n2"}', id="a version of two lines"),
    ],
)
def test_metadata_that_python_stumbles_over_are_refused(folder, parts, text):
    refused(folder, parts.file(about_text=text))


@pytest.mark.parametrize("units", [(1 << 24) - 1, 1 << 24, 1 << 40, 10**30])
@pytest.mark.parametrize("where", ["input", "layer"])
def test_huge_sizes_are_refused_before_anything_of_that_size_is_made(folder, parts, where, units):
    (_set(input_units=units) if where == "input" else _layer(units=units))(parts.about)
    raw = parts.file()
    (folder / "damaged.safetensors").write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError) as caught:
            load(folder / "damaged.safetensors")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 62, 1 << 62], [0, 1 << 62]])
def test_a_header_that_declares_a_huge_tensor_is_refused(folder, saved, shape):
    (length,) = struct.unpack("<Q", saved[:8])
    header = json.loads(saved[8 : 8 + length])
    header["embedding"]["shape"] = shape
    text = json.dumps(header).encode()
    refused(folder, struct.pack("<Q", len(text)) + text + saved[8 + length :])
    refused(folder, struct.pack("<Q", 1 << 60) + saved[8:])
