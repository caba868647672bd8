"""From the options of `dnn` to a job: a network is read, quantised where it is not, cut into tiles, and laid out in DRAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from host.cost.cost_table import load_table
from host.cost.program_price import LayerTerms, layer_cost
from host.cost.program_settings import ProgramSettings
from host.errors import HostError
from host.mapping.dnn_image import MOST_SHARING, PROGRAM_AT, DnnImage, plan_image
from host.mapping.image_options import may_hand_on
from host.mapping.placement import Placement
from host.mapping.tile_order import fewest_transfers_first
from host.workloads.contract import Job
from host.workloads.dnn import SHIPPED
from host.workloads.dnn.input_files import read_arrays
from host.workloads.dnn.options import Options
from host.workloads.dnn.readout import DnnReadout
from host.workloads.dnn.samples import Samples, read_run_samples
from host.workloads.dnn.scores import classes_of
from host.workloads.dnn.setting import Setting
from host.workloads.dnn.source import ClockSource
from host.workloads.dnn.witness import TensorWitness
from host.workloads.dnn_files import load_dnn_model
from host.workloads.site import load_run_chip, model_path, new_dram, paths_of, place_for_run
from models.dnn.evaluate import run_graph
from models.dnn.integer import IntegerNetwork
from models.dnn.model import DnnModel
from models.dnn.tiles import Tiling, smallest
from models.dnn.work import Work
from models.network import Array, Network, Population, Projection, SparseRows
from models.quantise.dnn import integer_network
from models.quantise.dnn_calibration import sample_feeds
from models.quantise.dnn_lower import DnnSettings
from noc.machine import machine_of
from noc.packet import chip_of, dram_name

SCHEDULER, WORKER = 1, 2


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    path = model_path(options.checkpoint, SHIPPED)
    if path is None:
        raise HostError("MODEL seeded: is no DNN; name a file or a shipped model")
    model = load_dnn_model(path)
    network = _quantised(options, model, path)
    samples = read_run_samples(options, model, network)
    image, terms = _plan(options, network, len(samples))
    placement = place_for_run(_placing(options, image), network_of(image))
    workers, scheduler = _names(placement)
    home = chip_of(scheduler)
    setting = Setting(
        image=image, workers=workers, scheduler=scheduler, pes=[placed.name for placed in placement.pes], dram=dram_name(home),
        count=len(samples), labels=samples.labels, about=samples.about, names=samples.classes,
        float_classes=None if options.alone else float_classes(model, samples),
    )  # fmt: skip
    inputs = samples.int8(network)
    witness = TensorWitness(network, inputs) if options.verify else None
    readout = DnnReadout(setting, witness)
    fills: dict[int, list[tuple[int, bytes]]] = {}
    program = image.program(lambda worker: _drams(placement, workers[worker], home))
    for chip in sorted({chip_of(name) for name in (*workers, scheduler)}):
        fills[chip] = [(PROGRAM_AT, program)]
    fills[home] += image.input_fills(inputs)
    return Job(
        options=options, placement=placement, source=ClockSource(readout), readout=readout, dram=new_dram(placement.chip),
        title=f"{path.name}, {len(samples):,} samples", fills=fills, shown=_shown(image, workers, terms), witness=witness,
        inputs=paths_of(checkpoint=path, inputs=options.inputs, labels=options.labels),
    )  # fmt: skip


def _shown(image: DnnImage, workers: Sequence[str], terms: LayerTerms) -> dict[str, Any]:
    """Return what the monitor's panel draws from; what bounds a layer, and how long it takes, are as planned."""
    tiles = [layer.tiles.tiling for layer in image.layers]
    costs = [layer_cost(layer.tiles.operation.kind, layer.tiles.tiling, terms) for layer in image.layers]
    return {
        "layers": [layer.tiles.name for layer in image.layers], "kinds": [layer.tiles.operation.kind for layer in image.layers],
        "tiles": [one.tiles for one in tiles], "used": [layer.workers for layer in image.layers], "passes": image.passes,
        "workers": list(workers), "bounds": [cost.bound_by for cost in costs], "times_s": [cost.time_s for cost in costs],
    }  # fmt: skip


def network_of(image: DnnImage) -> Network:
    """Return the populations that run an image: a scheduler, and its workers, which may know each other, too."""
    peers = (SCHEDULER, WORKER) if image.kernel == "sharing_worker" else (SCHEDULER,)
    one = SparseRows.from_dense(np.ones((1, 1), np.float32))
    ones = SparseRows.from_dense(np.ones((image.workers, 1), np.float32))
    params = {"program": float(PROGRAM_AT)}
    return Network(
        (
            Population("clock", 1),
            Population("scheduler", 1, "scheduler", (Projection(0, "input", one),), params=params, peers=(WORKER,)),
            Population(
                "worker", image.workers, image.kernel, (Projection(0, "input", ones),), params=image.worker_params, peers=peers,
            ),
        ),
        outputs=(SCHEDULER,),
    )  # fmt: skip


