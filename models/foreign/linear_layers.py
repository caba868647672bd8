"""Linear layers around a recurrent stack in a state_dict: which lead to its input, which follow its output, and in what order.

A state_dict has names and shapes, and not what a program does with them. So layers are taken where all of them make one chain
around the stack, features > front end > stack > head, and sides are told by (in this order of weight): numbers beside the stack's
own (`net.0`, `net.2` of an nn.Sequential), words in names (`encoder`, `head`), and the order of keys. Where they make no such
chain, none is taken, and a note says so; `--front` and `--head` name layers, or `none`.

What activation follows a layer is in no state_dict: it is taken as linear, with a note, unless an option or the module says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.foreign.request import ImportRequest
from models.foreign.state_dict import StateDict, listed
from models.network import F32, ModelError

if TYPE_CHECKING:
    from models.heads.affine import Affine
    from models.importers import Flags

NONE = "none"
SIDES = ("front", "head")
_WEIGHT = re.compile(r"(?:(?P<stem>.+)\.)?weight(?:_orig)?")
_WORDS = {
    "front": frozenset(("encoder", "enc", "front", "frontend", "input", "inp", "in", "pre", "embed")),
    "head": frozenset((
        "head", "decoder", "dec", "out", "output", "readout", "classifier", "cls", "final", "last", "logits", "predictor",
        "regressor", "post",
    )),
}  # fmt: skip
_MOST = 8  # layers whose sides are worked out
_SURE, _LIKELY, _BY_ORDER, _BY_CUSTOM = 100.0, 4.0, 2.0, 1.0  # what a hint weighs


@dataclass(frozen=True)
class LinearLayers:
    """The linear layers around a stack: front end and head, each from the first layer on, with notes and a record."""

    front: tuple[Affine, ...] = ()
    head: tuple[Affine, ...] = ()
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


class _Linear(NamedTuple):
    """A linear layer: its key without `.weight`, its shape, and for each side how much speaks for it."""

    stem: str
    inputs: int
    outputs: int
    votes: tuple[float, float]


def add_flags(parser: Flags) -> None:
    """Add the options that say what lies around a stack."""
    for side, what in (("front", "features to the layers"), ("head", "the layers to the answer")):
        text = f"keys of the linear layers from {what}, in order, or {NONE} (default: where they fit)"
        parser.add_argument(f"--{side}", metavar="KEY,KEY", help=text)
        text = f"linear, relu, tanh or sigmoid behind each layer of the {side} (default: linear)"
        parser.add_argument(f"--{side}-activation", metavar="NAME,NAME", help=text)


def refuse_options(who: str, request: ImportRequest, why: str) -> None:
    """Raise ModelError, beginning with `who`, where an option says what lies around a stack, around which nothing is taken."""
    for side in SIDES:
        for name in (side, f"{side}_activation"):
            if name in request.given:
                raise ModelError(f"{who}: --{name.replace('_', '-')}: {why}")


def find_linear_layers(state: StateDict, inner: Sequence[str], ends: tuple[int, int], request: ImportRequest) -> LinearLayers:
    """Return the linear layers around a stack under the keys `inner`; `ends` are how many numbers the stack hears and answers.

    ModelError for options that do not fit.
    """
    from models.heads.affine import check_fit

    linears = _linears(state, inner)
    named = {side: _named(state, side, request.options.get(side), linears) for side in SIDES}
    notes: list[str] = []
    chains = _chains(linears, named, ends, notes)
    sides: dict[str, tuple[Affine, ...]] = {}
    record: dict[str, list[str]] = {}
    for side, chain in zip(SIDES, chains, strict=True):
        activations = _activations(state, side, chain, request, notes)
        sides[side] = tuple(_affine(state, layer, name) for layer, name in zip(chain, activations, strict=True))
        record[side] = [f"{state.prefix}{layer.stem}: {name}" for layer, name in zip(chain, activations, strict=True)]
    sizes = {side: [(layer.inputs, layer.outputs) for layer in chain] for side, chain in zip(SIDES, chains, strict=True)}
    check_fit(state.who, sizes["front"], sizes["head"], False, ends)
    if norms := _norms(state, inner):
        notes.append(f"normalisation left out ({listed(norms)}): the answer is that of the network without it")
    return LinearLayers(sides["front"], sides["head"], tuple(notes), {side: layers for side, layers in record.items() if layers})


def _linears(state: StateDict, inner: Sequence[str]) -> list[_Linear]:
    """Return the linear layers beside the stack, in the order of keys or, where that says nothing, of names and numbers."""
    first = min((place for place, key in enumerate(state.tensors) if _is_under(key, inner)), default=0)
    layers = []
    for place, key in enumerate(state.tensors):
        match = _WEIGHT.fullmatch(key)
        plain = key.removesuffix("_orig")
        if match is None or _is_under(key, inner) or len(state.tensors[key].shape) != 2 or 0 in state.tensors[key].shape:
            continue
        stem = match["stem"] or ""
        if stem in state.others:
            continue
        words = re.split(r"[^a-z]+", stem.lower())
        if any(word.startswith("emb") and word != "embed" for word in words):  # rows of words, which no numbers go through
            continue
        outputs, inputs = state.shape(plain, 2)
        order = (1 if place < first else -1) if state.in_order else 0
        layers.append(_Linear(stem, inputs, outputs, _votes(stem, words, inner, order)))
    return layers if state.in_order else sorted(layers, key=lambda layer: _natural(layer.stem))


def _is_under(key: str, inner: Sequence[str]) -> bool:
    return any(key.startswith(f"{stem}.") if stem else "." not in key for stem in inner)


def _natural(stem: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", stem)]


def _votes(stem: str, words: Sequence[str], inner: Sequence[str], order: int) -> tuple[float, float]:
    front = head = 0.0
    sides = {_beside(stem, one) for one in inner}
    if sides == {-1}:
        front += _SURE
    elif sides == {1}:
        head += _SURE
    elif sides == {-1, 1}:  # between two layers of the stack
        return -_SURE, -_SURE
    front += _LIKELY * bool(_WORDS["front"].intersection(words))
    head += _LIKELY * bool(_WORDS["head"].intersection(words))
    return front + _BY_ORDER * (order > 0), head + _BY_ORDER * (order < 0) + _BY_CUSTOM


def _beside(stem: str, inner: str) -> int:
    """Return -1 or 1 where the keys part at a number, which is smaller or larger than the stack's there; else 0."""
    for one, other in zip(stem.split("."), inner.split("."), strict=False):
        if one != other:
            return 0 if not (one.isdigit() and other.isdigit()) else -1 if int(one) < int(other) else 1
    return 0


