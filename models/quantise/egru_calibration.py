"""What an EGRU's inputs and layers send on samples: the values that scales of int8 events are fitted to.

A language model's input is its embedding, known without any sample; a gesture network's are the features that its head makes of
recordings; those of any other network are arrays that a user brings. What layers send is computed by
the plain reference in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from models.checkpoint import Model
from models.dvs.folder import open_folder
from models.dvs.frames import FrameSpec, frames_of
from models.dvs.samples import DvsError
from models.dvs.synthetic import open_synthetic
from models.heads.affine import front_of
from models.heads.gesture import Gesture, features_of
from models.input_file import InputError, check_input
from models.network import F32, Array, ModelError, check_finite
from models.reference import Reference
from models.text.corpus import text_file
from models.text.tokeniser import EOS, UNK, TextError
from models.text.vocabulary import Vocabulary

WORDS, RECORDINGS, VECTORS = 400, 22, 1000
"""How much of a sample is taken, where nobody says: words of a text, recordings (two a class), vectors of arrays."""
_LAYER_RECORDINGS = 4  # of which what layers send is computed


@dataclass(frozen=True)
class Samples:
    """What is known of a model's events: `inputs`, values of its input in any order; `sequences` of them, (time, units) each, on
    which layers are computed, none where nobody brought a sample; and in `words` what they are of.
    """

    inputs: Array
    sequences: tuple[F32, ...]
    words: str


def samples_of(model: Model, given: Path | None, most: int | None) -> Samples:
    """Return the samples of a model: of the file or folder that is `given`, at most so many of them, or as it brings them itself.

    Raises ModelError, one line, for a file that cannot be read or holds no sample of this model, and for a model that brings none.
    """
    who = "--calibrate" if given is None else f"--calibrate {given}"
    if len(model.network.inputs) != 1:
        raise ModelError(f"quantise: the network has {len(model.network.inputs)} inputs; EGRUs in 8 bits need one")
    if model.embedding is not None:
        if given is None:
            return Samples(model.embedding, (), f"its embedding of {len(model.embedding):,} words")
        numbers = _word_numbers(model, given, who)[: most or WORDS]
        rows = model.embedding[numbers]
        return Samples(model.embedding, (rows,), f"its embedding, and {len(rows):,} words of {given.name}")
    traces = any(p.trace for n in model.network.layers for p in model.network.populations[n].projections)
    if model.gesture is not None:
        features = _features(model.gesture, given, most or RECORDINGS, who)
        of = given.name if given else "the synthetic train split"
        return Samples(
            np.concatenate(features),
            tuple(features[:_LAYER_RECORDINGS] if given or traces else ()),
            f"{len(features)} recordings of {of}",
        )
    if given is None:
        raise ModelError("quantise: what its input sends is not known; give some with --calibrate FILE.npy, (time, features)")
    rows = _array(given, who)[: most or VECTORS]
    need = model.front[0].inputs if model.front else model.network.populations[model.network.inputs[0]].units
    if rows.ndim != 2 or rows.shape[1] != need or not len(rows):
        raise ModelError(f"{who}: needs numbers (time, {need}), has {rows.shape}")
    rows = np.asarray(rows, np.float32)
    check_finite(who, rows)
    rows = front_of(model, rows) if model.front else rows
    return Samples(rows, (rows,), f"{len(rows):,} vectors of {given.name}")


def layer_values(model: Model, samples: Samples) -> tuple[Mapping[int, F32], Mapping[int, F32]]:
    """Return the values of the events that each layer sends on the samples' sequences, and those of the trace that each layer hears
    which hears one; both empty without any.
    """
    network, sent, heard = model.network, dict[int, list[F32]](), dict[int, list[F32]]()
    traces = {n: p for n in network.layers for p in network.populations[n].projections if p.trace}
    (into,) = network.inputs
    for rows in samples.sequences:
        reference, trace_of = Reference(network), dict[int, F32]()
        for position, row in enumerate(rows):
            every = model.reset_every
            begins = position == 0 or (bool(every) and position % every == 0)
            values_of = {
                into: row,
                **{n: values for n, (values,) in reference.step({into: row}, fresh=position == 0, reset=begins).items()},
            }
            for n in network.layers:
                sent.setdefault(n, []).append(values_of[n][values_of[n] != 0])
            for n, projection in traces.items():
                before = np.zeros_like(values_of[projection.source]) if begins else trace_of[n]
                trace_of[n] = projection.trace * before + (1 - projection.trace) * values_of[projection.source]
                heard.setdefault(n, []).append(trace_of[n])
    joined = ({layer: np.concatenate(parts) for layer, parts in of.items()} for of in (sent, heard))
    return next(joined), next(joined)


def _word_numbers(model: Model, path: Path, who: str) -> Array:
    if not model.vocabulary:
        raise ModelError(f"{who}: the model has no words to read a text in; leave --calibrate out")
    vocabulary = Vocabulary(model.vocabulary)
    try:
        words = text_file(path)
    except TextError as error:
        raise ModelError(f"{who}: {error}") from error
    plain = [word for word in words if word not in (EOS, UNK)]
    if not any(word in vocabulary for word in plain):
        raise ModelError(f"{who}: none of its {len(plain):,} words is the model's ({len(vocabulary):,}); take a text in its words")
    return vocabulary.encode(words)[0]


def _features(gesture: Gesture, path: Path | None, most: int, who: str) -> list[F32]:
    spec = FrameSpec(
        bin_us=gesture.bin_us, slice_us=gesture.slice_us, size=gesture.size, polarity=gesture.polarity, scale=gesture.scale
    )
    try:
        if path is None:
            recordings = open_synthetic("train", slice_us=gesture.slice_us)
        else:
            recordings = open_folder(path, "train", slice_us=gesture.slice_us)
        features = [features_of(gesture, frames_of(one.events, spec)) for one in islice(recordings.samples(), most)]
    except (DvsError, OSError) as error:
        raise ModelError(f"{who}: {' '.join(str(error).split())}") from error
    if not features:
        raise ModelError(f"{who}: no recording of its train split can be read")
    return features


def _array(path: Path, who: str) -> Array:
    try:
        check_input(path)
        array = np.load(path, mmap_mode="r")
    except InputError as error:
        raise ModelError(f"{who}: {error}") from error
    except Exception as error:  # numpy's reader answers with errors of a dozen kinds
        raise ModelError(f"{who}: is no .npy file that can be read ({type(error).__name__})") from error
    if not isinstance(array, np.ndarray):
        raise ModelError(f"{who}: holds several arrays (.npz); needs one")
    return array
