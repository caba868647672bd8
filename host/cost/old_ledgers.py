"""Ledgers of earlier schemas: chains of EGRU layers with an input port and a recurrent one, as columns of the shards.

Schema 2 has no column for traces: nothing kept one. Older files of it name no machine: they are of one chip. Translated, they
price to the same figures. Schema 4 has today's columns, in arrays of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.network import Array

CHAINS = (2, 3)
SCHEMAS = (*CHAINS, 4)  # 4 has today's columns, in arrays of their own
_WITHOUT_TRACES = 2
_PORTS = ("input", "recurrent")
_COUNTS = ("events", "macs_input", "macs_recurrent", "visited_input", "visited_recurrent")
_WORDS = 7  # of a shard's row: those counts, units and exponentials


def translate(about: Mapping[str, Any], tensors: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the metadata and tensors of such a file as those of today's schema; ValueError where they have other shapes."""
    counts, inputs = tensors["counts"], tensors["input_events"]
    columns = {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("table.")}
    if about["schema"] == _WITHOUT_TRACES:
        columns["trace_input"] = np.zeros(len(columns["pe"]), np.int64)
    shards, lanes, layers = len(columns["pe"]), int(about["lanes"]), list(about["layers"])
    if counts.ndim != 3 or counts.shape[1:] != (shards, len(_COUNTS)) or inputs.shape != counts.shape[:1]:
        raise ValueError(f"counts of shape {counts.shape} and inputs of {inputs.shape}; needs 5 counts of {shards} shards")
    if any(column.shape != (shards,) or column.dtype != np.int64 for column in columns.values()):
        raise ValueError(f"columns of other shapes and types than ({shards},) of int64")
    layer = columns["layer"]
    units = [int(columns["width_recurrent"][layer == number].max()) for number in range(1, len(layers) + 1)]
    machine = about.get("machine", {"chips": 1, "down_chips": [], "down_links": []})
    populations = [_facts("input", about["input_units"], kernel="", start=0, words=0)] + [
        _facts(name, count, kernel="egru", start=n, words=_WORDS)
        for n, (name, count) in enumerate(zip(layers, units, strict=True), 1)
    ]
    head = {
        **{name: about[name] for name in ("pes", "lanes", "format", "chip")}, "machine": machine, "populations": populations,
        "outputs": [len(layers)], "interval": 1, "port_names": list(_PORTS),
    }  # fmt: skip

    def by_port(values: Any) -> Array:
        """Return a column of the ports: a shard's input, then its recurrent one."""
        return np.stack(np.broadcast_arrays(*values), axis=1).astype(np.int64).reshape(-1)

    ports = {
        "shard": by_port([np.arange(shards)] * 2), "name": by_port([np.zeros(shards), np.ones(shards)]),
        "source": by_port([layer - 1, layer]), "delay": by_port([np.zeros(shards), np.ones(shards)]),
        **{name: by_port([columns[f"{name}_{port}"] for port in _PORTS]) for name in ("rows", "weights", "width")},
        "weight_bytes": np.full(2 * shards, 4, np.int64), "trace": by_port([columns["trace_input"], np.zeros(shards)]),
        "adds": np.zeros(2 * shards, np.int64),
    }  # fmt: skip
    of = {name: counts[:, :, place] for place, name in enumerate(_COUNTS)}
    by_port_counts = [np.stack([of[f"{what}_{port}"] for what in ("macs", "visited")], axis=2) for port in _PORTS]
    translated = {
        "events": np.ascontiguousarray(of["events"]), "input_events": inputs[:, None],
        "port_counts": np.stack(by_port_counts, axis=2).reshape(len(counts), 2 * shards, 2),
        "stepped": np.full((len(counts), len(layers)), lanes, np.uint32),
        "per_lane.units": columns["units"], "per_lane.exponentials": columns["exponentials"] // lanes,
        "shards.pe": columns["pe"], "shards.population": layer, "shards.units": columns["units"],
        **{f"ports.{name}": column for name, column in ports.items()},
    }  # fmt: skip
    if "alike" in tensors:
        translated["alike"] = tensors["alike"]
    return head, translated


def _facts(name: str, units: Any, *, kernel: str, start: int, words: int) -> dict[str, Any]:
    return {
        "name": name, "units": int(units), "kernel": kernel, "payload": "float32", "dense": False, "start": start, "ticks": 1,
        "words": words,
    }  # fmt: skip
