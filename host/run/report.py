"""The run folder: `report.json`, `config.json` and `mapping.json`, and the summary that is printed. The schema is
docs/report.md.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.workloads.dvs.results import lines as gesture_lines
from noc.packet import HOST, LEDGER

if TYPE_CHECKING:  # the launcher reads this file too, and must stay light
    from host.mapping.placement import Placement
    from host.run.run import Run
    from host.workloads.job import Job

_MACS = LEDGER.index("macs_input"), LEDGER.index("macs_recurrent")

SCHEMA = 1


def build_report(job: Job, run: Run, partial: bool) -> dict[str, Any]:
    """Return everything the host knows of a run; `emulation` is completed by the launcher."""
    network, placement = job.placement.network, job.placement
    totals = {name: int(run.totals[:, i].sum()) for i, name in enumerate(LEDGER)}
    # A partial run has no readings, so nothing to balance.
    accounts = run.conservation() if run.accounted else None
    counters: dict[str, Any] = {
        "events": totals["events"],
        "macs": totals["macs_input"] + totals["macs_recurrent"],
        "weights_visited": totals["visited_input"] + totals["visited_recurrent"],
        "units": totals["units"],
        "exponentials": totals["exponentials"],
        "macs_by_layer": [int(run.totals[n, list(_MACS)].sum()) for n in network.layers],
        "dram_read_bytes": job.dram.read_bytes,
        "dram_written_bytes": job.dram.written_bytes,
        "malformed": {HOST: run.malformed_here} | run.malformed_counts(),
        "packets_sent": None,
        "packets_delivered": None,
        "packets_dropped": None,
        "link_packets": None,
    }
    if accounts is not None:
        counters |= _packets(accounts)
    return {
        "schema": SCHEMA,
        "partial": partial,
        "events": run.events.report(),
        "lm": {**job.workload.report(), **job.facts, "note": job.note},
        "mapping": mapping_block(placement),
        "counters": counters,
        "conservation": accounts,
        "chip": {"name": placement.chip.name, "assumed": list(placement.chip.assumed()), "unknown": list(placement.chip.unknown())},
        "emulation": {"transport": job.options.transport, "ticks": run.completed},
    }


def mapping_block(placement: Placement) -> dict[str, Any]:
    """Return the report's block on a mapping."""
    by_chip = Counter(placed.pe.chip for placed in placement.pes)
    return {
        "chips": len(placement.machine.live),
        "pes_by_chip": [by_chip[chip] for chip in placement.machine.live],
        "pes": len(placement.pes),
        "strategy": placement.mapping,
        "format": placement.request.format,
        "lanes": placement.request.lanes,
        "layers": [len(placement.senders(n)) for n in placement.network.layers],
        "sram": {"worst": placement.worst()},
    }


def _packets(accounts: dict[str, Any]) -> dict[str, Any]:
    """Return copies between PEs, and apart from them those of the input from the host and of the output to it."""
    sent, delivered = accounts["sent"], accounts["delivered"]
    between_sent = sum(n for name, n in sent.items() if name != HOST) - delivered[HOST]
    between_delivered = sum(n for name, n in delivered.items() if name != HOST) - sent[HOST]
    return {
        "packets_sent": between_sent,
        "packets_delivered": between_delivered,
        "packets_dropped": sum(accounts["dropped"].values()),
        "packets_input": sent[HOST],
        "packets_output": delivered[HOST],
        "link_packets": sum(accounts["links"].values()),
    }


