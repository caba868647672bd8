"""`launch.py info`: what a checkpoint holds and what its layers would need on the chip, as plain tables; nothing is placed.

What the file itself says goes through `plain_text` before it is printed: it may come from anywhere, and a terminal obeys
control codes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from host.commands._dnn_info import info_lines
from host.commands._model_argument import add_model
from host.errors import HostError
from host.flags import add_flags as add_option_flags
from host.mapping.request import Request, Share, sram_size
from host.mapping.sharding import share_sizes
from host.mapping.strategies import balanced, uniform
from host.options import RunOptions
from host.show.entries import list_entries, plain_text
from host.show.text_table import format_table
from host.workloads.dnn_files import holds_dnn, load_dnn_model
from host.workloads.registry import default_workload, workloads
from host.workloads.site import SEEDED, load_model, load_run_chip, model_path
from models import formats, kernels
from models.checkpoint import Model
from models.convolution import Convolution
from models.network import Network, Projection
from pe.layout import ShardSize, pe_fields
from pe.sram import footprint, plan

_LABEL = 13  # columns at the left that hold the labels
_CONVENTIONS = {"reset_gate": "reset gate", "event_reset": "an event"}  # as a line says them
_ENDLESS = 1 << 50  # bytes of an SRAM in which every shard fits, so that what it needs can be told

Shares = dict[int, list[Share]]  # by layer, one for each PE
Blocks = dict[int, list[ShardSize]]

HELP = "show what a checkpoint holds and what it needs, start nothing"
EXAMPLES = (("info FILE", "what a checkpoint holds and needs"),)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_model(parser)
    add_option_flags(parser, RunOptions, only=("batch",))


def run(flags: Mapping[str, Any]) -> int:
    """Print the tables; ModelError for a file that is no checkpoint, HostError for a batch that cannot be."""
    options = RunOptions(batch=flags.get("batch", 1))
    options.check()
    path = model_path(flags["model"], default_workload().about.SHIPPED if flags["model"] is None else "")
    if path is None:
        raise HostError(f"info {SEEDED}: it is made when a run needs it, there is no file; `fit {SEEDED}` shows what it needs")
    if holds_dnn(path):
        return _show(info_lines(path, load_dnn_model(path)))
    model, title, chip = load_model(path), path.name, load_run_chip(options)
    request = Request("csr", options.batch, sram_size(chip), len(chip.usable_pes()))
    shares: Shares = {layer: [] for layer in model.network.layers}
    blocks: Blocks = {layer: [] for layer in model.network.layers}
    for share in uniform.deals(model.network, request)[0]:
        shares[share[0].population].append(share)
        for size in share_sizes(model.network, request, share):
            blocks[size.population].append(size)
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    lines = _facts(f"{title}, {path.stat().st_size:,} B", model, width)
    lines += [*_matrices(model.network, blocks), *_thresholds(model.network)]
    lines += [*_memory(model.network, shares, request), *_fewest(model.network, request)]
    return _show(lines)


def _show(lines: Sequence[str]) -> int:
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding))
    return 0


def _facts(title: str, model: Model, width: int) -> list[str]:
    network = model.network
    layers = [network.populations[n] for n in network.layers]
    egrus = [layer.params for layer in layers if "zoneout" in kernels.named(layer.kernel).DEFAULTS]
    possible = sum(weights.places for weights in network.weights)
    rows = [
        ("checkpoint", plain_text(title)),
        ("units", _units(network)),
        ("weights", f"{network.nonzeros:,} of {possible:,} ({_percent(network.nonzeros, possible)}){_joined(network)}"),
        ("kernel", _kernels(network)),
        ("segment", f"{model.segment} positions; where one begins, c is {model.state} and y carried"),
    ]
    if egrus:
        rows.insert(4, ("zoneout", " / ".join(f"{p.get('zoneout', 0):g}" for p in egrus)))
    traces = [projection.trace for n in network.layers for projection in network.populations[n].projections[:1]]
    if any(traces):
        rows.append(("hears", " / ".join(f"trace {trace:g}" if trace else "events" for trace in traces)))
    if any(p.get("fire_at_threshold") for p in egrus):
        rows.append(("at threshold", " / ".join("fires" if p.get("fire_at_threshold") else "silent" for p in egrus)))
    for workload in workloads().values():
        rows += workload.part("info", "describe", lambda _: [])(model)
    rows += list_entries("provenance", model.provenance)
    return [line for label, value in rows for line in _wrapped(label, value, width)]


def _joined(network: Network) -> str:
    """Return for how many connections kernels stand, where there are any."""
    return f", which join {network.connections:,} pairs of units" if network.connections != network.nonzeros else ""


def _is_line(network: Network) -> bool:
    """Tell whether a network is a line of layers, each of which hears the one before it and at most itself."""
    return network.inputs == (0,) and all(set(network.sources(n)) in ({n - 1}, {n - 1, n}) for n in network.layers)


def _units(network: Network) -> str:
    if _is_line(network):
        return " > ".join(f"{population.units:,}" for population in network.populations) + ", the first of them the input"
    names = [f"{plain_text(one.name)} {one.units:,}{'' if one.kernel else ' (input)'}" for one in network.populations]
    return ", ".join(names) + "; outputs " + ", ".join(plain_text(network.populations[n].name) for n in network.outputs)


def _kernels(network: Network) -> str:
    parts = []
    for name in dict.fromkeys(network.populations[n].kernel for n in network.layers):
        facts: Mapping[str, str] = getattr(kernels.named(name), "CONVENTIONS", {})
        conventions = "; ".join(f"{_CONVENTIONS.get(key, key)} {fact}" for key, fact in facts.items())
        parts.append(f"{plain_text(name)}, {conventions}" if conventions else plain_text(name))
    return "; ".join(parts)


def _matrix_name(network: Network, projection: Projection) -> str:
    """Return a projection's port, and beyond lines of layers which population it hears, and how late."""
    if isinstance(projection.weights, Convolution):
        kernel = "x".join(map(str, projection.weights.kernel.shape))
        return f"{projection.port} of {plain_text(network.populations[projection.source].name)}, kernel {kernel}"
    if _is_line(network):
        return projection.port
    late = f", {projection.delay} later" if projection.delay else ""
    return f"{projection.port} of {plain_text(network.populations[projection.source].name)}{late}"


