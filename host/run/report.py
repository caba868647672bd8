"""What a run did, as `report.json` holds it. docs/report.md lists the keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from host.cost.cost_table import load_table
from host.cost.ledger import RunLedger
from host.cost.neurobench import neurobench_metrics
from host.cost.price import price
from host.cost.priced import price_block
from host.cost.what_if import PricingTerms
from host.mapping.advice import fewer_pes
from host.mapping.placement import Placement
from host.provenance import input_record
from host.run.placed_answers import answers_of, bottleneck_alone, sram_bytes_of
from host.run.run import Run
from host.run_folder import SCHEMA
from host.workloads.contract import Job
from host.workloads.registry import workload_of
from noc.packet import HOST

_MOST_COUNTS = 1_000_000  # counts of events in a ledger: a dozen prices of a longer one would keep the user waiting


def build_report(
    job: Job, run: Run, ledger: RunLedger, *, partial: bool, alive: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return what the host knows of a run; `partial` where it did not reach its end. The launcher completes `emulation`.

    `alive` is called now and then: a long run's price takes minutes.
    """
    network, placement = job.placement.network, job.placement
    steps = run.counts
    # A partial run has no readings, so nothing to balance.
    accounts = run.conservation() if run.accounted else None
    # A ledger without a position cannot be priced.
    cost, begin = None, getattr(job.readout, "begin_step_times", lambda: lambda _: None)
    if ledger.positions:
        priced = price(ledger, placement.chip, load_table(used=ledger.twins), alive=alive, on_positions=begin())
        cost = price_block(priced, ledger)
    alive()  # on a busy machine each part of this takes seconds
    counters: dict[str, Any] = {
        "events": sum(map(steps.events, network.layers)), "macs": sum(map(steps.macs, network.layers)),
        "weights_visited": sum(map(steps.visited, network.layers)), **steps.of_kernels(),
        "macs_by_layer": [steps.macs(n) for n in network.layers],
        "dram_read_bytes": job.dram.read_bytes, "dram_written_bytes": job.dram.written_bytes,
        "malformed": {HOST: run.malformed_here} | run.accounts.malformed(), "links": run.accounts.links(),
        **_packets(accounts),
    }  # fmt: skip
    if ledger.positions and (see_ledger := getattr(job.readout, "see_ledger", None)) is not None:
        see_ledger(ledger, placement.chip, load_table(used=ledger.twins), alive)
        alive()
    metrics, result, neurobench = job.readout.metrics(cost), job.readout.result(), None
    note = "; ".join(filter(None, (job.note, result.pop("note", ""))))
    if ledger.positions:
        task = {metric.name: metric.value for metric in metrics}
        neurobench = neurobench_metrics(network, ledger, placement.deployed_bytes(), table=job.host_table, task=task, alive=alive)
    return {
        "schema": SCHEMA, "workload": job.options.workload, "title": job.title, "unit": workload_of(job.options).about.UNIT,
        "partial": partial, "inputs": input_record(job.inputs),
        "events": run.events.report(), "result": {**result, **job.facts, "note": note},
        "metrics": [metric._asdict() for metric in metrics], "mapping": mapping_block(placement),
        "counters": counters, "conservation": accounts,
        "chip": {"name": placement.chip.name, "assumed": list(placement.chip.assumed()), "unknown": list(placement.chip.unknown())},
        "emulation": {"transport": job.options.transport, "ticks": run.completed, "units": job.readout.progress().done},
        "modelled": cost, "answers": _answers(job, ledger, alone=partial, alive=alive), "neurobench": neurobench,
    }  # fmt: skip


def _answers(job: Job, ledger: RunLedger, *, alone: bool, alive: Callable[[], None]) -> dict[str, Any] | None:
    """Return the answers that the options ask for (`host/show/answers.py`); None where they ask for none, or nothing was run.

    `alone`: the bottleneck without the table, where the launcher waits for the report of a run that ends early.
    """
    asked = job.options.answers
    if asked in (None, "none") or not ledger.positions:
        return None
    later = "launch.py price RUN --what-if works it out"
    if alone or ledger.positions * len(ledger.turns.shard) > _MOST_COUNTS:
        return bottleneck_alone(PricingTerms(ledger, alive=alive), later)
    whole = ledger.part(0, ledger.positions)
    return answers_of(PricingTerms(whole, alive=alive), job.placement if asked == "placed" else later, sram_bytes_of(job.placement))


def mapping_block(placement: Placement) -> dict[str, Any]:
    """Return the report's block on a mapping."""
    network = placement.network
    by_chip = Counter(placed.pe.chip for placed in placement.pes)
    return {
        "chips": len(placement.machine.live), "pes_by_chip": [by_chip[chip] for chip in placement.machine.live],
        "pes": len(placement.pes), "strategy": placement.mapping, "format": placement.request.format,
        "lanes": placement.request.lanes, "layers": [len(placement.senders(n)) for n in network.layers],
        "sram": {"worst": placement.worst()},
        "advice": fewer_pes(network, placement.request, len(placement.pes)),
    }  # fmt: skip


def _packets(accounts: dict[str, Any] | None) -> dict[str, int | None]:
    """Return copies between PEs, and apart from them those from the host and to it; None for each without accounts."""
    names = ("packets_sent", "packets_delivered", "packets_dropped", "link_packets", "packets_input", "packets_output")
    if accounts is None:
        return dict.fromkeys(names)
    sent, delivered = accounts["sent"], accounts["delivered"]
    between_sent = sum(n for name, n in sent.items() if name != HOST) - delivered[HOST]
    between_delivered = sum(n for name, n in delivered.items() if name != HOST) - sent[HOST]
    totals = sum(accounts["dropped"].values()), sum(accounts["links"].values())
    return dict(zip(names, (between_sent, between_delivered, *totals, sent[HOST], delivered[HOST]), strict=True))
