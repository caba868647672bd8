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
from models.heads.gesture import features_of, warm
from models.network import ModelError, Network, Population, SparseRows
from models.seeded import seeded_egru, seeded_embedding, seeded_gesture

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
GESTURE = seeded_gesture(features=7, layers=(6, 5), classes=3)
GESTURE = replace(GESTURE, gesture=replace(GESTURE.gesture, record={"accuracy": 0.9, "torch_predictions": [0, 2]}))


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
    """The bytes of four good files: a plain one, one with every optional part, one without any, a gesture classifier."""
    save(folder / "full.safetensors", FULL)
    save(folder / "bare.safetensors", BARE)
    save(folder / "gesture.safetensors", GESTURE)
    warm()  # so that no watch on memory sees the compiler at work
    return [saved, *((folder / f"{name}.safetensors").read_bytes() for name in ("full", "bare", "gesture"))]


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
        assert len(str(error)) < 1000
        assert "damaged.safetensors" in str(error)
        return str(error)
    widths = [layer.units for layer in model.network.populations]
    for layer in model.network.populations:
        for projection in layer.projections:
            assert np.isfinite(projection.weights.to_dense()).all()
            assert 0 <= projection.trace < 1
    if model.gesture is not None:
        frame = np.ones((1, model.gesture.size, model.gesture.size), np.float32)
        assert features_of(model.gesture, frame).shape == (1, widths[0])
        assert model.gesture.readout_weight.shape == (len(model.gesture.classes), widths[-1])
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
        (
            {"network": Network((Population("input", 6), replace(FULL.network.populations[1], kernel="lfi")))},
            "unknown neuron model 'lfi'",
        ),
        (
            {"network": Network((Population("input", 6), replace(FULL.network.populations[1], projections=())))},
            "egru1: nothing feeds its port 'input'",
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


# ---- version 2, and matrices stored dense


def test_a_file_of_version_2_loads_as_before(folder, files):
    """It knows no traces and no gestures."""
    for raw, want in zip(files[:3], (MODEL, FULL, BARE), strict=True):
        parts = Parts(raw)
        assert (parts.about.pop("version"), parts.about.pop("gesture")) == (3, None)
        assert [layer.pop("trace") for layer in parts.about["layers"]] == [0.0, 0.0]
        parts.about["version"] = 2
        model = load_bytes(folder, parts.file())
        assert model.gesture is None
        assert {p.trace for layer in model.network.populations for p in layer.projections} == {0.0}
        assert all(same(a, b) for a, b in zip(arrays_of(model.network), arrays_of(want.network), strict=True))
        assert (model.segment, model.state, model.vocabulary) == (want.segment, want.state, want.vocabulary)


def arrays_of(network):
    return [
        array
        for layer in network.populations[1:]
        for p in layer.projections
        for array in (p.weights.extents, p.weights.columns, p.weights.values)
    ]


def with_density(density, half):
    """A layer of 20 units on 30 inputs, and its weights."""
    network = seeded_egru(30, (20,), density, seed=4)
    layer = network.populations[1]
    projections = []
    for p in layer.projections:
        values = p.weights.values.astype(np.float16).astype(np.float32) if half else p.weights.values
        projections.append(replace(p, weights=replace(p.weights, values=values)))
    return Network((network.populations[0], replace(layer, projections=tuple(projections))))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("density", [0.2, 0.5, 0.85, 1.0])
def test_a_matrix_is_stored_dense_where_that_is_smaller_and_comes_back_bit_for_bit(folder, density, half):
    """4 bytes a weight, or 2 where float16 loses nothing, against 6 a nonzero: from two thirds, or one third."""
    network, path = with_density(density, half), folder / "x.safetensors"
    save(path, Model(network))
    tensors = Parts(path.read_bytes()).tensors
    for name in ("layer1.input", "layer1.recurrent"):
        if density > (1 / 3 if half else 2 / 3):
            assert tensors[f"{name}.dense"].dtype == (np.float16 if half else np.float32)
            assert f"{name}.values" not in tensors
        else:
            assert tensors[f"{name}.values"].dtype == np.float32
    back = load(path).network
    assert all(same(a, b) for a, b in zip(arrays_of(back), arrays_of(network), strict=True))


@pytest.mark.parametrize(("place", "value", "words"), [((3, 2), np.nan, "not finite, first nan"), ((0, 0), np.inf, "not finite")])
def test_a_dense_matrix_is_checked(folder, files, place, value, words):
    parts = Parts(files[3])
    parts.tensors["layer1.input.dense"][place] = value
    refused(folder, parts.file(), "layer1.input.dense", words)
    parts.tensors["layer1.input.dense"] = parts.tensors["layer1.input.dense"].T.copy()
    refused(folder, parts.file(), "layer1.input.dense needs shape (18, 7) of float16 or float32, has (7, 18)")


def test_a_matrix_stored_twice_is_refused(folder, files):
    parts = Parts(files[3])
    parts.tensors["layer1.input.values"] = np.ones(3, np.float32)
    refused(folder, parts.file(), "1 tensors that it should not have, first 'layer1.input.values'")


def test_a_zero_in_a_dense_matrix_is_no_weight(folder, files):
    parts = Parts(files[3])
    parts.tensors["layer1.input.dense"][:, 2] = 0
    weights = load_bytes(folder, parts.file()).network.populations[1].projections[0].weights
    assert weights.nonzeros == 18 * 6
    weights.check("it")


# ---- a gesture classifier


def test_a_gesture_classifier_comes_back(folder, files):
    model = load(folder / "gesture.safetensors")
    have, want = model.gesture, GESTURE.gesture
    assert [p.trace for layer in model.network.populations[1:] for p in layer.projections] == [0.0, 0.0, 0.9, 0.0]
    for name in ("linear_weight", "linear_bias", "readout_weight", "readout_bias"):
        assert same(getattr(have, name), getattr(want, name))
    for a, b in zip(have.head, want.head, strict=True):
        assert same(a.weight, b.weight)
        assert same(a.bias, b.bias)
        assert (a.stride, a.padding, a.pool) == (b.stride, b.padding, b.pool)
    for name in ("classes", "bin_us", "slice_us", "size", "polarity", "scale", "trace", "record", "feature_relu"):
        assert getattr(have, name) == getattr(want, name)
    save(folder / "again.safetensors", model)
    assert (folder / "again.safetensors").read_bytes() == files[3]


def test_head_and_readout_are_float16_where_that_loses_nothing(folder):
    gesture = GESTURE.gesture
    half = gesture.linear_weight.astype(np.float16).astype(np.float32)
    save(folder / "x.safetensors", replace(GESTURE, gesture=replace(gesture, linear_weight=half)))
    tensors = Parts((folder / "x.safetensors").read_bytes()).tensors
    assert {name: tensors[name].dtype for name in ("features.weight", "readout.weight")} == {
        "features.weight": np.float16,
        "readout.weight": np.float32,
    }
    assert same(load(folder / "x.safetensors").gesture.linear_weight, half)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": GESTURE.gesture.head[:1] * 2}, "for 1 channels, hears 4"),
        (
            {"linear_weight": np.ones((8, 6), np.float32), "linear_bias": np.ones(8, np.float32)},
            "features.weight needs shape (7, 6)",
        ),
        ({"readout_weight": np.ones((3, 4), np.float32)}, "readout.weight needs shape (3, 5)"),
        ({"record": {"loss": float("nan")}}, "cannot be written as JSON"),
        ({"record": {"log": "x" * (1 << 20)}}, "shorten the provenance"),
        ({"classes": ("a", "b", "\ud800")}, "needs classes with names"),
    ],
)
def test_a_gesture_classifier_that_could_not_be_loaded_is_not_saved(folder, change, words):
    path = folder / "never.safetensors"
    with pytest.raises(ModelError) as caught:
        save(path, replace(GESTURE, gesture=replace(GESTURE.gesture, **change)))
    assert words in str(caught.value)
    assert not path.exists()


