"""From the options of `features` to a job: which vectors into which network."""

from pathlib import Path
from typing import Any

from host.errors import HostError
from host.workloads.contract import Job
from host.workloads.features.options import NETWORK, Options
from host.workloads.features.vectors import VectorCount, VectorSource, load_inputs, seeded_features, seeded_numbers
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.site import SEEDED, new_dram, paths_of, place_for_run
from models.checkpoint import Model, load, save
from models.network import Network
from models.seeded import PAPER_DENSITY, PAPER_INPUT_UNITS, PAPER_LAYERS, THRESHOLD, seeded_egru
from models.tuned_activity import at_activity

DEFAULT_VECTORS = 700
_SEEDS_APART = 1_000_003  # of one input's numbers and the next one's
_TUNING_VECTORS = 12  # with which thresholds are set for an activity


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    if options.checkpoint in (None, SEEDED):
        model, title = Model(seeded_network(options)), "seeded network"
    else:
        path = Path(str(options.checkpoint))
        model, title = load(path), path.name
    placement = place_for_run(options, model.network, model.provenance)
    inputs = {number: model.network.populations[number] for number in model.network.inputs}
    if options.features is None:
        name, count = "seeded numbers", options.tokens or DEFAULT_VECTORS
        tables = [
            seeded_numbers(population, options.batch, count, options.seed + _SEEDS_APART * place)
            for place, population in enumerate(inputs.values())
        ]
    else:
        path = Path(options.features)
        tables, name = load_inputs(path, list(inputs.values()), options.batch, options.tokens), path.name
    sequences, frames, _ = tables[0].shape
    dram = new_dram(placement.chip)
    stores = {
        number: RowsInDram.of(
            dram, f"features of {population.name}", table.reshape(-1, population.units), population.payload, population.dense
        )
        for (number, population), table in zip(inputs.items(), tables, strict=True)
    }
    return Job(
        options=options,
        placement=placement,
        source=VectorSource(stores, sequences, frames),
        readout=VectorCount(sequences, frames),
        dram=dram,
        title=f"{title} on {name}",
        inputs=paths_of(checkpoint=None if options.checkpoint == SEEDED else options.checkpoint, features=options.features),
        facts={"source": name},
    )


def seeded_network(options: Options) -> Network:
    """Return the network of random weights that the options describe."""
    layers = list(options.layers or PAPER_LAYERS)
    if options.hidden is not None:
        layers[:-1] = [options.hidden] * (len(layers) - 1)
    width = options.input or PAPER_INPUT_UNITS
    threshold = THRESHOLD if options.threshold is None else options.threshold
    network = seeded_egru(width, layers, options.density or PAPER_DENSITY, options.seed, threshold)
    if options.activity is not None:
        network = at_activity(network, options.activity, seeded_features(1, _TUNING_VECTORS, width, options.seed)[0])
    return network


def share_files(options: Options, folder: Path) -> dict[str, Any]:
    """Write the seeded network into a sweep's folder, once for all points that have it; return the options that name it.

    Setting thresholds for an activity takes seconds; the points of a sweep mostly share their network.
    """
    if options.checkpoint is not None:
        return {}
    shape = {name: getattr(options, name) for name in NETWORK if getattr(options, name) is not None}
    name = "_".join(f"{key}-{'x'.join(map(str, v)) if isinstance(v, list | tuple) else v}" for key, v in shape.items())
    path = folder / f"{name}.safetensors"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            save(part, Model(seeded_network(options)))
        except OSError as error:
            raise HostError(f"network {path}: cannot be written ({error.strerror})") from error
        part.replace(path)  # whoever looks sees all of it or nothing
    return dict.fromkeys(NETWORK[:-1]) | {"checkpoint": str(path)}
