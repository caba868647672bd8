"""The place of a run: which checkpoint, which chip, and the network placed on it. What all workloads need to prepare a job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.errors import HostError, need_file
from host.mapping.expected_traffic import rates_of
from host.mapping.placement import Placement, place
from host.options import RunOptions
from models import importers, shipped
from models.checkpoint import Model, load
from models.event_numbers import is_scaled
from models.families import member, member_names
from models.kernels import ticks_of
from models.network import Network
from noc.chip import ChipSpec, load_chip
from noc.dram import Dram
from noc.packet import router_name

_CHECKPOINT_SUFFIX = ".safetensors"
SEEDED = "seeded"  # as a checkpoint's name: random weights in the paper's sizes


def load_run_chip(options: RunOptions) -> ChipSpec:
    """Return the chip that the options name; ChipError or HostError for a preset or file that cannot be used."""
    if options.chip_file:
        need_file(Path(options.chip_file), f"--chip-file {options.chip_file}")
    return load_chip(options.chip, Path(options.chip_file) if options.chip_file else None)


def shipped_path(name: str) -> Path:
    """Return the path of a file among the models that are shipped."""
    return Path(shipped.__file__).with_name(name)


def model_path(model: str | None, shipped_name: str) -> Path | None:
    """Return the file that a user names: a shipped model by its name, any other by its path, without a name the one in
    `shipped_name`; None for the seeded network.

    HostError where nothing is named and nothing is shipped. A file that is called as a shipped model is `./lm`.
    """
    if model == SEEDED:
        return None
    if model is not None:
        return shipped.path_of(model) or Path(model)
    if not shipped_name:
        raise HostError(f"MODEL: needs a file or {', '.join(shipped.names())}; no model is shipped for this command")
    return shipped_path(shipped_name)


def load_model(path: Path) -> Model:
    """Return the model in a file: a checkpoint, or a file that an importer reads as it is; ModelError for what cannot be used."""
    if (importer := direct_importer(path)) is not None:
        from models.foreign.import_model import import_model
        from models.foreign.request import ImportRequest

        return import_model(path, ImportRequest(importer=importer)).model
    return load(path)


def direct_importer(path: Path) -> str | None:
    """Return the name of the importer that reads files of this suffix as they are (its `DIRECT`); None where none does."""
    if path.suffix in ("", _CHECKPOINT_SUFFIX):
        return None
    names = member_names(importers)
    return next((name for name in names if path.suffix in getattr(member(importers, name, "importer"), "DIRECT", ())), None)


def open_model(checkpoint: str | None, shipped_name: str) -> tuple[Model | None, str]:
    """Return the model that a user names and a title; no model where the seeded network is meant.

    Without a name it is the shipped one; HostError where there is none either, ModelError for a file that cannot be used.
    """
    path = model_path(checkpoint, shipped_name)
    if path is None:
        return None, "seeded network with the paper's sizes"
    return load_model(path), path.name if checkpoint is not None else "the trained model of the paper's sizes"


def place_for_run(options: RunOptions, network: Network, provenance: Mapping[str, Any] | None = None) -> Placement:
    """Place a network, of a checkpoint with `provenance`, as the options say.

    Raises HostError, one line, for what does not fit or a fault on a PE, router or link that is not in use.
    """
    rates, _ = rates_of(network, provenance or {})
    placement = place(
        network, load_run_chip(options), mapping=options.mapping, form=options.format, pes=options.pes,
        lanes=options.batch, chips=options.chips, rates=rates,
    )  # fmt: skip
    _check_slow(options, placement)
    return placement


def only_ends(network: Network, checkpoint: str, *, scaled: bool = False) -> tuple[int, int]:
    """Return a network's one input and one output, both of float32 events and one tick a position, or `scaled` of numbers with a
    scale; HostError for another one.
    """
    ends = []
    for what, numbers in (("input", network.inputs), ("output", network.outputs)):
        have = [network.populations[n] for n in numbers]
        first = have[0]
        is_of_values = first.payload == "float32" or (scaled and is_scaled(first))
        if len(have) > 1 or not is_of_values or first.dense or ticks_of(first.kernel, first.params) > 1:
            names = ", ".join(f"{population.name} ({population.payload})" for population in have)
            need = f"one {what} of float32 events, one tick a position"
            raise HostError(f"checkpoint {checkpoint}: needs {need}; has {names}")
        ends.append(numbers[0])
    return ends[0], ends[1]


def new_dram(chip: ChipSpec) -> Dram:
    """Return the chip's DRAM, empty."""
    return Dram(chip.dram_bytes, chip.dram_alignment_bytes)


def paths_of(**paths: Path | str | None) -> dict[str, Path]:
    """Return those of the paths that are given, by their part."""
    return {part: Path(path) for part, path in paths.items() if path is not None}


def _check_slow(options: RunOptions, placement: Placement) -> None:
    """Raise HostError for a slow PE, router or link that is not in use."""
    machine = placement.machine
    known = {pe.name for pe in placement.pes} | {router_name(chip) for chip in machine.live} | set(map(str, machine.links))
    for name in options.faults.slow:
        if name not in known:
            links = f", {machine.links[0]} to {machine.links[-1]}" if machine.links else ""
            routers = f"router@{machine.live[0]} to router@{machine.live[-1]}"
            have = f"{placement.pes[0].name} to {placement.pes[-1].name}, {routers}{links}"
            raise HostError(f"--fault slow: {name} is not in use; have {have}")