def _published() -> dict[str, Any]:
    """Return the paper's numbers (`paper_tables.PUBLISHED`, whose file would load the cost model)."""
    return tomllib.loads((Path(__file__).parents[1] / "show" / "published.toml").read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write one JSON file of a run folder."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _machines_line(machines: Mapping[str, Any], positions: int) -> str:
    """Return what a run on several machines sent between them, and whom it refused or lost."""
    names = dict.fromkeys(machine["name"] for machine in machines["machines"])
    sent = machines["links_bytes"]
    most = max(sent, key=lambda pair: sent[pair], default="")
    a_position = f"{sum(sent.values()) / max(positions, 1) / 1e3:.1f} KB a position between them"
    refused, restarts = sum(machines["refused"].values()), len(machines["restarts"])
    more = [f"{refused} strangers refused"] * bool(refused) + [f"began again {restarts} times"] * bool(restarts)
    most_sent = f", most over {most}: {sent[most] / 1e6:.2f} MB" if most else ""
    return f"machines     {len(names)}; {a_position}{most_sent}{''.join(f'; {word}' for word in more)}"


def unit_of(report: Mapping[str, Any]) -> str:
    """Return what a position of a sequence is in this run: a token of a text, or a frame of a sample."""
    return "frame" if report.get("dvs") else "token"


def summary(report: dict[str, Any], text: bool = True) -> str:
    """Return what a run did, as a few lines; without `text` where the text has been shown already."""
    unit = unit_of(report)
    lm, events, counters, emulation = report["lm"], report["events"], report["counters"], report["emulation"]
    worst = report["mapping"]["sram"]["worst"]
    lines = gesture_lines(report, _published()["table3"]) if report.get("dvs") else []
    if text and lm["text"] is not None:
        lines.append("text         " + lm["text"].strip().replace("\n", "\n" + 13 * " "))
    if lm["perplexity"] is not None:
        note = f"   ({lm['note']})" if lm["note"] else ""
        lines.append(f"perplexity   {lm['perplexity']:.2f} over {lm['tokens']} tokens of {lm['source']}{note}")
    if lm["unknown_words"]:
        lines.append(f"unknown      {lm['unknown_words']:,} of {lm['words_run']:,} words became <unk>")
    activity = " / ".join(f"{100 * (1 - s):.1f} %" for s in events["sparsity_by_layer"])
    lines.append(f"events       {events['count']:,}; active units by layer {activity}; {counters['macs']:,} effective MACs")
    lines.append(f"sha256       {events['sha256']}")
    if counters["packets_sent"] is not None:
        p = [f"{counters[f'packets_{k}']:,} {k}" for k in ("sent", "delivered", "dropped")]
        lines.append(f"packets      {' = '.join(p[:2])} + {p[2]} (copies between PEs)")
    links = (report["conservation"] or {}).get("links")
    if links:
        most = max(links, key=lambda link: links[link])
        total = f"{sum(links.values()):,} events handed on over {len(links)} links between chips"
        lines.append(f"links        {total}; most over {most}: {links[most]:,}")
    m = report["mapping"]
    chips = f" on {m['chips']} chips" if m["chips"] > 1 else ""
    lines.append(
        f"mapping      {m['pes']} PEs{chips} ({m['strategy']}, {m['format']}); fullest: {worst['weights']:,} B weights, "
        f"{worst['variables']:,} B variables ({worst['spill']:,} B of them behind the program), {worst['debug']:,} B debug, "
        f"{worst['free']:,} B free"
    )
    cost = report.get("modelled")
    if cost:
        low, high = (1e3 * value / cost["time_s"] * cost["time_per_token_s"] for value in cost["time_band_s"])
        lines.append(
            f"modelled     {1e3 * cost['time_per_token_s']:.2f} ms a {unit} on the chip ({low:.2f} to {high:.2f}), "
            f"{1e3 * cost['power_w']:.0f} mW ({1e3 * cost['power_band_w'][0]:.0f} to {1e3 * cost['power_band_w'][1]:.0f}), "
            f"{1e3 * cost['energy_per_token_j']:.2f} mJ a {unit}"
        )
    if report.get("machines"):
        lines.append(_machines_line(report["machines"], report["events"]["positions"]))
    if "processes" in emulation:
        uss = emulation.get("pe_uss_bytes")
        memory = f", {uss / 1e6:.1f} MB unshared a PE" if uss else ""
        speed = f" ({1e3 / emulation['ms_per_token']:.0f} {unit}s/s)" if emulation["ms_per_token"] else ""
        compiled = f", first compile {emulation['first_compile_s']:.1f} s" if emulation.get("first_compile_s") else ""
        lines.append(
            f"emulation    {emulation['processes']} processes up in {emulation['start_s']:.2f} s{compiled}; "
            f"{emulation['ms_per_token'] or 0:.2f} ms a {unit}{speed}{memory}"
        )
    return "\n".join(lines)
