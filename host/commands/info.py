"""`launch.py info`: what a checkpoint holds and what its layers would need on the chip, as plain tables; nothing is placed.

What the file itself says goes through `_plain` before it is printed: it may come from anywhere, and a terminal obeys
control codes.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError
from host.mapping.request import Request, sram_size
from host.mapping.sharding import share_sizes
from host.mapping.strategies import balanced, uniform
from host.options import LmOptions
from host.workloads.job import chip_of, model_of
from models import formats
from models.checkpoint import Model
from models.checkpoint.metadata import FACTS
from models.heads.gesture import Gesture
from models.network import Network
from models.text.vocabulary import Vocabulary
from pe.layout import ShardSize, pe_fields
from pe.sram import footprint, plan

_LABEL = 13  # columns at the left that hold the labels
_LONGEST_TEXT = 400  # characters of one value; a provenance may be a megabyte
_LONGEST_LIST = 12
_MOST = 60  # entries of a provenance, or of a group of settings in it
_ENDLESS = 1 << 50  # bytes of an SRAM in which every shard fits, so that what it needs can be told

Blocks = dict[int, list[ShardSize]]  # by layer, one for each PE


def info(flags: dict[str, Any]) -> int:
    """Print the tables; ModelError for a file that is no checkpoint, HostError for a batch that cannot be."""
    options = LmOptions(checkpoint=flags["file"], batch=flags["batch"])
    options.check()
    model, title = model_of(options)
    assert model is not None
    chip = chip_of(options)
    request = Request("csr", options.batch, sram_size(chip), len(chip.usable_pes()))
    blocks: Blocks = {layer: [] for layer in model.network.layers}
    for share in uniform.deals(model.network, request)[0]:
        blocks[share[0].population] += share_sizes(model.network, request, share)
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    lines = [
        *_facts(f"{title}, {Path(flags['file']).stat().st_size:,} B", model, width),
        *_matrices(model.network, blocks),
        *_thresholds(model.network),
        *_memory(model.network, blocks, request),
        *_fewest(model.network, request),
    ]
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding))
    return 0


# ---- what the file says


def _facts(title: str, model: Model, width: int) -> list[str]:
    network, params = model.network, [model.network.populations[n].params for n in model.network.layers]
    possible = sum(p.weights.shape[0] * p.weights.shape[1] for n in network.layers for p in network.populations[n].projections)
    rows = [
        ("checkpoint", _plain(title)),
        ("units", " > ".join(f"{population.units:,}" for population in network.populations) + ", the first of them the input"),
        ("weights", f"{network.nonzeros:,} of {possible:,} ({_percent(network.nonzeros, possible)})"),
        ("kernel", f"{FACTS['kernel']}, gates {FACTS['gates']}; reset gate {FACTS['reset_gate']}; an event {FACTS['event_reset']}"),
        ("zoneout", " / ".join(f"{p['zoneout']:g}" for p in params)),
        ("segment", f"{model.segment} positions; where one begins, c is {model.state} and y carried"),
    ]
    traces = [projection.trace for n in network.layers for projection in network.populations[n].projections[:1]]
    if any(traces):
        rows.append(("hears", " / ".join(f"trace {trace:g}" if trace else "events" for trace in traces)))
    if any(p["fire_at_threshold"] for p in params):
        rows.append(("at threshold", " / ".join("fires" if p["fire_at_threshold"] else "silent" for p in params)))
    rows += _language(model) if model.gesture is None else _gesture(model.gesture)
    rows += _listed("provenance", model.provenance)
    return [line for label, value in rows for line in _wrapped(label, value, width)]


def _listed(label: str, entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(zip([label, *[""] * _MOST], _told(entries) or ["not stated"], strict=False))


def _language(model: Model) -> list[tuple[str, str]]:
    rows = [("decoder", _decoder(model))]
    if model.vocabulary:
        rows += [("vocabulary", f"{len(model.vocabulary):,} words"), ("sha256", Vocabulary(model.vocabulary).sha256)]
    else:
        rows.append(("vocabulary", "none" if model.embedding is None else "none: cannot be run until imported with its text"))
    rows.append(("text", ", ".join(f"{split} {len(numbers):,} words" for split, numbers in model.tokens.items()) or "none stored"))
    rows.append(("text licence", _plain(model.text_licence) or "not stated"))
    return rows


def _gesture(gesture: Gesture) -> list[tuple[str, str]]:
    steps = [f"{gesture.size} x {gesture.size}"]
    for layer, width in zip(gesture.head, gesture.widths[1:], strict=True):
        out, _, kernel, _ = layer.weight.shape
        pool = ", pool" if layer.pool else ""
        steps.append(f"conv {kernel} x {kernel}, stride {layer.stride}, padding {layer.padding}{pool}: {out} of {width} x {width}")
    heard = f"trace {gesture.trace:g} of its events" if gesture.trace else "events"
    bins, length = f"{gesture.frames} of {gesture.bin_us / 1000:g} ms", f"slices of {gesture.slice_us / 1e6:g} s"
    relu = ", ReLU" if gesture.feature_relu else ""
    return [
        ("frames", f"{bins} ({length}), polarity {gesture.polarity}, divided by {gesture.scale:g}"),
        ("head", " > ".join([*steps, f"linear{relu}: {gesture.features:,} features"])),
        ("read-out", f"{len(gesture.classes)} classes of {gesture.units:,} units; mean over time of the last layer's {heard}"),
        ("classes", ", ".join(map(_plain, gesture.classes))),
        *_listed("record", gesture.record),
    ]


def _decoder(model: Model) -> str:
    if model.embedding is None:
        return "none: a bare stack of layers"
    words, units = model.embedding.shape
    text = f"tied to the embedding, {words:,} words x {units:,}"
    if model.projection is not None:
        rows, columns = model.projection.weight.shape
        text += f"; behind a projection {columns:,} > {rows:,}, {model.projection.activation}"
    return text


def _told(provenance: Mapping[str, Any]) -> list[str]:
    """Return a line for each entry; what is nested once is listed behind its name, what lies deeper is only counted."""
    told = []
    for name, value in list(provenance.items())[:_MOST]:
        if isinstance(value, dict):
            inner = [f"{_plain(key)} {_condensed(deeper)}" for key, deeper in list(value.items())[:_MOST]]
            told.append(f"{_plain(name)}: {', '.join(inner)}{_more(value)}")
        else:
            told.append(f"{_plain(name)}: {_condensed(value)}")
    if more := _more(provenance):
        told[-1] += more
    return told


def _more(entries: Mapping[str, Any]) -> str:
    return f" and {len(entries) - _MOST:,} more" if len(entries) > _MOST else ""


def _condensed(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, dict):
        return f"({len(value)} entries)"
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST or any(isinstance(item, list | dict) for item in value):
            return f"({len(value)} values)"
        return " / ".join(map(_condensed, value))
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else _plain(str(value))


def _plain(text: str) -> str:
    """Return `text` on one line, without anything that a terminal would obey."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text[:_LONGEST_TEXT].split()))
    return line + ("..." if len(text) > _LONGEST_TEXT else "")