def test_an_embedding_and_a_gesture_head_exclude_each_other(folder):
    embedding = {"embedding": np.ones((4, 7), np.float32), "decoder_bias": np.ones(4, np.float32)}
    with pytest.raises(ModelError, match="an embedding and a gesture head"):
        save(folder / "never.safetensors", replace(seeded_gesture(features=7, layers=(6, 7), classes=3), **embedding))


def test_a_trace_of_a_layers_own_events_is_not_saved(folder):
    layer = GESTURE.network.populations[1]
    ports = (layer.projections[0], replace(layer.projections[1], trace=0.5))
    network = Network((GESTURE.network.populations[0], replace(layer, projections=ports)))
    with pytest.raises(ModelError, match="egru1 to egru1: a trace of events 1 positions late"):
        save(folder / "never.safetensors", Model(network))


def _of(**changes):
    return lambda gesture: gesture.update(changes)


def _first(**changes):
    return lambda gesture: gesture["head"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_of(head=None), "gesture head needs up to 64 layers"),
        (_of(head=[{}]), "gesture head needs up to 64 layers"),
        (_of(head=[]), "features.weight needs shape (7, 64)"),
        (lambda gesture: gesture.update(head=gesture["head"] * 40), "gesture head needs up to 64 layers"),
        (_first(out=3), "head1.weight needs shape (3, 1, 3, 3)"),
        (_first(out=True), "gesture head needs"),
        (_first(kernel=1 << 23), "head1.weight needs shape"),
        (_first(kernel=2), "head1.weight needs shape (4, 1, 2, 2)"),
        (_first(stride=0), "gesture head needs"),
        (_first(stride=1), "features.weight needs shape (7, 54)"),
        (_first(padding=3), "convolution: needs a stride from 1 and a padding from 0 below its width 3"),
        (_first(pool=1), "gesture head needs"),
        (_of(size=3), "nothing is left of a frame behind convolution 1"),
        (_of(size=7.0), "gesture size 7.0 cannot be"),
        (_of(size=1 << 39), "features.weight needs shape"),
        (_of(bin_us=0), "gesture bin_us 0 cannot be"),
        (_of(slice_us=None), "gesture slice_us None cannot be"),
        (_of(slice_us=5), "needs bins from 1 us to a slice"),
        (_of(classes=[]), "gesture classes need names"),
        (_of(classes=["a", "b"]), "readout.weight needs shape (2, 5)"),
        (_of(classes=["a", "b", "a"]), "no name twice"),
        (_of(classes=["a", "b", 3]), "gesture classes need names"),
        (_of(polarity="odd"), "polarity 'odd'"),
        (_of(polarity=None), "gesture polarity needs str"),
        (_of(scale=0), "scale 0.0"),
        (_of(scale="1"), "gesture scale needs float"),
        (_of(trace=2), "trace 2.0"),
        (_of(trace=False), "gesture trace needs float"),
        (_of(record=[]), "gesture record needs dict"),
        (_of(feature_relu=0), "gesture feature_relu needs true or false"),
        (_of(colour="red"), "gesture needs the keys"),
        (lambda gesture: gesture.pop("size"), "gesture needs the keys"),
    ],
)
def test_gesture_metadata_that_cannot_be_are_refused(folder, files, change, words):
    parts = Parts(files[3])
    change(parts.about["gesture"])
    refused(folder, parts.file(), words)


