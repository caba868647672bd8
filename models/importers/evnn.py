"""EvNN's checkpoints: EGRU layers under any prefix, and the language model around them (0.1.0 and 0.2.0).

A layer's tensors are `kernel` (C, 3H), `recurrent_kernel` (H, 3H), `bias` (3H,), `recurrent_bias` (3H,), gates in the order
z, r, g, and `thr` (H,) or, in 0.1.0, `thr_reparam` (H,), of which the threshold is the sigmoid. The language model adds
`embeddings.weight`, `decoder.decoder.weight` (the same again), `decoder.decoder.bias` and perhaps `decoder.projection.*`.

It knows what keys mean; files, wrappers and number formats are `models/foreign`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.foreign import linear_layers
from models.foreign.config import Config, beside
from models.foreign.request import SEGMENT, Findings, ImportRequest
from models.foreign.state_dict import StateDict, listed, read_state
from models.importers import Flags, Head
from models.network import F32, ModelError, Network, Population, SparseRows

if TYPE_CHECKING:
    from models.checkpoint import Model

KNOWN_BY = "EGRU layer (key recurrent_kernel)"
_LAYERS, _BASELINE = 100, 90  # certainties; a baseline's keys look like a GRU's
PROJECTIONS = ("linear", "relu")
VERSIONS = {"thr": "0.2.0", "thr_reparam": "0.1.0"}
ACTIVATIONS = {"0.2.0": "linear", "0.1.0": "relu"}
TRAINING_ONLY = ("_max_norm", "dampening_factor", "pseudo_derivative_support")
_LAYER = re.compile(r"(?:(?P<head>.+)\.)?recurrent_kernel(?:_orig)?")
_BASELINE_KEY = re.compile(r"(?:.+\.)?rnns\.(?:\d+\.)?module\.(?:weight|bias)_[ih]h_l\d+.*")
_LM_LAYERS = "rnns"
_TIED = ("embeddings.weight", "decoder.decoder.weight")


def add_flags(parser: Flags) -> None:
    """Add the importer's options."""
    names = " or ".join(PROJECTIONS)
    parser.add_argument("--projection", metavar="NAME", help=f"{names} decoder projection (default: by version)")
    parser.add_argument("--zoneout", type=float, metavar="Z", help="of all layers (default: config.yaml, else 0)")
    linear_layers.add_flags(parser)


def probe(head: Head) -> int:
    """Return how certain it is that the tensors are EvNN's, also where they are a baseline, which `read` refuses."""
    return _LAYERS if _heads(head.keys) else _BASELINE if any(map(_is_baseline, head.keys_in_file)) else 0


def read(path: Path, request: ImportRequest) -> Findings:
    """Return the model in a file; ModelError in one line where its parts do not make one."""
    return read_state(path, request, _read)


def read_tensors(state: StateDict, request: ImportRequest) -> Findings:
    """Return what `read` does, of a state_dict at hand, beside which there is no configuration."""
    return _read(None, state, request)


def _heads(keys: Iterable[str]) -> list[str]:
    """Return what comes before `.recurrent_kernel` in the keys; "" where the tensors lie bare."""
    matches = (_LAYER.fullmatch(key) for key in keys)
    return list(dict.fromkeys(match["head"] or "" for match in matches if match))


def _is_baseline(key: str) -> bool:
    """Tell whether a key of the file is of EvNN's LSTM or GRU baseline, which wraps a layer of torch's as `module`."""
    return _BASELINE_KEY.fullmatch(key.replace("_orig_mod.", "")) is not None


