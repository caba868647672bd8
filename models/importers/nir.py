"""NIR: spiking networks that other programs wrote (`docs/nir.md`). What a file does not say is inferred and reported.

It knows flags and what is reported; the file is read by `models/foreign/nir_*.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.foreign.hdf5 import SIGNATURE
from models.foreign.nir_conventions import CHOICES, Choices
from models.foreign.nir_exporters import EXPORTERS
from models.foreign.nir_file import is_nir, read_file
from models.foreign.request import SEGMENT, Findings, ImportRequest
from models.importers import Flags, Head
from models.network import ModelError

if TYPE_CHECKING:  # what compiles code is loaded when a file is read
    from models.foreign.nir_network import Imported

KNOWN_BY = "NIR graph (HDF5)"
SUFFIX = ".nir"
DIRECT = (SUFFIX,)
_CERTAINTY, _BY_NAME = 90, 60


def add_flags(parser: Flags) -> None:
    """Add the flags by which a user says what a NIR file does not."""
    parser.add_argument("--dt", type=float, metavar="T", help="length of a step, in the file's unit of time")
    parser.add_argument("--exporter", metavar="NAME", help=f"read as what {', '.join(EXPORTERS)} writes (default: by its numbers)")
    parser.add_argument(
        "--integrator", metavar="NAME", help=f"{' or '.join(CHOICES['integrator'])} Euler, or exact for constant input"
    )
    parser.add_argument("--reset", metavar="NAME", help=f"what a spike does to the membrane: {', '.join(CHOICES['reset'])}")
    parser.add_argument("--fire", metavar="NAME", help="gt: above the threshold; ge: at it, too")
    parser.add_argument("--multi-spike", action=argparse.BooleanOptionalAction, default=None, help="several spikes a step")
    parser.add_argument("--floor-v", metavar="NAME", help=f"lower bound of the membrane: {' or '.join(CHOICES['floor'])}")
    parser.add_argument("--gain", metavar="NAME", help="inputs multiplied as the equation says, or one: as they are")
    parser.add_argument("--start", metavar="NAME", help="membranes begin at zero, or at their leak")
    text = "edge A>B of a loop, or any other, comes N steps late, as in --delay lif2>lif1=1; may be repeated"
    parser.add_argument("--delay", metavar="A>B=N", action="append", help=text)


def probe(head: Head) -> int:
    """Return how certain it is that the file is NIR."""
    if not head.start.startswith(SIGNATURE):
        return _BY_NAME if head.path.suffix == SUFFIX else 0
    known = is_nir(head.path)
    if known is None:  # without h5py its name is all there is
        return _BY_NAME if head.path.suffix == SUFFIX else 1
    return _CERTAINTY if known else (_BY_NAME if head.path.suffix == SUFFIX else 0)


def read(path: Path, request: ImportRequest) -> Findings:
    """Return the network of a NIR file; ModelError, in one line, where it makes none or something has to be chosen."""
    if request.prefix:
        raise ModelError(f"NIR file {path}: --prefix {request.prefix!a}: is for files of tensors; a NIR file has none")
    file = read_file(path)
    choices, delays = _chosen(file.who, request.given)
    from models.checkpoint import Model
    from models.foreign.nir_network import network_of
    from models.graph_check import check_network

    imported = network_of(file, choices, delays)
    try:
        check_network(imported.network)
    except ModelError as error:
        raise ModelError(f"{file.who}: {error}") from error
    convention = {name: value for name, value in asdict(imported.reading.convention).items() if value is not None}
    provenance = {"importer": "nir", "nir_version": file.version, "conventions": convention}
    model = Model(imported.network, segment=request.segment or SEGMENT, state=request.state or "carried")
    description = (("kind", f"NIR {file.version}"), *imported.reading.lines, *_populations(imported))
    return Findings(model, description, imported.notes, provenance)


_OPTIONS = {
    "exporter": "exporter", "dt": "dt", "integrator": "integrator", "reset": "reset", "fire": "fire", "multi_spike": "multi_spike",
    "floor": "floor_v", "gain": "gain", "start": "start",
}  # fmt: skip


def _chosen(who: str, given: Mapping[str, Any]) -> tuple[Choices, tuple[str, ...]]:
    """Return what was chosen, from the command line or from Python; ModelError for values of another type."""
    delays = given.get("delay", ())
    delays = tuple(delays) if isinstance(delays, list | tuple) else (delays,)
    if not all(isinstance(delay, str) for delay in delays):
        raise ModelError(f"{who}: --delay {delays!r:.80}: needs texts such as lif2>lif1=1")
    values = {name: given.get(flag) for name, flag in _OPTIONS.items()}
    dt = values["dt"]
    if dt is not None and (isinstance(dt, bool) or not isinstance(dt, int | float)):
        raise ModelError(f"{who}: --dt {dt!r:.80}: needs a number")
    return Choices(**values), delays


def _populations(imported: Imported) -> list[tuple[str, str]]:
    lines = []
    network = imported.network
    for population in network.populations:
        if not population.kernel:
            lines.append(("input", f"{population.name}: {population.units:,} units"))
            continue
        heard = [_heard(network.populations[p.source].name, p) for p in population.projections]
        lines.append((population.kernel, f"{population.name}: {population.units:,} units, hears {', '.join(heard)}"))
    return lines


def _heard(source: str, projection: Any) -> str:
    weights = projection.weights
    late = f" {projection.delay} late" if projection.delay else ""
    if hasattr(weights, "kernel"):
        shape = "x".join(map(str, weights.kernel.shape))
        pool = f" behind pools of {weights.pool[0]}x{weights.pool[1]}" if weights.pool != (1, 1) else ""
        return f"{source}{late} by a kernel of {shape}{pool}"
    return f"{source}{late} by {weights.nonzeros:,} weights"
