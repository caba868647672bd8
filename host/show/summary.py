"""What a run did, in the few lines that are printed at its end."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from host.show.run_words import activity_words, cost_words, emulation_words, links_sentence
from noc.packet import KIND_NAMES


@cache
def published() -> dict[str, Any]:
    """Return the paper's numbers (`published.toml`)."""
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))


def _transfers_line(transfers: Mapping[str, Any]) -> str:
    """Return the line on bytes that PEs exchanged beside events."""
    kinds = (sum(column) for column in zip(*transfers["delivered"].values(), strict=True))
    counts = ", ".join(
        f"{count:,} {name.upper()}" for name, count in zip(KIND_NAMES, kinds, strict=False) if count or name != "probe"
    )
    read, written = (sum(store[what] for store in transfers["dram"].values()) for what in ("read_bytes", "written_bytes"))
    return f"transfers    {counts}; DRAM: {read:,} B read, {written:,} B written"


def _machines_line(machines: Mapping[str, Any], positions: int) -> str:
    """Return what a run on several machines sent between them, and whom it refused or lost."""
    names = dict.fromkeys(machine["name"] for machine in machines["machines"])
    sent = machines["links_bytes"]
    most = max(sent, key=lambda pair: sent[pair], default="")
    a_position = f"{sum(sent.values()) / max(positions, 1) / 1e3:.1f} KB a position between them"
    refused, restarts = sum(machines["refused"].values()), len(machines["restarts"])
    more = [f"{refused} strangers refused"] * bool(refused) + [f"began again {restarts} times"] * bool(restarts)
    more += ["the scheduler speaks plain text: see docs/cluster.md"] * machines["scheduler"].startswith("tcp://")
    most_sent = f", most over {most}: {sent[most] / 1e6:.2f} MB" if most else ""
    return f"machines     {len(names)}; {a_position}{most_sent}{''.join(f'; {word}' for word in more)}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.1f} kB"


def _saved_line(report: Mapping[str, Any]) -> list[str]:
    """Return a line on the files that hold what the network computed, where any was asked for."""
    files = [f"{name} ({_size(size)})" for name, size in report.get("saved", {}).items()]
    return [f"saved        {', '.join(files)}"] if files else []


def _answer_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the two sentences that a run's figures come to: what is slow, and what would help."""
    answers = report.get("answers") or {}
    return [f"{label:<13}{answers[key]}" for label, key in (("bottleneck", "bottleneck"), ("advice", "advice")) if answers.get(key)]


def summary(report: Mapping[str, Any], first: Sequence[str] = ()) -> str:
    """Return what a run did, as a few lines; `first` are those of its workload."""
    unit, lines = report["unit"], [*_answer_lines(report), *first]
    events, counters, emulation = report["events"], report["counters"], report["emulation"]
    worst = report["mapping"]["sram"]["worst"]
    lines.append(
        f"events       {events['count']:,}; active units by layer {activity_words(events)}; {counters['macs']:,} effective MACs"
    )
    lines.append(f"sha256       {events['sha256']}")
    if counters["packets_sent"] is not None:
        p = [f"{counters[f'packets_{k}']:,} {k}" for k in ("sent", "delivered", "dropped")]
        lines.append(f"packets      {' = '.join(p[:2])} + {p[2]} (copies between PEs)")
    cost = report.get("modelled")
    if cost and cost["links"]:
        lines.append(f"links        {links_sentence(cost['links'])}")
    if transfers := (report["conservation"] or {}).get("transfers"):
        lines.append(_transfers_line(transfers))
    m = report["mapping"]
    chips = f" on {m['chips']} chips" if m["chips"] > 1 else ""
    lines.append(
        f"mapping      {m['pes']} PEs{chips} ({m['strategy']}, {m['format']}); fullest: {worst['weights']:,} B weights, "
        f"{worst['variables']:,} B variables ({worst['spill']:,} B of them behind the program), {worst['debug']:,} B debug, "
        f"{worst['free']:,} B free"
    )
    if m.get("advice"):
        lines.append(f"             {m['advice']}")
    lines += _saved_line(report)
    if cost:
        words = cost_words(cost, unit)
        lines.append(f"modelled     {words['time']}, {words['energy']}; {words['power']} on the chip{'s' * (m['chips'] > 1)}")
    if report.get("machines"):
        lines.append(_machines_line(report["machines"], report["events"]["positions"]))
    if "processes" in emulation:
        uss = emulation.get("pe_uss_bytes")
        memory = f", {uss / 1e6:.1f} MB unshared a PE" if uss else ""
        speed = f" ({1e3 / emulation['ms_per_token']:.0f} {unit}s/s)" if emulation["ms_per_token"] else ""
        compiled = f", first compile {emulation['first_compile_s']:.1f} s" if emulation.get("first_compile_s") else ""
        processes = f"{emulation['processes']} process{'' if emulation['processes'] == 1 else 'es'}"
        lines.append(
            f"emulation    {processes} up in {emulation['start_s']:.2f} s{compiled}; "
            f"{emulation_words(emulation, unit)}{speed}{memory}"
        )
    return "\n".join(lines)