# ---- what the layers are made of


def _matrices(network: Network, blocks: Blocks) -> list[str]:
    rows = []
    for layer, parts in blocks.items():
        for number, projection in enumerate(network.populations[layer].projections):
            weights = projection.weights
            counts = [part.ports[number].nonzeros for part in parts]
            possible = weights.shape[0] * weights.shape[1]
            shape = f"{weights.shape[0]:,} x {weights.shape[1]:,}"
            rows.append(
                [
                    network.populations[layer].name if not number else "",
                    projection.port,
                    shape,
                    f"{weights.nonzeros:,}",
                    _percent(weights.nonzeros, possible),
                ]
            )
            rows[-1] += [f"{min(counts):,}", f"{np.median(counts):,.0f}", f"{max(counts):,}"]
    heads = ["layer", "matrix", "rows x columns", "nonzeros", "density", "min", "median", "max"]
    title = f"nonzeros of each matrix, and of the block of it that a PE gets ({_split(blocks)})"
    return _table(title, heads, rows, {"layer", "matrix"})


def _thresholds(network: Network) -> list[str]:
    rows = []
    for layer in network.layers:
        population = network.populations[layer]
        values = population.vectors["threshold"]
        figures = [f"{figure:.4g}" for figure in (values.min(), np.median(values), values.max())]
        rows.append([population.name, f"{population.units:,}", *figures, _percent(int((values == 0).sum()), values.size)])
    return _table(
        "units of each layer, and their event thresholds", ["layer", "units", "min", "median", "max", "zero"], rows, {"layer"}
    )


# ---- what they would need on the chip


def _memory(network: Network, blocks: Blocks, request: Request) -> list[str]:
    room, endless = request.size.data_bytes, replace(request.size, sram_bytes=_ENDLESS)
    rows = []
    for layer, parts in blocks.items():
        head = [network.populations[layer].name, f"{len(parts)}"]
        for form in formats.names():
            every = [footprint(plan("", pe_fields([part._replace(format=form)]), endless), endless) for part in parts]
            fullest = min(every, key=lambda used: used["free"])
            need = endless.data_bytes - fullest["free"]
            share = _percent(need, room) if need <= room else "does not fit"
            rows.append(
                [*head, form, f"{fullest['weights']:,}", f"{fullest['variables']:,}", f"{fullest['spill']:,}", f"{need:,}", share]
            )
            head = ["", ""]
    heads = ["layer", "PEs", "format", "weights", "variables", "of them spill", "data", f"of {room:,} B"]
    return _table(
        f"expected SRAM of the fullest PE in bytes ({_split(blocks)}; batch {request.lanes})", heads, rows, {"layer", "format"}
    )


def _fewest(network: Network, request: Request) -> list[str]:
    rows = []
    for form in formats.names():
        try:
            pes = len(balanced.deals(network, replace(request, format=form))[0])
            there = "" if pes <= request.available else f"does not fit: one chip has {request.available}"
            rows.append([form, f"{pes:,}", there])
        except HostError:
            rows.append([form, "none", "does not fit: a single unit is too large for a PE"])
    return _table("fewest PEs (mapping 'balanced')", ["format", "PEs", ""], rows, {"format", ""})


# ---- as text


def _split(blocks: Blocks) -> str:
    return f"{len(next(iter(blocks.values())))} PEs a layer"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _wrapped(label: str, value: str, width: int) -> list[str]:
    indent = " " * _LABEL
    return textwrap.wrap(value, width, initial_indent=label.ljust(_LABEL), subsequent_indent=indent, break_on_hyphens=False) or [
        label
    ]


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], left: set[str]) -> list[str]:
    """Return an empty line, the title, and the table; columns in `left` are flush left, the others right."""
    rows = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if head in left else c.rjust(w) for c, w, head in zip(row, widths, heads, strict=True)]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return ["", title, *lines]
