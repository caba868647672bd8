"""Points of an experiment that start no process: a recording's ledger of a placement, or the expected ledger of a uniform
network on a machine too large to run.

Both leave a run folder that is read like any other. It lacks what only a run has: packets that were carried, their accounts,
speed, and a perplexity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.cost.expected_ledger import UniformNetwork, expected_ledger
from host.cost.ledger_writer import save_ledger
from host.errors import HostError
from host.experiments.experiment_file import EXPECTED, RECORDED
from host.flags import option_fields
from host.options import RunOptions
from host.provenance import input_record
from host.run.offline import load_or_record
from host.run.report import mapping_block
from host.run_folder import SCHEMA, write_run
from host.workloads.registry import prepare
from host.workloads.site import load_run_chip
from models.seeded import PAPER_INPUT_UNITS
from noc.machine import machine_of


def record_into(folder: Path, options: RunOptions, recordings: Path) -> None:
    """Write what a run of `options` would have recorded into `folder`, which must not exist; errors as of a run.

    Events are computed once for all placements of a network on the same input, and kept in `recordings`.
    """
    job = prepare(options)
    own = {entry.name for entry in option_fields(type(options))} - {entry.name for entry in option_fields(RunOptions)}
    inputs = {name: value for name, value in options.resolved().items() if name in own}
    what = json.dumps([options.workload, inputs, input_record(job.inputs)], sort_keys=True)
    recording = load_or_record(recordings, job.placement, what, lambda: (job.source, job.readout))
    folder.mkdir(parents=True)
    save_ledger(recording.ledger(job.placement), folder)
    mapping = mapping_block(job.placement)
    _write(folder, {"sha256": recording.sha256}, mapping, RECORDED, options.resolved())


def expect_into(folder: Path, settings: Mapping[str, Any], options: RunOptions) -> None:
    """Write the expected ledger of a uniform network into `folder`, which must not exist; HostError where there is none."""
    if settings.get("checkpoint") is not None:
        have = f"has checkpoint {settings['checkpoint']}"
        raise HostError(f"transport {EXPECTED!r}: prices uniform chains of EGRU layers by their sizes; {have}, take 'recorded'")
    need = ("pes_a_chip", "units_a_pe", "fan_in")
    missing = [name for name in need if name not in settings]
    if missing:
        raise HostError(f"transport {EXPECTED!r}: needs {missing[0]}; of a uniform network: {', '.join(need)}")
    chip = load_run_chip(options)
    network = UniformNetwork(
        layers=settings.get("depth", 3), pes=settings["pes_a_chip"], units=settings["units_a_pe"], weights=settings["fan_in"],
        recurrent_weights=settings["fan_in"], activity=settings.get("activity", 0.2),
        input_units=settings.get("input", max(PAPER_INPUT_UNITS, settings["fan_in"])),
        format=settings.get("format", "csr"), lanes=settings.get("batch", 1),
    )  # fmt: skip
    ledger = expected_ledger(network, chip, machine_of(chip, options.chips), settings.get("tokens", 1))
    folder.mkdir(parents=True)
    save_ledger(ledger, folder)
    pes = int(ledger.multiplicity.sum())  # those included for which another stands
    mapping = {"chips": options.chips, "pes": pes, "sram": {"worst": {"weights": None, "free": None}}}
    _write(folder, {"sha256": None}, mapping, EXPECTED, options.resolved() | dict(settings))


def _write(folder: Path, events: dict[str, Any], mapping: dict[str, Any], transport: str, settings: dict[str, Any]) -> None:
    report = {
        "schema": SCHEMA, "workload": settings["workload"], "partial": False, "events": events, "result": {}, "metrics": [],
        "mapping": mapping, "counters": {}, "conservation": None, "emulation": {"transport": transport},
    }  # fmt: skip
    write_run(folder, settings, report)
