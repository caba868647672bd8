"""`launch.py fit`: the mapping and the SRAM table of a checkpoint, without starting a process."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from host.commands._fit_choices import Choice, choices_of, expected_cost, fastest, format_choices, records
from host.commands._model_argument import add_model, take_model
from host.commands._model_kinds import kind_of
from host.commands._program_tables import show_fit, terms_of
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
from host.mapping.tiling import LayerWork
from host.options import RunOptions
from host.run.offline import record
from host.show.quantities import format_quantity
from host.show.summary import published
from host.show.text_table import format_table, wrap_words
from host.workloads.registry import default_workload, prepare
from host.workloads.site import load_run_chip, open_model
from models.checkpoint import Model
from models.network import Network
from models.seeded import seeded_egru
from noc.chip import ChipSpec
from noc.machine import ChipLink
from pe.sram import footprint

_OPTIONS = ("checkpoint", "batch", "pes", "mapping", "format", "chips", "chip", "chip_file")
_COLUMNS = 80
_ROLES = ("program", "debug", "weights", "variables", "spill", "free")
_PAPER_KB = {"program": "instruction_kb", "debug": "debug_kb", "weights": "weights_kb", "variables": "variables_kb"}  # of Table I
HELP = "show the mapping and the SRAM table, start nothing"
EXAMPLES = (("fit --mapping balanced", "what fits where; starts no process"),)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_model(parser)
    add_option_flags(parser, RunOptions, only=_OPTIONS)
    parser.add_argument("--compare", action="store_true", help="all mappings side by side: packets on links, time, energy")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--csv", action="store_true", help="print every format and mapping as CSV")
    parser.add_argument("--all", action="store_true", help="one line a PE instead of the fullest of each layer")
    text = "of a DNN: a setting, constant or number of the chip (as of `price`)"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)


def run(flags: dict[str, Any]) -> int:
    """Print the table; HostError and the like for what does not fit."""
    take_model(flags)
    settings = flags.pop("set")
    if (kind := kind_of(flags.get("checkpoint"))) is not None:
        return _fit_program(*kind.works(flags["checkpoint"]), settings, flags)
    if settings:
        raise HostError(f"--set {settings[0]}: is for a DNN; here flags say all")
    every, compare, as_json, as_csv = (flags.pop(name) for name in ("all", "compare", "json", "csv"))
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
    choices = choices_of(network, chip, rates, lanes=options.batch, chips=options.chips, pes=options.pes)
    if as_csv:
        print_choices(choices)
        return 0
    fit = Fit(title=title, network=network, options=options, placement=placement, choices=choices, rates=rates, measured=measured)
    if as_json:
        print(json.dumps(fit.record(), indent=1, allow_nan=False))
        return 0
    table = [*format_choices(choices), *wrap_words(fit.activity, _COLUMNS, indent=2)]
    print("\n".join([*_head_lines(fit, chip), "", *_pe_lines(fit, every), "", *table]))
    fewest = next((one.pes for one in choices if one.mapping == "balanced" and one.format == options.format), None)
    if needs := layer_needs(network, placement.request, [placed.share for placed in placement.pes]):
        print(f"\n{_needs_table(network, needs, fewest if options.pes is None else _balanced_pes(options, placement))}")
    if model is None and options.format == "csr":
        paper = ", ".join(f"{role} {published()['table1'][name]} KB" for role, name in _PAPER_KB.items())
        print(f"\nthe paper's Table I: {paper} (fullest PE, csr, 150 PEs)")
    print("spill: variables behind the program in its bank; free: of the three data banks")
    return 0


def _fit_program(title: str, works: Sequence[LayerWork], settings: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Print the tiles of a scheduled network; HostError for flags that are of other networks."""
    names = [name for name in ("all", "compare", "csv") if flags[name]]
    names += [name for name in ("batch", "mapping", "format") if flags.get(name) is not None]
    if names:
        need = "a DNN takes --pes, --chips, --chip, --chip-file, --json and --set"
        raise HostError(f"--{names[0]}: is of networks of populations; {need}")
    RunOptions(**{name: flags[name] for name in ("pes", "chips") if flags.get(name) is not None}).check()
    terms = terms_of(
        settings, chip=flags.get("chip"), chip_file=flags.get("chip_file"), pes=flags.get("pes"), chips=flags.get("chips")
    )  # fmt: skip
    return show_fit(title, works, terms, as_json=flags["json"])


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a network takes on the chip: as it was asked for, and every format and mapping beside it."""

    title: str
    network: Network
    options: RunOptions
    placement: Placement
    choices: Sequence[Choice]
    rates: Mapping[int, float]
    measured: bool

    @cached_property
    def largest_batch(self) -> int:
        """The most sequences side by side that fit on these PEs."""
        return largest_batch(self.network, replace(self.placement.request, pes=len(self.placement.pes)), self.options.mapping)

    @cached_property
    def cost(self) -> tuple[float, float] | None:
        """Expected seconds and joules a position; None where only a run can tell."""
        try:
            return expected_cost(self.placement, self.rates)
        except HostError:
            return None

    @property
    def activity(self) -> str:
        """The line on the activity that expected figures are of."""
        return f"expected {_activity(self.network, self.rates, self.measured)}"

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        placement, network = self.placement, self.network
        names = {network.populations[n].name: rate for n, rate in self.rates.items()}
        time_s, energy_j = self.cost or (None, None)
        return {
            "title": self.title, "weights": network.nonzeros, "fits": True, "mapping": self.options.mapping,
            "format": self.options.format, "batch": self.options.batch, "largest_batch": self.largest_batch,
            "pes": len(placement.pes), "chips": self.options.chips, "time_s": time_s, "energy_j": energy_j,
            "activity": names, "activity_is_measured": self.measured, "fullest_pe_bytes": placement.worst(),
            "choices": records(self.choices), "take": (one := fastest(self.choices)) and one.flags,
            "pe_table": [{name: row[name] for name in ("pe", "layers", "sram")} for row in placement.table()],
        }  # fmt: skip


def _head_lines(fit: Fit, chip: ChipSpec) -> list[str]:
    """Return what is asked for, that it fits, and what it is expected to cost."""
    options, placement = fit.options, fit.placement
    batch = f"batch {options.batch} (the largest that fits here: {fit.largest_batch})"
    lines = [
        f"{fit.title}: {_weights(fit.network)}",
        f"{len(placement.pes)} PEs, mapping {options.mapping}, format {options.format}, {batch}",
        f"fits: the fullest PE has {placement.worst()['free']:,} B of its data banks free",
    ]
    if fit.cost is not None:
        time, energy = (format_quantity(value, unit) for value, unit in zip(fit.cost, ("s", "J"), strict=True))
        lines.append(f"expected: {time} and {energy} a position on the chip{'s' * (options.chips > 1)}")
    if line := fewer_pes(placement.network, placement.request, len(placement.pes)):
        lines.append(line)
    if options.chips > 1:
        lines += format_links(placement, fit.rates, fit.measured, _frame_bytes(chip, load_table(used=())))
    return lines


def _pe_lines(fit: Fit, every: bool) -> list[str]:
    """Return the SRAM table: the fullest PE of each layer, or every PE."""
    placement, network = fit.placement, fit.network
    cells = [["PE", "layer", "units", *(f"{role}, B" for role in _ROLES)]]
    for placed in placement.pes if every else [_fullest(placement, group[0]) for group in network.groups]:
        used = footprint(placed.regions, placement.request.size)
        names = "+".join(network.populations[number].name for number, _ in placed.share)
        units = sum(len(units) for _, units in placed.share)
        cells.append([placed.name, names, f"{units}", *(f"{used[role]:,}" for role in _ROLES)])
    lines = [line.rstrip() for line in format_table(cells, left=(0, 1), least=(14, 10, 6, *[9] * 6), separator=" ")]
    return lines if every else [*lines, "the fullest PE of each layer; --all lists every PE"]


def print_choices(choices: Sequence[Choice]) -> None:
    """Print every format and mapping as CSV."""
    rows = records(choices)
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


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
    rows: list[tuple[str, ...]] = [("layer", "kernels, B", "rows, B", "state, B", "rings, B", "fewest PEs")]
    for layer, need in needs.items():
        sizes = (f"{size:,}" for size in (need.kernels_bytes, need.rows_bytes, need.state_bytes, need.rings_bytes))
        rows.append((network.populations[layer].name, *sizes, str(need.pes) if need.pes else "does not fit"))
    rows.append(("all", "", "", "", "", str(fewest) if fewest else "does not fit"))
    return "\n".join(line.rstrip() for line in format_table(rows, left=(0,), least=(18, *[9] * 4, 12), separator=" "))


def _balanced_pes(options: RunOptions, placement: Placement) -> int | None:
    """Return the fewest PEs that hold the network in its format; None where it does not fit."""
    try:
        return len(_place(replace(options, mapping="balanced", pes=None), placement.network, placement.chip, quick=True).pes)
    except ValueError:
        return None


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
    return [*lines, _activity(network, rates, measured)]


def _activity(network: Network, rates: Mapping[int, float], measured: bool) -> str:
    """Return the activity that expected figures are of."""
    shares = ", ".join(f"{network.populations[n].name} {100 * rates[n]:.3g} %" for n in network.layers)
    origin = "measured: the checkpoint says so" if measured else "assumed"
    return f"at an activity of {shares} ({origin}) and of the input {100 * rates[0]:.3g} % (assumed)"


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