def _matrices(network: Network, blocks: Blocks) -> list[str]:
    rows = []
    for layer, parts in blocks.items():
        for number, projection in enumerate(network.populations[layer].projections):
            weights = projection.weights
            counts = [part.ports[number].shape.nonzeros for part in parts]
            possible = weights.shape[0] * weights.shape[1]
            shape = f"{weights.shape[0]:,} x {weights.shape[1]:,}"
            row = [network.populations[layer].name if not number else "", _matrix_name(network, projection), shape]
            row += [f"{weights.nonzeros:,}", _percent(weights.nonzeros, possible)]
            rows.append([*row, f"{min(counts):,}", f"{np.median(counts):,.0f}", f"{max(counts):,}"])
    heads = ["layer", "matrix", "rows x columns", "nonzeros", "density", "min", "median", "max"]
    title = f"nonzeros of each matrix, and of the block of it that a PE gets ({_split(blocks)})"
    return _table(title, heads, rows, {"layer", "matrix"})


def _thresholds(network: Network) -> list[str]:
    rows = []
    for layer in network.layers:
        population = network.populations[layer]
        if "threshold" not in population.vectors:
            continue
        values = population.vectors["threshold"]
        figures = [f"{figure:.4g}" for figure in (values.min(), np.median(values), values.max())]
        rows.append([population.name, f"{population.units:,}", *figures, _percent(int((values == 0).sum()), values.size)])
    heads = ["layer", "units", "min", "median", "max", "zero"]
    if not rows:
        return []
    return _table("units of each layer, and their event thresholds", heads, rows, {"layer"})


def _memory(network: Network, shares: Shares, request: Request) -> list[str]:
    room, endless = request.size.data_bytes, replace(request.size, sram_bytes=_ENDLESS)
    rows = []
    for group in network.groups:
        own = shares[group[0]]
        head = [" + ".join(network.populations[layer].name for layer in group), f"{len(own)}"]
        for form in formats.names_for(network.weights):
            together = [share_sizes(network, replace(request, format=form), share) for share in own]
            every = [footprint(plan("", pe_fields(sizes), endless), endless) for sizes in together]
            fullest = min(every, key=lambda used: used["free"])
            need = endless.data_bytes - fullest["free"]
            share = _percent(need, room) if need <= room else "does not fit"
            bytes_by_role = (f"{fullest[role]:,}" for role in ("weights", "variables", "spill"))
            rows.append([*head, form, *bytes_by_role, f"{need:,}", share])
            head = ["", ""]
    heads = ["layer", "PEs", "format", "weights", "variables", "of them spill", "data", f"of {room:,} B"]
    title = f"expected SRAM of the fullest PE in bytes ({_split(shares)}; batch {request.lanes})"
    return _table(title, heads, rows, {"layer", "format"})


def _fewest(network: Network, request: Request) -> list[str]:
    rows = []
    for form in formats.names_for(network.weights):
        try:
            pes = len(balanced.deals(network, replace(request, format=form))[0])
            there = "" if pes <= request.available else f"does not fit: one chip has {request.available}"
            rows.append([form, f"{pes:,}", there])
        except HostError:
            rows.append([form, "none", "does not fit: a single unit is too large for a PE"])
    return _table("fewest PEs (mapping 'balanced')", ["format", "PEs", ""], rows, {"format", ""})


def _split(shares: Mapping[int, Sequence[Any]]) -> str:
    return f"{len(next(iter(shares.values())))} PEs a layer"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _wrapped(label: str, value: str, width: int) -> list[str]:
    head, indent = label.ljust(_LABEL), " " * _LABEL
    lines = textwrap.wrap(value, width, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [label]


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], left: set[str]) -> list[str]:
    """Return an empty line, the title, and the table; columns in `left` are flush left, the others right."""
    columns = [column for column, head in enumerate(heads) if head in left]
    return ["", title, *(f"  {line}".rstrip() for line in format_table([heads, *rows], left=columns))]