GESTURE_TENSORS = [f"{part}.{kind}" for part in ("head1", "head2", "features", "readout") for kind in ("weight", "bias")]


@pytest.mark.parametrize("name", GESTURE_TENSORS)
def test_tensors_of_a_gesture_classifier_that_cannot_be_are_named(folder, files, name):
    for change, words in (
        (lambda tensor: None, f"has no tensor '{name}'"),
        (lambda tensor: tensor[None], f"{name} needs shape"),
        (lambda tensor: tensor.astype(np.float64), f"{name} needs shape"),
        (lambda tensor: np.full_like(tensor, np.nan), f"{name}: {Parts(files[3]).tensors[name].size} of"),
    ):
        parts = Parts(files[3])
        changed = change(parts.tensors.pop(name))
        if changed is not None:
            parts.tensors[name] = changed
        refused(folder, parts.file(), words)


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


@pytest.mark.wide
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


PLACES = st.sampled_from(["top", "top", "layer", "params", "gesture", "gesture", "convolution"])
KEYS = st.integers(0, 20) | st.text(max_size=4)  # the n-th of those that are there, or another one
EDITS = st.lists(st.tuples(PLACES, KEYS, st.one_of(JSON, JSON, JSON, st.just("gone"))), min_size=1, max_size=3)


