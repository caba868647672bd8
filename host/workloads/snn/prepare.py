"""From the options of `snn` to a job: which spiking network on which events. User errors are refused here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from host.errors import HostError
from host.workloads.contract import Job
from host.workloads.site import load_model, model_path, new_dram, paths_of, place_for_run
from host.workloads.snn import SHIPPED
from host.workloads.snn.options import Options
from host.workloads.snn.readout import Shown, SpikeReadout, class_of
from host.workloads.snn.results import Setting
from host.workloads.snn.samples import SYNTHETIC, open_samples
from host.workloads.snn.source import SpikeSource
from models.checkpoint import Model
from models.dvs.samples import CLASSES, DvsError
from models.dvs.spike_frames import SpikeBins
from models.kernels import ticks_of
from models.network import Array, Network, Population
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.reference import Reference
from models.spiking_classifier import seeded_classifier

_SEEDED_NOTE = "seeded network: it has learnt nothing, its classes only show that the path works"
_SPIKES = ("spike", "count")


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    path = model_path(options.checkpoint, SHIPPED)
    model, title = (Model(seeded_classifier(len(CLASSES))), "seeded network") if path is None else (load_model(path), path.name)
    who, given = f"checkpoint {options.checkpoint}", _one_input(model.network, f"checkpoint {options.checkpoint}")
    bins, network = bins_of(options, model.provenance), _sending_counts(given, options)
    float_network, bits = None if options.bits is None else network, ""
    if options.bits is not None:
        grid = Grid(bits=options.bits, percentile=options.percentile or 100.0, per_row=options.per_channel)
        kind = "count" if options.count else "spike"
        network, _ = quantise_spiking(network, grid, inputs=kind)
        bits = f"{options.bits} bits, {_percentile(grid)}{', a scale a channel' if grid.per_row else ''}"
    number, output = network.inputs[0], network.populations[network.output]
    samples = open_samples(options, bins, network.populations[number], output.units)
    placement = place_for_run(options, network, model.provenance)
    beside = _Beside(float_network, _how(options, output)) if float_network is not None and not options.alone else None
    dram = new_dram(placement.chip)
    source = SpikeSource(
        samples, dram, number, network.populations[number], options.batch, on_sample=beside.add if beside else None
    )
    if not source.positions:
        why = f": {samples.damages[0]}" if samples.damages else ""
        raise HostError(f"--events {options.events or SYNTHETIC}: no sample of the {samples.split} split can be read{why}")
    layers = _shown(options, network, who)
    setting = Setting(
        classes=CLASSES if output.units == len(CLASSES) else tuple(f"class {n}" for n in range(output.units)),
        source=samples.name, terms=samples.source, split=samples.split, asked=options.samples, steps=samples.steps,
        how=_how(options, output), timer_us=options.timer_us, bits=bits or _numbers(network), weights=_count_weights(network),
        lines=samples.lines, damages=samples.damages, record=_record(model.provenance),
    )  # fmt: skip
    readout = SpikeReadout(network, source, setting, layers, setting.how, beside.classes if beside else None)
    return Job(
        options=options, placement=placement, source=source, readout=readout, dram=dram, title=f"{title} on {samples.name}",
        note=_SEEDED_NOTE if path is None else "", facts={"seeded": path is None},
        inputs=paths_of(
            checkpoint=path, inputs=options.inputs, recordings=None if options.events in (None, SYNTHETIC) else options.events
        ),
        shown={
            "classes": list(setting.classes), "layer": network.populations[layers.layer].name, "membrane": options.membrane or "",
            "lines": samples.lines[:1],
        },
        probes={} if layers.membrane is None else {layers.membrane[0]: ("v",)},
    )  # fmt: skip


def bins_of(options: Options, provenance: Mapping[str, Any]) -> SpikeBins:
    """Return how events become spikes: as the options say, else as the checkpoint's record does, else the default."""
    stored = provenance.get("bins")
    known = {name: stored[name] for name in SpikeBins.__dataclass_fields__ if name in stored} if isinstance(stored, dict) else {}
    in_us = {"bin_us": options.bin_ms, "denoise_us": options.denoise_ms}
    asked: dict[str, Any] = {name: round(1000 * ms) for name, ms in in_us.items() if ms is not None}
    asked |= {"steps": options.steps, "size": options.size, "polarity": options.polarity}
    chosen = known | {name: value for name, value in asked.items() if value is not None}
    if options.binary or options.count:
        chosen["binary"] = options.binary
    try:
        return SpikeBins(**chosen)
    except (DvsError, TypeError) as error:
        raise HostError(str(error)) from error


