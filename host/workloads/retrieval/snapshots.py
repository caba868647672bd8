"""The snapshots of a run: seeded ones of each SNR, or a user's own from a file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from host.errors import HostError, need_file
from host.workloads.retrieval.options import Options
from models.retrieval.grid import C64, Grid
from models.retrieval.snapshots import make_snapshots


class RunSnapshots(NamedTuple):
    """`received` (many, *samples), and of seeded ones the `truth` (many, *cells) and `snr` (many,) dB."""

    received: C64
    truth: C64 | None
    snr: tuple[int, ...]


def read_snapshots(options: Options, grid: Grid) -> RunSnapshots:
    """Return the snapshots; HostError or ModelError, one line, for a file or targets that cannot be."""
    if options.inputs is not None:
        return RunSnapshots(_from_file(Path(options.inputs), grid), None, ())
    snapshots = [
        make_snapshots(
            grid, options.samples, targets=options.targets, snr_db=float(snr), seed=options.seed, off_grid=options.off_grid,
            first=number * options.samples,
        )
        for number, snr in enumerate(options.snr)
    ]  # fmt: skip
    received, truth = (np.concatenate([getattr(one, name) for one in snapshots]) for name in ("received", "truth"))
    return RunSnapshots(received, truth, tuple(snr for snr in options.snr for _ in range(options.samples)))


def _from_file(path: Path, grid: Grid) -> C64:
    who = f"--inputs {path}"
    need_file(path, who)
    try:
        array = np.load(path)  # unpickles nothing
    except (ValueError, OSError, EOFError) as error:
        raise HostError(f"{who}: cannot be read as .npy ({' '.join(str(error).split())[:120]})") from error
    need = f"complex snapshots (many, {', '.join(map(str, grid.samples))})"
    if not isinstance(array, np.ndarray) or array.dtype.kind != "c" or array.shape[1:] != grid.samples or not len(array):
        have = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise HostError(f"{who}: needs {need}, has {have}")
    if not np.isfinite(array).all():
        raise HostError(f"{who}: {int((~np.isfinite(array)).sum())} numbers are not finite")
    return np.asarray(array, np.complex64)