@pytest.mark.wide
@given(st.integers(0, 3), EDITS)
@settings(deadline=None, max_examples=400)
def test_metadata_of_any_json_load_or_are_refused(folder, files, which, edits):
    parts = Parts(files[which])
    layer, gesture = parts.about["layers"][0], parts.about["gesture"] or {}
    places = {"top": parts.about, "layer": layer, "params": layer["params"], "gesture": gesture}
    places["convolution"] = gesture.get("head", [{}])[0]
    for where, key, new in edits:
        place = places[where]
        if isinstance(key, int):
            key = sorted(place)[key % len(place)] if place else ""
        if new == "gone":
            place.pop(key, None)
        else:
            place[key] = new
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


@pytest.mark.parametrize("name", ["columns", "values"])
def test_columns_and_values_of_different_number_are_refused_before_they_are_read(folder, parts, name):
    longer = np.concatenate([parts.tensors[f"layer1.input.{name}"]] * 2)
    have, nonzeros = (len(parts.tensors["layer1.input.columns"]) * n for n in ((2, 1) if name == "values" else (1, 2)))
    parts.tensors[f"layer1.input.{name}"] = longer
    refused(folder, parts.file(), f"layer1.input.values needs shape ({nonzeros},) of float32, has ({have},) of float32")


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


@pytest.mark.few(12)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(version=1), ["version 2 or 3", "has 1"]),
        (_set(version=4), ["metadata lack 'conventions'"]),
        (_set(version=8), ["version 2 or 3 or 4 or 5 or 6 or 7", "has 8"]),
        (_set(version=None), ["version 2 or 3", "has None"]),
        (_set(version=3.0), ["version 2 or 3", "has 3.0"]),
        (_set(version=2), ["metadata list no layers with params, units"]),
        (_set(version=2, gesture={}), ["metadata hold 'gesture', which format version 2 does not have"]),
        (_set(gesture={}), ["gesture needs the keys bin_us, classes,"]),
        (_set(gesture=[]), ["gesture needs the keys"]),
        (_layer(trace=None), ["layer 1: trace needs a number, has None"]),
        (_layer(trace=True), ["layer 1: trace needs a number, has True"]),
        (_layer(trace=1.0), ["layer 1: trace 1.0 needs a number from 0 to below 1"]),
        (_layer(trace=-0.5), ["layer 1: trace -0.5"]),
        (lambda about: about["layers"][0].pop("trace"), ["metadata list no layers with params, trace, units"]),
        (_set(version="2\n" * 10**5), ["version 2"]),
        (_set(kernel="lfi"), ["kernel 'lfi' is not known here, needs 'egru'"]),
        (_set(gates="r z n"), ["gates 'r z n' is not known here, needs 'z r g'"]),
        (_set(reset_gate="before the recurrent product"), ["reset_gate", "needs 'after the recurrent product'"]),
        (_set(event_reset="to zero"), ["event_reset 'to zero' is not known here"]),
        (_set(decoder="separate"), ["decoder 'separate' is not known here, needs 'tied'"]),
        (_set(decoder=None), ["decoder None is not known here, needs 'tied'"]),
        (_set(state="kept"), ["state 'kept' is not known here, needs 'carried' or 'zeroed'"]),
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