class _Beside:
    """The classes that a network gives each sample on the host, computed plainly (`models/reference`)."""

    def __init__(self, network: Network, how: str) -> None:
        self._network, self._how, self._reference = network, how, Reference(network)
        self._classes: list[int] = []

    def add(self, numbers: Array) -> None:
        """Step the network through a sample's (steps, units)."""
        inputs, output, rows = self._network.inputs[0], self._network.output, []
        for step, row in enumerate(numbers):
            rows.append(self._reference.step({inputs: row}, fresh=step == 0)[output][0].astype(np.float64))
        table = np.stack(rows)
        scores = {"counts": table.sum(0), "mean": table.mean(0), "last": table[-1], "max": table.max(0)}[self._how]
        self._classes.append(class_of(scores))

    def classes(self) -> list[int]:
        """Return the class of each sample so far."""
        return self._classes


def _one_input(network: Network, who: str) -> Network:
    """Return the network; HostError unless it has one input of events, one output, and neurons that spike."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise HostError(f"{who}: needs one input and one output; has {len(network.inputs)} and {len(network.outputs)}")
    output = network.populations[network.output]
    if network.populations[network.inputs[0]].dense or ticks_of(output.kernel, output.params) > 1:
        raise HostError(f"{who}: needs an input of events and an output that takes one tick a step")
    if not any(population.kernel and population.payload in _SPIKES for population in network.populations):
        kernels = ", ".join(sorted({population.kernel for population in network.populations if population.kernel}))
        raise HostError(f"{who}: has no neurons that spike, but {kernels}; `launch.py run` runs any network")
    return network


def _sending_counts(network: Network, options: Options) -> Network:
    """Return the network with an input that sends counts where those are asked for and it sends spikes."""
    number = network.inputs[0]
    if not options.count or network.populations[number].payload != "spike":
        return network
    populations = list(network.populations)
    populations[number] = replace(populations[number], payload="count")
    return replace(network, populations=tuple(populations))


def _how(options: Options, output: Population) -> str:
    """Return how the answer is taken; HostError for a way that the output does not allow."""
    spikes = output.payload in _SPIKES
    how = options.answer or ("counts" if spikes else "mean")
    if spikes != (how == "counts"):
        sends, need = ("spikes", "counts") if spikes else ("its membrane", "mean, last or max")
        raise HostError(f"--answer {how}: the output {output.name} sends {sends}; use {need}")
    return how


def _shown(options: Options, network: Network, who: str) -> Shown:
    """Return what is shown; HostError for a layer or unit that is not there."""
    names = {network.populations[n].name: n for n in network.layers}
    inner = [n for n in network.layers if n != network.output and network.populations[n].payload in _SPIKES]
    layer = names.get(options.raster) if options.raster else (inner or list(network.layers))[-1]
    if layer is None or network.populations[layer].payload not in _SPIKES:
        raise HostError(f"--raster {options.raster}: {who} has layers that spike {', '.join(names)}")
    if options.membrane is None:
        return Shown(layer=layer)
    name, _, unit = options.membrane.rpartition(":")
    if name not in names or not unit.isdecimal() or int(unit) >= network.populations[names[name]].units:
        sizes = ", ".join(f"{name}:0 to {network.populations[n].units - 1}" for name, n in names.items())
        raise HostError(f"--membrane {options.membrane}: needs LAYER:UNIT; {who} has {sizes}")
    return Shown(layer=layer, membrane=(names[name], int(unit)))


def _percentile(grid: Grid) -> str:
    return "the largest weight is the largest number" if grid.percentile == 100 else f"percentile {grid.percentile:g}"


def _numbers(network: Network) -> str:
    kinds = {p.weights.numeric for n in network.layers for p in network.populations[n].projections}
    return " and ".join(sorted(kinds)) + " weights, as in the file"


def _count_weights(network: Network) -> int:
    return sum(p.weights.places for n in network.layers for p in network.populations[n].projections)


def _record(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    record = provenance.get("record")
    return record if isinstance(record, dict) else {}