def _read(path: Path | None, state: StateDict, request: ImportRequest) -> Findings:
    from models.checkpoint import Model

    if not _heads(state.tensors):
        for key in filter(_is_baseline, map(state.key_in_file, state.tensors)):
            raise ModelError(f"{state.who}: {key!a}: an LSTM or GRU baseline of EvNN, which has no events; needs an EGRU")
        raise ModelError(f"{state.who}: no {KNOWN_BY} in it; has {listed(state.tensors)}")
    projection, given = request.choice("projection", PROJECTIONS), request.number("zoneout", 0, 1)
    stem, layer_heads = _stack(state)
    root = stem.removesuffix(_LM_LAYERS)
    whole = stem.split(".")[-1] == _LM_LAYERS and any(state.has(f"{root}{key}") for key in _TIED)
    config = beside(path) if whole and path is not None else Config()
    given = config.zoneout() if given is None else given
    zoneouts = state.zoneouts(len(layer_heads)) if given is None else [given] * len(layer_heads)
    layers = _Layers()
    for head, zoneout in zip(layer_heads, zoneouts or [0.0] * len(layer_heads), strict=True):
        layers.add(state.under(head), zoneout)
    network = Network((Population("input", layers.widths[0]), *layers.populations))
    version = VERSIONS[layers.threshold]
    kind = f"EvNN {version} {'language model' if whole else 'EGRU layers'}"
    description = [("kind", f"{kind}, keys {ascii(state.prefix + stem)[1:-1] or 'bare'}")]
    notes = layers.notes()
    if config.path is not None:
        description.append(("configuration", str(config.path)))
    provenance: dict[str, Any] = {"importer": f"EvNN {version}", "thresholds_clamped": layers.clamped, "training": layers.training}
    if config.values:
        provenance["config"] = config.facts()
    # A language model was trained and scored in segments; one call of a bare layer is one sequence, whatever its length.
    segment = request.segment or config.number("bptt") or state.facts.get("segment", SEGMENT)
    how = request.state or state.facts.get("state") or ("zeroed" if whole or request.segment else "carried")
    if not whole:
        if projection is not None:
            raise ModelError(f"{state.who}: --projection: a bare stack of layers has no decoder")
        if dvs := _dvs(state, root):
            linear_layers.refuse_options(state.who, request, "EvNN's gesture model has convolutions and traces around its layers")
            return Findings(Model(network, segment=segment, state=how), tuple(description), (*notes, *dvs), provenance)
        twins, outputs = state.facts.get("twins", False), network.populations[-1].units
        outside = linear_layers.find_linear_layers(
            state, layer_heads, (layers.widths[0], outputs // 2 if twins else outputs), request
        )
        model = Model(network, segment=segment, state=how, front=outside.front, head=outside.head, twins=twins)
        if outside.record:
            provenance["linear_layers"] = dict(outside.record)
        return Findings(model, tuple(description), (*notes, *outside.notes), provenance)
    linear_layers.refuse_options(state.who, request, "a language model has its embedding and decoder around its layers")
    model = _language_model(state.under(root.rstrip(".")), network, version, projection or state.facts.get("projection"), notes)
    notes += _check_config(state.who, config, model)
    if zoneouts is None:
        notes.append("zoneout taken as 0: neither the file nor a config.yaml has it; --zoneout says otherwise")
    return Findings(replace(model, segment=segment, state=how), tuple(description), tuple(notes), provenance)


def _stack(state: StateDict) -> tuple[str, list[str]]:
    """Return the one stem that layers lie under, and their heads in numeric order."""
    stacks: dict[str, dict[int, str]] = {}
    for head in _heads(state.tensors):
        stem, dot, number = head.rpartition(".")
        if not re.fullmatch(r"0|[1-9][0-9]{0,5}", number):
            stem, dot, number = head, "", "0"
        if not dot and number == head:  # keys such as "0.kernel", under a prefix
            stem = ""
        stacks.setdefault(stem, {})[int(number)] = head
    if len(stacks) > 1:
        roots = [_root(state, stem) for stem in stacks]
        raise ModelError(f"{state.who}: has EGRU layers in {len(stacks)} places ({listed(roots)}); choose one with --prefix")
    ((stem, layers),) = stacks.items()
    first = min(layers)
    if sorted(layers) != list(range(first, first + len(layers))) or (first and not _is_led_to(state, stem, first)):
        have = ", ".join(str(number) for number in sorted(layers)[:8])
        one = f"; a single one: --prefix {listed([state.prefix + layers[min(layers)]])}" if len(layers) == 1 else ""
        where = listed([state.prefix + stem])
        raise ModelError(f"{state.who}: layers of {where} need the numbers 0 to {max(layers)}, have {have}{one}")
    return stem, [layers[number] for number in sorted(layers)]


def _is_led_to(state: StateDict, stem: str, first: int) -> bool:
    """Tell whether a linear layer stands before the first layer of a stack, under a smaller number beside it."""
    dot = f"{stem}." if stem else ""
    return any(state.has(f"{dot}{number}.weight") for number in range(first))


def _root(state: StateDict, stem: str) -> str:
    """Return the prefix that chooses a stack: that of the language model around it, where there is one."""
    root = stem.removesuffix(_LM_LAYERS)
    whole = root != stem and root and any(state.has(f"{root}{key}") for key in _TIED)
    return state.prefix + (root.rstrip(".") if whole else stem)


@dataclass
class _Layers:
    """The layers read so far."""

    populations: list[Population] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    threshold: str = ""  # the key that all of them have
    clamped: list[int] = field(default_factory=list)
    training: list[dict[str, float]] = field(default_factory=list)  # the scalars that only training uses, for the record

    def add(self, state: StateDict, zoneout: float) -> None:
        """Read the next layer; `state` has its keys alone."""
        from models.kernels.egru import GATES, layer_of

        number = len(self.populations) + 1
        inputs, wide = state.shape("kernel", 2)
        units = wide // GATES
        where = f"{state.who}: {state.prefix.rstrip('.') or 'the layer'}"
        if not inputs or not units or wide != GATES * units:
            raise ModelError(f"{where}: kernel needs shape (inputs, 3 * units), has {(inputs, wide)}")
        if self.widths and self.widths[-1] != inputs:
            raise ModelError(f"{where}: has {inputs} inputs, the layer before it {self.widths[-1]} units")
        self.widths += [units] if self.widths else [inputs, units]
        threshold = self._threshold(where, state, units)
        kernel = SparseRows.from_dense(state.array("kernel", (inputs, wide)).T)
        recurrent = SparseRows.from_dense(state.array("recurrent_kernel", (units, wide)).T)
        vectors = {"threshold": threshold, **{name: state.array(name, (wide,)) for name in ("bias", "recurrent_bias")}}
        self.populations.append(layer_of(number, kernel, recurrent, vectors, {"zoneout": zoneout}))
        self.training.append({name: float(state.array(name, (1,))[0]) for name in TRAINING_ONLY if state.has(name)})

    def _threshold(self, where: str, state: StateDict, units: int) -> F32:
        from models.compute.exponentials import sigmoid_of

        names = [name for name in VERSIONS if state.has(name)]
        if len(names) != 1:
            raise ModelError(f"{where}: needs either thr (EvNN 0.2.0) or thr_reparam (0.1.0), has {listed(names)}")
        if self.threshold not in ("", names[0]):
            raise ModelError(f"{where}: has {names[0]}, the layer before it {self.threshold}: no one version of EvNN wrote both")
        self.threshold = names[0]
        raw = state.array(self.threshold, (units,))
        if self.threshold == "thr_reparam":
            threshold = np.empty_like(raw)
            sigmoid_of(raw, threshold)
        else:  # EvNN clamps at every forward pass, so a file holds what the last training step left
            threshold = np.clip(raw, np.float32(0), np.float32(1))
        self.clamped.append(int(np.count_nonzero(threshold != raw)) if self.threshold == "thr" else 0)
        return threshold

    def notes(self) -> list[str]:
        """Return what was done to the layers, in lines."""
        if self.threshold == "thr_reparam":
            return ["thresholds are the sigmoid of thr_reparam"]
        if sum(self.clamped):
            return [f"{sum(self.clamped)} thresholds outside [0, 1] clamped, as EvNN does at every forward pass"]
        return []


def _language_model(state: StateDict, network: Network, version: str, projection: str | None, notes: list[str]) -> Model:
    from models.checkpoint import DecoderProjection, Model

    who = state.who
    keys = [key for key in _TIED if state.has(key)]
    words, width = state.shape(keys[0], 2)
    embedding = state.array(keys[0], (words, width))
    if len(keys) == 1:
        notes.append(f"the file has {keys[0]} alone of the two tied tensors; taken for both")
    elif state.shape(keys[1], 2) != (words, width):
        raise ModelError(f"{who}: {keys[1]} needs the shape of {keys[0]}, {(words, width)}, has {state.shape(keys[1], 2)}")
    else:
        unlike = int(np.count_nonzero(state.array(keys[1], (words, width)) != embedding))
        if unlike:
            differ = f"{unlike:,} of {embedding.size:,} weights differ between the two"
            raise ModelError(f"{who}: needs a decoder tied to the embedding; {differ}")
    if state.has("decoder.decoder.bias"):
        bias = state.array("decoder.decoder.bias", (words,))
    else:
        bias = np.zeros(words, np.float32)
        notes.append("no decoder.decoder.bias: taken as zero")
    first, last = (network.populations[number].units for number in (0, network.output))
    if first != width:
        raise ModelError(f"{who}: the first layer needs the embedding's {width} inputs, has {first}")
    between = None
    if state.has("decoder.projection.weight"):
        weight = state.array("decoder.projection.weight", (width, last))
        between = DecoderProjection(weight, state.array("decoder.projection.bias", (width,)), projection or ACTIVATIONS[version])
        why = "as you say" if projection else f"as EvNN {version} has it (the file does not tell); --projection says otherwise"
        notes.append(f"decoder projection taken as {between.activation}, {why}")
    elif projection is not None:
        raise ModelError(f"{who}: --projection: the file has no decoder.projection.weight")
    elif last != width:
        raise ModelError(f"{who}: the tied decoder needs a last layer of {width} units or a projection, has {last} units and none")
    return Model(network, embedding, bias, projection=between)


def _check_config(who: str, config: Config, model: Model) -> list[str]:
    """Hold the sizes in the configuration against the tensors'; what it does not name is not compared.

    A run that prunes units writes the sizes it began with: what the tensors have less of is noted, and ModelError raised for
    everything else that differs.
    """
    notes = []
    kind = config.values.get("rnn_type")
    if kind is not None and "egru" not in str(kind).lower():
        raise ModelError(f"config {config.path}: rnn_type is {ascii(str(kind))[:40]}; needs an EGRU")
    assert model.embedding is not None
    units = [model.network.populations[number].units for number in model.network.layers]
    hidden = units if model.projection is not None else units[:-1]
    have: Mapping[str, set[int]] = {"layers": {len(units)}, "emb_dim": {model.embedding.shape[1]}, "hidden_dim": set(hidden)}
    for name, sizes in have.items():
        need = config.number(name)
        if need is None or not sizes - {need}:
            continue
        if name != "layers" and config.prunes() and max(sizes) <= need:
            have_sizes = ", ".join(map(str, sorted(sizes)))
            notes.append(f"config.yaml says {name} {need}, the tensors {have_sizes}: units were pruned, by its {config.prunes()}")
        else:
            raise ModelError(f"{who}: config {config.path} says {name} {need}, the tensors {', '.join(map(str, sorted(sizes)))}")
    projection = config.values.get("projection")
    if isinstance(projection, bool) and projection != (model.projection is not None):
        have_one = "has one" if model.projection is not None else "has none"
        raise ModelError(f"{who}: config {config.path} says projection {str(projection).lower()}, the file {have_one}")
    return notes


def _dvs(state: StateDict, root: str) -> list[str]:
    """Warn of the one thing that EvNN's gesture model does between its layers and this emulator does not."""
    note = "EvNN's DVS gesture model hands a low-pass trace of y (0.9, 0.1) from layer to layer and to fc; here layers hand on y"
    return [note] if any(key.startswith(f"{root.removesuffix('layers')}conv.") for key in state.tensors) else []
