"""From the options of `retrieval` to a job: which model on which snapshots. User errors are refused here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from host.errors import HostError
from host.workloads.contract import Job
from host.workloads.retrieval.options import Options
from host.workloads.retrieval.readout import GridReadout
from host.workloads.retrieval.results import Compared
from host.workloads.retrieval.snapshots import read_snapshots
from host.workloads.retrieval.source import SnapshotSource
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.site import new_dram, paths_of, place_for_run, shipped_path
from models.retrieval.file import load_unrolled
from models.retrieval.network import to_units

FOLDER = "retrieval"  # of the shipped models


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    path = Path(options.checkpoint or shipped_path(FOLDER) / f"{options.dims}d.safetensors")
    model = load_unrolled(path)
    model = model if options.layers is None else model.first(options.layers)
    snapshots = read_snapshots(options, model.grid)
    count = len(snapshots.received)
    if options.batch > count:
        raise HostError(f"--batch {options.batch}: there are {count} snapshots; use --batch {count} or fewer")
    rounds, int8 = options.round == "half-up", options.weights == "int8"
    network = model.network(options.k, rounds=rounds, int8=int8)
    placement = place_for_run(options, network)
    filtered = model.grid.matched_filter(snapshots.received)
    dram = new_dram(placement.chip)
    store = RowsInDram.of(dram, "matched filters", np.ascontiguousarray(to_units(filtered)))
    source = SnapshotSource(store, count, options.batch)
    compared = Compared(
        model=model, filtered=filtered, truth=snapshots.truth, snr=snapshots.snr, bits=options.k, rounds=rounds, int8=int8
    )
    cells = "x".join(map(str, model.grid.cells))
    return Job(
        options=options, placement=placement, source=source, readout=GridReadout(network, source, compared), dram=dram,
        title=f"S-LISTA of {model.layers} layers on {cells} cells, K {options.k}",
        inputs=paths_of(checkpoint=path, inputs=options.inputs),
    )  # fmt: skip