def _quantised(options: Options, model: DnnModel, path: Path) -> IntegerNetwork:
    """Return the integer network of a model, quantised by --calibrate, or by its own test data, where it has none yet."""
    if model.network is not None and options.calibrate is None:
        return model.network
    if model.prepared is None:
        raise HostError(f"--calibrate: {path.name} holds integers alone; its float network is not there")
    own = bool(model.prepared.grids)
    if options.calibrate is not None:
        given = read_arrays(f"--calibrate {options.calibrate}", Path(options.calibrate), model.inputs)
    elif own:
        given = None
    else:
        raise HostError(f"{path.name}: its numbers are float32, the array's are int8; --calibrate FILE chooses their scales")
    settings = DnnSettings(
        scales="pow2", rounding="even" if own else "half-up", overflow="saturate", per_channel=False, equalise=True
    )
    return integer_network(model.prepared, given, settings, f"--calibrate {options.calibrate}")[0]


def _plan(options: Options, network: IntegerNetwork, count: int) -> tuple[DnnImage, LayerTerms]:
    """Return the image, and what its layers are priced by; without --pes on as many workers as some layer has tiles for."""
    chip = load_run_chip(options)
    machine = machine_of(chip, options.chips)
    have = sum(len(chip.usable_pes(number)) for number in machine.live)
    if options.pes is not None and options.pes > have:
        raise HostError(f"--pes {options.pes}: {options.chips} chips have {have:,} PEs")
    samples = min(options.batch, count)
    tiles = "whole_depth" if options.tiles == "whole_depth" else "fastest"
    settings = ProgramSettings(
        share=options.share, overlap=options.overlap, resident=options.resident, reduce=options.reduce, tiles=tiles
    )  # fmt: skip
    terms = LayerTerms(chip=chip, table=load_table(used=()), settings=settings, workers=(options.pes or have) - 1)
    if options.pes is None and may_hand_on(settings):
        terms = replace(terms, workers=min(terms.workers, MOST_SHARING))
    plan = partial(
        plan_image, network, samples=samples, passes=-(-count // samples),
        choose=_smallest_tiles if options.tiles == "smallest" else None,
        order=fewest_transfers_first if options.tiles == "fewest" else None,
    )  # fmt: skip
    image = plan(terms)
    # On the workers that are used the plan is another one, maybe: until all are, so that naming their number changes nothing.
    while options.pes is None and (used := max(layer.workers for layer in image.layers)) < terms.workers:
        terms = replace(terms, workers=used)
        image = plan(terms)
    return image, terms


def _smallest_tiles(kind: str, work: Work, terms: LayerTerms) -> list[Tiling]:  # noqa: ARG001 - the contract's arguments
    return [smallest(work)]


def _placing(options: Options, image: DnnImage) -> Options:
    """Return the options by which PEs are chosen: one a worker, whatever the batch."""
    return replace(options, pes=image.workers + 1, batch=1)


def _names(placement: Placement) -> tuple[list[str], str]:
    """Return the names of the workers' PEs in their order, and the scheduler's."""
    by_number = {int(part.units[0]): placed.name for placed in placement.pes for part in placed.share if part.population == WORKER}
    scheduler = next(placed.name for placed in placement.pes for part in placed.share if part.population == SCHEDULER)
    return [by_number[number] for number in sorted(by_number)], scheduler


def _drams(placement: Placement, worker: str, home: int) -> tuple[int, int]:
    """Return the numbers that the DRAM of a worker's chip and that of the scheduler's have among its peers."""
    placed = next(placed for placed in placement.pes if placed.name == worker)
    peers = [name for name, _ in placement.peers(placed)[2]]
    return peers.index(dram_name(chip_of(worker))), peers.index(dram_name(home))


def float_classes(model: DnnModel, samples: Samples) -> Array | None:
    """Return what the float network says of each sample, and of each of its places where these have labels; None where there is
    none, or the samples are int8 already.
    """
    if model.prepared is None or any(array.dtype == np.int8 for array in samples.inputs.values()):
        return None
    graph, answers = model.prepared.graph, []
    places = () if samples.labels is None else samples.labels.shape[1:]
    for at in range(len(samples)):
        outputs = run_graph(graph, sample_feeds(graph, samples.inputs, at))
        answers.append(classes_of(next(iter(outputs.values())), places))
    return np.stack(answers)
