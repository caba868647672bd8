"""From the options of `run` and `features` to a job: which arrays into which network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError
from host.workloads.arrays import SHIPPED
from host.workloads.arrays.expected_input import ExpectedInput, check_inputs, expected_inputs
from host.workloads.arrays.lane_plan import LanePlan
from host.workloads.arrays.options import NETWORK, Options
from host.workloads.arrays.read_arrays import read_inputs
from host.workloads.arrays.readout import ArrayReadout
from host.workloads.arrays.seeded_numbers import seeded_features, seeded_numbers
from host.workloads.arrays.source import ArraySource
from host.workloads.contract import Job
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.site import load_model, model_path, new_dram, paths_of, place_for_run
from models.checkpoint import Model, save
from models.event_numbers import numbers_of
from models.heads.affine import answer_of, front_of
from models.network import Array, Network, check_finite
from models.seeded import PAPER_DENSITY, PAPER_INPUT_UNITS, PAPER_LAYERS, THRESHOLD, seeded_egru
from models.tuned_activity import at_activity

DEFAULT_VECTORS = 700
_SEEDS_APART = 1_000_003  # of one input's numbers and the next one's
_TUNING_VECTORS = 12  # with which thresholds are set for an activity


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    path = None if options.checkpoint is None else model_path(options.checkpoint, SHIPPED)
    model, title = (Model(seeded_network(options)), "seeded network") if path is None else (load_model(path), path.name)
    inputs, name = _read(options, model)
    job = prepare_arrays(options, model, inputs, title=f"{title} on {name}")
    files = paths_of(checkpoint=path, features=options.features, inputs=options.inputs)
    return replace(job, inputs=files, facts={"source": name}, note=_part_alone(model))


def _part_alone(model: Model) -> str:
    """Return a note where only a part of the model is run, else ""."""
    if model.embedding is not None:
        return "the layers of a language model alone: `lm` runs it on texts"
    return "the layers of a gesture network alone: `dvs` runs it on recordings" if model.gesture is not None else ""


def prepare_arrays(options: Options, model: Model, inputs: Mapping[str, Sequence[Array]], *, title: str) -> Job:
    """Build the job of a model on arrays in memory: input population's name -> one (time, units) array a sequence.

    They are those of the model's front end if it has one. `options.batch` sequences run side by side, all of them where it is None.
    HostError, one line, for arrays that the network does not take, and for what does not fit.
    """
    network = model.network
    arrays = check_inputs("inputs", expected_by(model), inputs)
    lengths = [len(array) for array in next(iter(arrays.values()))]
    lanes = options.batch or len(lengths)
    if lanes > len(lengths):
        raise HostError(f"--batch {lanes}: the inputs have {len(lengths)} sequences; use --batch {len(lengths)} or fewer")
    options = replace(options, batch=lanes)
    placement = place_for_run(options, network, model.provenance)
    dram, plan = new_dram(placement.chip), LanePlan(lengths, lanes)
    answer = partial(answer_of, model) if model.head or model.twins else None
    stores = {}
    for number in network.inputs:
        population = network.populations[number]
        rows = np.concatenate(arrays[population.name])
        if model.front:
            rows = front_of(model, rows)
            check_finite("the front end's numbers", rows)
        rows = numbers_of(population, rows)
        stores[number] = RowsInDram.of(dram, f"inputs of {population.name}", rows, population.payload, population.dense)
    return Job(
        options=options, placement=placement, source=ArraySource(stores, plan), readout=ArrayReadout(network, plan, answer),
        dram=dram, title=title,
    )  # fmt: skip


def expected_by(model: Model) -> list[ExpectedInput]:
    """Return what each input of a model takes, before its front end if it has one."""
    expected = expected_inputs(model.network)
    return [expected[0]._replace(units=model.front[0].inputs)] if model.front else expected


def _read(options: Options, model: Model) -> tuple[dict[str, list[Array]], str]:
    """Return the inputs that the options name, by input population, and what to call them."""
    expected = expected_by(model)
    if options.inputs is None and options.features is None:
        count, sequences = options.tokens or DEFAULT_VECTORS, options.batch or 1
        seeds = (options.seed + _SEEDS_APART * place for place in range(len(expected)))
        numbers = {one.name: list(seeded_numbers(one, sequences, count, seed)) for one, seed in zip(expected, seeds, strict=True)}
        return numbers, "seeded numbers"
    flag, path = ("--inputs", Path(options.inputs)) if options.inputs else ("--features", Path(str(options.features)))
    who = f"{flag} {path}"
    inputs = read_inputs(path, expected, who)
    if options.inputs is None:  # as many as run side by side
        sequences = options.batch or 1
        have = len(next(iter(inputs.values())))
        if have < sequences:
            raise HostError(f"{who}: needs {sequences} sequences, has {have}")
        inputs = {name: arrays[:sequences] for name, arrays in inputs.items()}
    if options.tokens is not None:
        shortest = min(len(array) for array in next(iter(inputs.values())))
        if shortest < options.tokens:
            raise HostError(f"{who}: needs {options.tokens} vectors of each sequence, has {shortest}")
        inputs = {name: [array[: options.tokens] for array in arrays] for name, arrays in inputs.items()}
    return inputs, path.name


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
