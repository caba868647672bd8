"""A ledger for other programs' tables: a pandas DataFrame, an xarray Dataset. Either library is loaded where it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from host.cost.ledger import PEER_COUNTS, PORT_COUNTS, RunLedger
from host.cost.ledger_columns import Column, Columns, column_names, peer_names, port_names, shard_names, tick_names
from host.errors import HostError


def ledger_frame(run: RunLedger, first: int = 0, last: int | None = None) -> Any:
    """Return positions `first` to `last` (exclusive, None: all) as a DataFrame of uint32: a row a position, and columns of four
    levels, `what`, `pe`, `population` and `of`, as `Column` says.

    It is all in memory: four bytes a count. HostError where there is no pandas.
    """
    pandas, ledger = _load("pandas", "to_frame"), run.part(first, run.positions if last is None else last)
    names = column_names(run, tuple(ledger.by_turn))
    columns = pandas.MultiIndex.from_tuples(names, names=Column._fields)
    index = pandas.RangeIndex(first, first + ledger.positions, name="position")
    return pandas.DataFrame(Columns(run, tuple(ledger.by_turn)).join(ledger), index=index, columns=columns)


def ledger_dataset(run: RunLedger, first: int = 0, last: int | None = None) -> Any:
    """Return the same positions as a Dataset over `position` and what counts are of: `turn` (events, and what kernels count by
    activity), `port` (macs, visited), `peer` (messages and their bytes), `input`, `layer`; coordinates name them.

    HostError where there is no xarray.
    """
    xarray, ledger = _load("xarray", "to_xarray"), run.part(first, run.positions if last is None else last)
    shards = np.array(shard_names(run), str).reshape(-1, 2)
    arrays: dict[str, Any] = {
        "input_events": (("position", "input"), ledger.input_events), "stepped": (("position", "layer"), ledger.stepped),
        "events": (("position", "turn"), ledger.events),
        **{name: (("position", "turn"), counts) for name, counts in ledger.by_turn.items()},
        **{name: (("position", "port"), ledger.port_counts[:, :, n]) for n, name in enumerate(PORT_COUNTS)},
    }  # fmt: skip
    coordinates: dict[str, Any] = {
        "position": np.arange(first, first + ledger.positions),
        "input": [run.populations[number].name for number in run.inputs], "layer": list(run.layer_names),
        "turn_pe": ("turn", shards[run.turns.shard, 0]), "turn_population": ("turn", shards[run.turns.shard, 1]),
        "turn_tick": ("turn", np.array(tick_names(run), str)),
        "port_pe": ("port", shards[run.ports["shard"], 0]), "port_population": ("port", shards[run.ports["shard"], 1]),
        "port_of": ("port", np.array(port_names(run), str)),
    }  # fmt: skip
    if len(run.peers["shard"]):
        arrays |= {name: (("position", "peer"), ledger.transfers[:, :, n]) for n, name in enumerate(PEER_COUNTS)}
        coordinates |= {"peer_pe": ("peer", shards[run.peers["shard"], 0]), "peer_to": ("peer", np.array(peer_names(run), str))}
    return xarray.Dataset(arrays, coordinates)


def _load(library: str, method: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError:
        raise HostError(f"{method} needs {library}: pip install {library}") from None
