"""`launch.py fit`: the mapping and the SRAM table of a checkpoint, without starting a process."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from host.commands._model_argument import add_model, take_model
from host.cost.cost_table import CostTable, load_table
from host.cost.price import price
from host.cost.twins import in_use
from host.errors import Exit, HostError
from host.flags import add_flags as add_option_flags
from host.mapping import strategies
from host.mapping.advice import fewer_pes, largest_batch
from host.mapping.expected_traffic import expected_flows, flow_loads, rates_of
from host.mapping.layer_needs import LayerNeed, layer_needs
from host.mapping.placement import PlacedPe, Placement, place
from host.options import RunOptions
from host.run.offline import record
from host.show.summary import published
from host.show.text_table import format_table
from host.workloads.registry import default_workload, prepare
from host.workloads.site import load_run_chip, open_model
from models import formats
from models.checkpoint import Model
from models.network import Network
from models.seeded import seeded_egru
from noc.chip import ChipSpec
from noc.machine import ChipLink
from pe.sram import footprint

_OPTIONS = ("checkpoint", "batch", "pes", "mapping", "format", "chips", "chip", "chip_file")
_ROLES = ("program", "debug", "weights", "variables", "spill", "free")
_PAPER_KB = {"program": "instruction_kb", "debug": "debug_kb", "weights": "weights_kb", "variables": "variables_kb"}  # of Table I
HELP = "show the mapping and the SRAM table, start nothing"
EXAMPLES = (("fit --mapping balanced", "what fits where; starts no process"),)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_model(parser)
    add_option_flags(parser, RunOptions, only=_OPTIONS)
    parser.add_argument("--compare", action="store_true", help="all mappings side by side: packets on links, time, energy")
    parser.add_argument("--all", action="store_true", help="one line a PE instead of the fullest of each layer")


def run(flags: dict[str, Any]) -> int:
    """Print the table; HostError and the like for what does not fit."""
    take_model(flags)
    every, compare = flags.pop("all"), flags.pop("compare")
    options = default_workload().options(**flags)
    options.check()
    model, title = open_model(options.checkpoint, default_workload().about.SHIPPED)
    network = model.network if model else seeded_egru()
    chip = load_run_chip(options)
    rates, measured = rates_of(network, model.provenance if model else {})
    if compare:
        print(f"{title}: {_weights(network)}, format {options.format}, batch {options.batch}\n")
        print(_compare(options, model, network, chip, rates))
        return 0
    placement = _place(options, network, chip, rates)
    print(f"{title}: {_weights(network)}")
    most = largest_batch(network, replace(placement.request, pes=len(placement.pes)), options.mapping)
    batch = f"batch {options.batch} (the largest that fits here: {most})"
    print(f"{len(placement.pes)} PEs, mapping {options.mapping}, format {options.format}, {batch}")
    if line := fewer_pes(placement.network, placement.request, len(placement.pes)):
        print(line)
    if options.chips > 1:
        print("\n".join(format_links(placement, rates, measured, _frame_bytes(chip, load_table(used=())))))
    print()
    rows = placement.pes if every else [_fullest(placement, group[0]) for group in network.groups]
    cells = [["PE", "layer", "units", *_ROLES, "  bytes"]]
    for placed in rows:
        used = footprint(placed.regions, placement.request.size)
        names = "+".join(network.populations[number].name for number, _ in placed.share)
        units = sum(len(units) for _, units in placed.share)
        cells.append([placed.name, names, f"{units}", *(f"{used[role]:,}" for role in _ROLES), ""])
    print("\n".join(line.rstrip() for line in format_table(cells, left=(0, 1), least=(14, 18, 6, *[9] * 6), separator=" ")))
    if not every:
        print("the fullest PE of each layer; --all lists every PE")
    fewest = {form: _balanced_pes(options, placement, form) for form in formats.names_for(placement.network.weights)}
    print(f"\n{_formats_table(options, placement, fewest)}")
    if needs := layer_needs(network, placement.request, [placed.share for placed in placement.pes]):
        print(f"\n{_needs_table(network, needs, fewest.get(options.format))}")
    if model is None and options.format == "csr":
        paper = ", ".join(f"{role} {published()['table1'][name]} KB" for role, name in _PAPER_KB.items())
        print(f"\nthe paper's Table I: {paper} (fullest PE, csr, 150 PEs)")
    print("spill: variables behind the program in its bank; free: of the three data banks")
    return 0


def _weights(network: Network) -> str:
    joined = f" ({network.connections:,} as matrices)" if network.connections != network.nonzeros else ""
    return f"{network.nonzeros:,} weights{joined}"


def _place(
    options: RunOptions, network: Network, chip: ChipSpec, rates: Mapping[int, float] | None = None, quick: bool = False
) -> Placement:
    return place(
        network, chip, mapping=options.mapping, form=options.format, pes=options.pes,
        lanes=options.batch, chips=options.chips, rates=rates, quick=quick,
    )  # fmt: skip


def _compare(options: RunOptions, model: Model | None, network: Network, chip: ChipSpec, planned: Mapping[int, float]) -> str:
    """Return a table of all mappings, priced on the first words of the text that a run would take, where there is one."""
    used = in_use(options.format, (network.populations[number].kernel for number in network.layers))
    table, rates, cost = load_table(used=used), planned, None
    note = "expected at the checkpoint's or assumed activity; not priced: a bare stack of layers has no text"
    if model is None or model.vocabulary:
        # Any placement will do: events do not depend on it.
        job = prepare(replace(options, mapping="balanced", pes=None, **default_workload().about.BRIEF))
        network = job.placement.network
        recording = record(job.placement, job.source, job.readout)
        positions = len(recording.input_events)
        events = {n: recording.input_events[:, at] for at, n in enumerate(network.inputs)}
        events |= {n: recording.layers[n].events.sum(axis=(1, 2)) for n in network.layers}
        rates = {n: float(sums.mean()) / network.populations[n].units / options.batch for n, sums in events.items()}
        note = f"events and prices of {positions} positions of {job.facts['source']}"

        def cost(placement: Placement) -> tuple[float, float]:
            priced = price(recording.ledger(placement), chip, table)
            return priced.time_s / positions, priced.energy_j / positions

    placements: dict[str, Placement | str] = {}
    for mapping in strategies.names():
        try:
            placements[mapping] = _place(replace(options, mapping=mapping), network, chip, planned)
        except HostError as error:
            if error.code is not Exit.DOES_NOT_FIT:
                raise
            placements[mapping] = str(error)
    return f"{format_comparison(placements, rates, _frame_bytes(chip, table), cost)}\n{note}"


def _frame_bytes(chip: ChipSpec, table: CostTable) -> float:
    return table["link_event_frames"] * float(chip.facts["link_frame_bits"].value or 0) / 8


def _fullest(placement: Placement, layer: int) -> PlacedPe:
    pes = [placed for placed in placement.pes if any(population == layer for population, _ in placed.share)]
    return min(pes, key=lambda placed: footprint(placed.regions, placement.request.size)["free"])


def _needs_table(network: Network, needs: Mapping[int, LayerNeed], fewest: int | None) -> str:
    """Return what the fullest PE of each layer has of what, and the fewest PEs for it, and for all, which may share some."""
    rows: list[tuple[str, ...]] = [("layer", "kernels", "rows", "state", "rings", "fewest PEs")]
    for layer, need in needs.items():
        sizes = (f"{size:,}" for size in (need.kernels_bytes, need.rows_bytes, need.state_bytes, need.rings_bytes))
        rows.append((network.populations[layer].name, *sizes, str(need.pes) if need.pes else "does not fit"))
    rows.append(("all", "", "", "", "", str(fewest) if fewest else "does not fit"))
    return "\n".join(line.rstrip() for line in format_table(rows, left=(0,), least=(18, *[9] * 4, 12), separator=" "))


def _balanced_pes(options: RunOptions, placement: Placement, form: str) -> int | None:
    """Return the fewest PEs that hold the network in a format; None where it does not fit."""
    try:
        trial = replace(options, mapping="balanced", format=form, pes=None)
        return len(_place(trial, placement.network, placement.chip, quick=True).pes)
    except ValueError:
        return None


def _formats_table(options: RunOptions, placement: Placement, fewest: Mapping[str, int | None]) -> str:
    """Return weight bytes of the fullest PE and the fewest PEs, for each format, under the mapping asked for."""
    rows = [("format", "weights, fullest PE", "free", "PEs if balanced")]
    for form, pes in fewest.items():
        cells = ("does not fit", "")
        with suppress(ValueError):
            trial = replace(options, format=form, pes=len(placement.pes))
            worst = _place(trial, placement.network, placement.chip, quick=True).worst()
            cells = (f"{worst['weights']:,} B", f"{worst['free']:,} B")
        rows.append((form, *cells, str(pes) if pes else "does not fit"))
    return "\n".join(format_table(rows, least=(8, 20, 9, 16), separator=" "))


def expected_link_loads(placement: Placement, rates: Mapping[int, float]) -> dict[ChipLink, float]:
    """Return the expected events a position, of all lanes together, on each directed link that any cross, by chip and direction.

    `rates`: events a unit and position, of each population, from 0 to 1.
    """
    machine = placement.machine
    on_chips = [(placed.pe.chip, placed.share) for placed in placement.pes]
    loads = placement.request.lanes * flow_loads(machine, expected_flows(placement.network, machine, on_chips), rates)
    return {link: load for link in machine.links if (load := float(loads[link.chip, link.direction]))}


def format_links(placement: Placement, rates: Mapping[int, float], measured: bool, event_bytes: float) -> list[str]:
    """Return lines on the chips in use and the busiest link, at an activity that they state."""
    network, machine = placement.network, placement.machine
    pes = Counter(placed.pe.chip for placed in placement.pes)
    least, most = min(pes.values()), max(pes.values())
    lines = [f"{len(pes)} of {len(machine.live)} chips in use, PEs on each: {least if least == most else f'{least} to {most}'}"]
    loads = expected_link_loads(placement, rates)
    if not loads:
        return [*lines, "no event crosses a link between chips"]
    link = max(loads, key=lambda link: loads[link])
    lines.append(
        f"{len(loads)} of {len(machine.links)} links crossed, {sum(loads.values()):,.0f} times an event a position; "
        f"busiest {link}: {loads[link]:,.0f} events ({loads[link] * event_bytes:,.0f} B in frames)"
    )
    shares = ", ".join(f"{network.populations[n].name} {100 * rates[n]:.3g} %" for n in network.layers)
    origin = "measured: the checkpoint says so" if measured else "assumed"
    return [*lines, f"at an activity of {shares} ({origin}) and of the input {100 * rates[0]:.3g} % (assumed)"]


def format_comparison(
    placements: Mapping[str, Placement | str],
    rates: Mapping[int, float],
    event_bytes: float,
    price: Callable[[Placement], tuple[float, float]] | None = None,
) -> str:
    """Return a table with one row a mapping: `placements` holds its placement, or why there is none.

    `event_bytes`: of the frames that carry an event over a link; `price` returns what a placement costs, seconds and joules a
    position, or is None.
    """
    heads = ["mapping", "PEs", "chips", "busiest", "events on it", "bytes on it", "events x links"]
    heads += ["ms a position", "mJ a position"] if price else []
    rows = [heads]
    for mapping, placement in placements.items():
        if isinstance(placement, str):
            rows.append([mapping, placement])
            continue
        loads = expected_link_loads(placement, rates)
        busiest = max(loads, key=lambda link: loads[link], default=None)
        on_it = loads[busiest] if busiest else 0.0
        chips = len({placed.pe.chip for placed in placement.pes})
        row = [mapping, f"{len(placement.pes):,}", f"{chips:,}", str(busiest or "none"), f"{on_it:,.0f}"]
        row += [f"{on_it * event_bytes:,.0f}", f"{sum(loads.values()):,.0f}"]
        if price:
            time_s, energy_j = price(placement)
            row += [f"{1e3 * time_s:.3f}", f"{1e3 * energy_j:.3f}"]
        rows.append(row)
    return "\n".join(format_table(rows))