def _named(state: StateDict, side: str, keys: Any, linears: Sequence[_Linear]) -> list[_Linear] | None:
    """Return the layers that an option names; None where it was not given."""
    if keys is None:
        return None
    stems = [] if keys == NONE else [key.removesuffix(".weight").rstrip(".") for key in _parts(f"--{side}", keys)]
    known = {layer.stem: layer for layer in linears}
    known |= {f"{state.prefix}{stem}": layer for stem, layer in known.items()}
    for stem in stems:
        if stem not in known:
            raise ModelError(
                f"{state.who}: --{side} {stem!a}: no linear layer of that key; has {listed([x.stem for x in linears])}"
            )
    return [known[stem] for stem in stems]


def _parts(flag: str, value: Any) -> list[str]:
    """Return an option's words: typed with commas, or a sequence from Python."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) and part for part in parts):
        raise ModelError(f"{flag} {value!r}: needs words with commas between them")
    return [part.strip() for part in parts]


def _chains(
    linears: Sequence[_Linear], named: Mapping[str, list[_Linear] | None], ends: tuple[int, int], notes: list[str]
) -> tuple[list[_Linear], list[_Linear]]:
    """Return front end and head: those that are named, the rest where all of it makes one chain."""
    front, head = named["front"], named["head"]
    rest = [layer for layer in linears if layer not in [*(front or []), *(head or [])]]
    if front is not None and head is not None:
        return front, head
    open_sides = [side for side, chain in ((0, front), (1, head)) if chain is None]
    best: tuple[float, list[_Linear], list[_Linear]] | None = None
    tied = False
    for places in product(open_sides, repeat=len(rest)) if len(rest) <= _MOST else ():
        chains = [[layer for layer, place in zip(rest, places, strict=True) if place == side] for side in (0, 1)]
        if not _fits(chains[0], chains[1], ends):
            continue
        score = sum(layer.votes[place] for layer, place in zip(rest, places, strict=True))
        if score < 0:
            continue
        tied = best is not None and score == best[0]
        if best is None or score > best[0]:
            best = score, chains[0], chains[1]
    if best is None or tied:
        have = ", ".join(f"{layer.stem or 'weight'} {layer.inputs} > {layer.outputs}" for layer in rest[:_MOST])
        why = (
            "it cannot be told on which side they stand"
            if tied
            else f"they make no one chain around layers of {ends[0]} > {ends[1]}"
        )
        notes.append(f"linear layers left out ({have}): {why}; --front and --head name those to take")
        return front or [], head or []
    return (best[1] if front is None else front), (best[2] if head is None else head)


def _fits(front: Sequence[_Linear], head: Sequence[_Linear], ends: tuple[int, int]) -> bool:
    makes = [ends[1], *(layer.outputs for layer in head)]
    hears = [*(layer.inputs for layer in front[1:]), ends[0]]
    return all(n == layer.outputs for layer, n in zip(front, hears, strict=False)) and all(
        n == layer.inputs for layer, n in zip(head, makes, strict=False)
    )


def _activations(state: StateDict, side: str, chain: Sequence[_Linear], request: ImportRequest, notes: list[str]) -> list[str]:
    """Return what follows each layer: as the option says, or the module, else linear, with a note."""
    from models.heads.affine import ACTIVATIONS

    flag, given = f"--{side}-activation", request.options.get(f"{side}_activation")
    if given is not None:
        names = _parts(flag, given)
        if len(names) != len(chain) or not set(names) <= set(ACTIVATIONS):
            layers = f"{len(chain)} ({listed([layer.stem for layer in chain])})" if chain else "no layers"
            raise ModelError(
                f"{state.who}: {flag} {given!r}: needs {' or '.join(ACTIVATIONS)} for each layer; the {side} has {layers}"
            )
    else:
        names = [state.activations.get(layer.stem, "linear") for layer in chain]
        for layer, name in zip(chain, names, strict=True):
            if name not in ACTIVATIONS:
                need = f"needs {' or '.join(ACTIVATIONS)}; {flag} says which to take for it, or --{side} {NONE}"
                raise ModelError(f"{state.who}: behind {layer.stem} comes {name[:80]}, which is not computed here; {need}")
    if chain:
        what = " > ".join(
            f"{layer.stem or 'weight'} ({layer.inputs} > {layer.outputs}, {n})" for layer, n in zip(chain, names, strict=True)
        )
        unsaid = given is None and any(layer.stem not in state.activations for layer in chain)
        why = f"; activations are in no state_dict, so linear is a guess: {flag} says otherwise" if unsaid else ""
        notes.append(f"{'front end' if side == 'front' else side} on the host: {what}{why}")
    return names


def _affine(state: StateDict, layer: _Linear, activation: str) -> Affine:
    from models.heads.affine import Affine

    dot = f"{layer.stem}." if layer.stem else ""
    weight: F32 = state.array(f"{dot}weight", (layer.outputs, layer.inputs))
    bias = state.array(f"{dot}bias", (layer.outputs,)) if state.has(f"{dot}bias") else np.zeros(layer.outputs, np.float32)
    return Affine(weight, bias, activation)


def _norms(state: StateDict, inner: Sequence[str]) -> list[str]:
    """Return the keys of what scales numbers between layers: weights of one dimension beside the stack."""
    keys = [key for key, tensor in state.tensors.items() if _WEIGHT.fullmatch(key) and len(tensor.shape) == 1]
    return [state.prefix + key.rpartition(".")[0] for key in keys if not _is_under(key, inner)]
