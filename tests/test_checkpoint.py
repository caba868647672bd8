"""A checkpoint comes back as it was saved, or is refused in one line that says what is wrong; nothing else ever happens."""

import json
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.checkpoint import DecoderProjection, Model, load, save
from models.network import ModelError, Network, Population, SparseRows
from models.seeded import seeded_egru, seeded_embedding

UNITS = (6, 9, 6)  # input, then layers
WORDS = ("<unk>", "<eos>", "naïve", "ship")
MODEL = Model(
    seeded_egru(UNITS[0], UNITS[1:], 0.4, seed=2, zoneout=0.1),
    seeded_embedding(len(WORDS), UNITS[0]),
    np.arange(len(WORDS), dtype=np.float32) / 8,
    WORDS,
    provenance={"from": "a test"},
)

WIDE = (6, 9, 5)  # the last layer is not as wide as the embedding, so a projection lies between
FULL = Model(
    seeded_egru(WIDE[0], WIDE[1:], 0.4, seed=3),
    seeded_embedding(len(WORDS), WIDE[0]).astype(np.float16),
    np.arange(len(WORDS), dtype=np.float32) / 8,
    WORDS,
    35,
    "carried",
    DecoderProjection(seeded_embedding(WIDE[0], WIDE[-1]), np.linspace(-1, 1, WIDE[0], dtype=np.float32), "relu"),
    {"valid": np.array([0, 3, 1], np.uint32), "test": np.array([2, 2], np.uint32)},
    "CC0-1.0",
    {"settings": {"epochs": 3}, "perplexity": {"test": 81.4}},
)
BARE = Model(seeded_egru(WIDE[0], WIDE[1:], 0.4, seed=3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def saved(folder):
    """The bytes of a good file."""
    save(folder / "good.safetensors", MODEL)
    return (folder / "good.safetensors").read_bytes()


@pytest.fixture(scope="module")
def files(folder, saved):
    """The bytes of three good files: a plain one, one with every optional part, and one without any."""
    save(folder / "full.safetensors", FULL)
    save(folder / "bare.safetensors", BARE)
    return [saved, *((folder / f"{name}.safetensors").read_bytes() for name in ("full", "bare"))]


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
    widths = [layer.units for layer in model.network.populations]
    for layer in model.network.populations:
        for projection in layer.projections:
            assert np.isfinite(projection.weights.to_dense()).all()
    if model.embedding is not None:
        assert model.embedding.shape == (len(model.decoder_bias), widths[0])
        assert len(model.vocabulary) in (0, len(model.embedding))
        assert all(numbers.max() < len(model.embedding) for numbers in model.tokens.values())
        assert (model.projection is None and widths[0] == widths[-1]) or model.projection.weight.shape == (widths[0], widths[-1])
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
            dtype = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "U32": "<u4", "U16": "<u2", "U8": "|u1"}[entry["dtype"]]
            self.tensors[name] = np.frombuffer(body[first:last], dtype).reshape(entry["shape"]).copy()

    def file(self, about_text=None, dtypes=()):
        """The bytes again; `dtypes` renames the types of some tensors."""
        names = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64", "<i4": "I32", "<u4": "U32", "<u2": "U16", "|u1": "U8"}
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


def same(have, want):
    return have.dtype == want.dtype and have.shape == want.shape and have.tobytes() == want.tobytes()


def test_every_optional_part_comes_back(folder, files):
    model = load(folder / "full.safetensors")
    assert (model.segment, model.state, model.reset_every) == (35, "carried", 0)
    assert (model.vocabulary, model.text_licence, model.provenance) == (WORDS, "CC0-1.0", FULL.provenance)
    assert same(model.embedding, FULL.embedding.astype(np.float32))  # stored as float16
    assert Parts(files[1]).tensors["embedding"].dtype == np.float16
    assert model.projection.activation == "relu"
    assert same(model.projection.weight, FULL.projection.weight)
    assert same(model.projection.bias, FULL.projection.bias)
    assert list(model.tokens) == ["valid", "test"]
    assert all(same(model.tokens[split], FULL.tokens[split]) for split in FULL.tokens)


def test_a_bare_stack_of_layers_comes_back(folder, files):
    model = load(folder / "bare.safetensors")
    assert (model.embedding, model.decoder_bias, model.vocabulary, model.projection) == (None, None, (), None)
    assert (model.tokens, model.text_licence, model.provenance) == ({}, "", {})
    assert (model.segment, model.state, model.reset_every) == (70, "zeroed", 70)
    assert [layer.units for layer in model.network.populations] == list(WIDE)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_the_words_may_be_missing_although_there_is_an_embedding(folder, activation):
    """An imported file whose text is not at hand."""
    save(
        folder / "x.safetensors",
        replace(FULL, vocabulary=(), tokens={}, projection=replace(FULL.projection, activation=activation)),
    )
    model = load(folder / "x.safetensors")
    assert model.vocabulary == ()
    assert model.embedding.shape == (len(WORDS), WIDE[0])
    assert model.projection.activation == activation


@pytest.mark.parametrize(("count", "kind"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_numbers_are_stored_as_narrow_as_all_that_may_be(folder, count, kind):
    """Columns by the width of the matrix, tokens by the number of words; loaded they are uint32."""
    network = seeded_egru(count, (1,), 0.0001, seed=2)
    words = np.ones((count, 1), np.float32)
    tokens = {"test": np.array([0, count - 1], np.uint32)}
    small = seeded_egru(1, (1,), 1.0)
    for model, name in ((Model(network), "layer1.input.columns"), (Model(small, words, words[:, 0], tokens=tokens), "tokens.test")):
        save(folder / "x.safetensors", model)
        assert Parts((folder / "x.safetensors").read_bytes()).tensors[name].dtype == kind
        back = load(folder / "x.safetensors")
        if name == "tokens.test":
            assert same(back.tokens["test"], tokens["test"])
        else:
            assert same(
                back.network.populations[1].projections[0].weights.columns, network.populations[1].projections[0].weights.columns
            )


def test_wide_numbers_are_taken_where_narrow_ones_would_do(folder, files):
    parts = Parts(files[1])
    for name in ("tokens.test", "layer1.input.columns"):
        assert parts.tensors[name].dtype == np.uint16
        parts.tensors[name] = parts.tensors[name].astype("<u4")
    assert same(load_bytes(folder, parts.file()).tokens["test"], FULL.tokens["test"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embedding": None, "decoder_bias": None}, "needs an embedding"),
        ({"decoder_bias": None}, "has no tensor 'decoder_bias'"),
        ({"embedding": FULL.embedding.astype(np.float64)}, "embedding needs shape (4, 6) of float16 or float32"),
        ({"vocabulary": WORDS[:3]}, "vocabulary needs 4 words"),
        ({"vocabulary": (*WORDS[:3], "a\nb")}, "without white space"),
        ({"vocabulary": (*WORDS[:3], "\ud800")}, "UTF-8"),
        ({"projection": None}, "needs a last layer of 6 units, has 5"),
        ({"projection": replace(FULL.projection, weight=FULL.projection.weight.T)}, "projection.weight needs shape (6, 5)"),
        ({"projection": replace(FULL.projection, bias=np.full(6, np.nan, np.float32))}, "projection.bias: 6 of 6"),
        ({"projection": replace(FULL.projection, activation="gelu")}, "projection 'gelu'"),
        ({"tokens": {"test": np.array([4], np.uint32)}}, "tokens.test needs word numbers below 4, has a word 4"),
        ({"tokens": {"test": np.array([1 << 16], np.uint32)}}, "tokens.test needs word numbers below 4, has a word 65536"),
        ({"tokens": {"test": np.zeros(0, np.uint32)}}, "tokens.test needs word numbers below 4, has no words"),
        ({"tokens": {"train": np.zeros(2, np.uint32)}}, "should not have, first 'tokens.train'"),
        ({"segment": 0}, "segment 0"),
        ({"state": ""}, "state ''"),
        ({"text_licence": "\ud800"}, "half a surrogate pair"),
        ({"provenance": {"when": object()}}, "cannot be written as JSON"),
        ({"provenance": {"loss": float("nan")}}, "cannot be written as JSON"),
        ({"provenance": {"log": "x" * (1 << 20)}}, "shorten the provenance"),
        ({"network": Network((Population("input", 6), replace(FULL.network.populations[1], kernel="lif")))}, "needs kernel 'egru'"),
        (
            {"network": Network((Population("input", 6), replace(FULL.network.populations[1], projections=())))},
            "needs kernel 'egru'",
        ),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(folder, change, words):
    path = folder / "never.safetensors"
    with pytest.raises(ModelError) as caught:
        save(path, replace(FULL, **change))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not path.exists()


def test_a_column_too_large_for_its_type_is_not_wrapped_into_range(folder):
    layer = BARE.network.populations[1]
    rows = layer.projections[0].weights
    columns = rows.columns.copy()
    columns[int(np.flatnonzero(rows.row_nonzeros)[0])] = 1 << 16
    ports = (replace(layer.projections[0], weights=replace(rows, columns=columns)), layer.projections[1])
    with pytest.raises(ModelError, match="column 65536 in a matrix of 6 columns"):
        save(folder / "never.safetensors", Model(Network((BARE.network.populations[0], replace(layer, projections=ports)))))


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


def test_a_file_with_something_behind_its_end_is_refused(folder, saved):
    refused(folder, saved + b"x")


# ---- anything at all: one line, or a model that can be used; and never much more memory than the file has bytes


def bounded(folder, raw):
    """Load under a watch on memory; return the answer."""
    tracemalloc.start()
    try:
        answer = loads_or_one_line(folder, raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000 + 40 * len(raw)
    return answer


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_a_truncated_file_is_refused_wherever_it_ends(folder, files, data):
    raw = data.draw(st.sampled_from(files))
    assert isinstance(bounded(folder, raw[: data.draw(st.integers(0, len(raw) - 1))]), str)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_flipped_bytes_load_or_are_refused(folder, files, data):
    raw = bytearray(data.draw(st.sampled_from(files)))
    (length,) = struct.unpack("<Q", raw[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 7) | st.integers(8, 8 + length - 1) | st.integers(8 + length, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
    bounded(folder, bytes(raw))


SIZES = st.integers(-1, 70) | st.sampled_from([2**16, 2**24, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64, 10**30])


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_header_of_absurd_shapes_offsets_or_types_is_refused_or_loads(folder, files, data):
    raw = data.draw(st.sampled_from(files))
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    for _ in range(data.draw(st.integers(1, 3))):
        entry = header[data.draw(st.sampled_from(sorted(header.keys() - {"__metadata__"})))]
        what = data.draw(st.sampled_from(["shape", "data_offsets", "dtype"]))
        if what == "dtype":
            entry[what] = data.draw(
                st.sampled_from(["F32", "F16", "BF16", "I64", "U16", "U32", "U8", "BOOL", "F64", "F4", "", "X", None])
            )
        elif what == "data_offsets":
            entry[what] = data.draw(st.lists(SIZES, min_size=2, max_size=2) | st.lists(SIZES, max_size=3))
        else:
            entry[what] = data.draw(st.permutations(entry["shape"]) | st.lists(SIZES, max_size=4))
    text = json.dumps(header).encode()
    size = data.draw(st.sampled_from([len(text)] * 4 + [0, len(text) - 1, len(text) + 9, 2**40, 2**63]))
    bounded(folder, struct.pack("<Q", size) + text + raw[8 + length :])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | SIZES
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["zeroed", "carried", "relu", "tied", "egru"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(["units", "params"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_metadata_of_any_json_load_or_are_refused(folder, files, data):
    parts = Parts(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([parts.about, *(layer for layer in parts.about["layers"] if isinstance(layer, dict))]))
        key = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=4))
        if data.draw(st.integers(0, 9)):
            place[key] = data.draw(JSON)
        else:
            place.pop(key, None)
        if not isinstance(parts.about.get("layers"), list):
            break
    bounded(folder, parts.file())


@pytest.mark.parametrize("unit", [b"ab", b"\n", b"a\n"], ids=["one long word", "no words", "short words"])
def test_words_cost_memory_only_where_the_embedding_has_them_too(folder, files, unit):
    """A word is dear in memory, a line end is one byte of a file."""
    parts = Parts(files[1])
    parts.tensors["vocabulary"] = np.frombuffer(unit * 1_000_000, np.uint8)
    raw = parts.file()
    tracemalloc.start()
    try:
        refused(folder, raw, "vocabulary")
        assert tracemalloc.get_traced_memory()[1] < 4 * len(raw)
    finally:
        tracemalloc.stop()


def test_a_header_beyond_any_need_is_refused_before_it_is_read(folder):
    refused(folder, struct.pack("<Q", 9 << 20) + b" " * (9 << 20), "a header of 9,437,184 B")


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
    for words, why in (
        (b"<unk>\n<eos>", "vocabulary needs 4 words as the embedding has, has 2"),
        (b"<unk>\n<eos>\nship\nship", "word 'ship': need it once"),
        (b"<unk>\n<eos>\n\nship", "word 2: need text without white space, have ''"),
        (b"one\ntwo\nthree\nfour", "need the word <unk>"),
        (b"<unk>\n<eos>\nnaive\nship", "SHA-256"),
    ):
        parts.tensors["vocabulary"] = np.frombuffer(words, np.uint8)
        refused(folder, parts.file(), why)


# ---- metadata that cannot be


def _set(**changes):
    return lambda about: about.update(changes)


def _layer(**changes):
    return lambda about: about["layers"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(version=1), ["version 2", "has 1"]),
        (_set(version=None), ["version 2", "has None"]),
        (_set(version=2.0), ["version 2", "has 2.0"]),
        (_set(version="2\n" * 10**5), ["version 2"]),
        (_set(kernel="lif"), ["kernel 'lif' is not known here, needs 'egru'"]),
        (_set(gates="r z n"), ["gates 'r z n' is not known here, needs 'z r g'"]),
        (_set(reset_gate="before the recurrent product"), ["reset_gate", "needs 'after the recurrent product'"]),
        (_set(event_reset="to zero"), ["event_reset 'to zero' is not known here"]),
        (_set(decoder="separate"), ["decoder 'separate' is not known here, needs 'tied'"]),
        (_set(decoder=None), ["decoder None is not known here, needs 'tied'"]),
        (_set(state="kept"), ["state 'kept' is not known here, needs 'zeroed' or 'carried'"]),
        (_set(state=["zeroed"]), ["state ['zeroed'] is not known here"]),
        (_set(projection="gelu"), ["projection 'gelu' is not known here, needs None or 'linear' or 'relu'"]),
        (_set(projection="relu"), ["has no tensor 'projection.weight'"]),
        (_set(colour="red"), ["unknown here, 'colour'"]),
        (lambda about: about.pop("segment"), ["metadata lack 'segment'"]),
        (_set(words=5), ["embedding needs shape (5, 6)"]),
        (_set(words=-1), ["words -1"]),
        (_set(words=None), ["decoder"]),
        (_set(words=0, decoder=None), ["a vocabulary or a projection needs an embedding"]),
        (_set(words=0, decoder=None, vocabulary_sha256=None), ["3 tensors that it should not have, first 'decoder_bias'"]),
        (_set(vocabulary_sha256=None), ["1 tensors that it should not have, first 'vocabulary'"]),
        (_set(vocabulary_sha256="0" * 64), ["the vocabulary has SHA-256", "metadata say '0000"]),
        (_set(vocabulary_sha256=7), ["vocabulary_sha256 needs str, has 7"]),
        (_set(text_licence=None), ["text_licence needs str, has None"]),
        (_set(provenance=[1]), ["provenance needs dict, has [1]"]),
        (_set(provenance={"from": "x" * (1 << 20)}), ["metadata of 1,0", "shorten the provenance"]),
        (_set(provenance={"from": float("inf")}), ["Infinity, which is no JSON"]),
        (_set(provenance={"from": "\ud800"}), ["half a surrogate pair"]),
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
        (_set(segment=0), ["segment 0"]),
        (_set(segment=True), ["segment True"]),
        (_set(segment=1e3), ["segment 1000.0"]),
        (_layer(units=True), ["sizes"]),
        (_layer(units=8), ["layer1"]),
        (_layer(params=None), ["params"]),
        (_layer(params={"zoneout": "much"}), ["params"]),
        (_layer(params={"zoneout": 1.5}), ["zoneout"]),
        (_layer(params={"zoneout": float("nan")}), ["NaN, which is no JSON"]),
        (_layer(params={"zoneout": True}), ["zoneout"]),
        (_layer(params={"zoneout": "0.5"}), ["zoneout"]),
        (_layer(params={"fire_at_threshold": -1}), ["fire_at_threshold"]),
        (_layer(params={"leak": 0.5}), ["layer 1: params {'leak': 0.5}, known are zoneout, fire_at_threshold"]),
        (_layer(colour="red"), ["layers"]),
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
