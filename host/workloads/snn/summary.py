"""What the summary says of a run of a spiking network."""

from collections.abc import Mapping
from typing import Any

from host.workloads.snn.results import beside_published, by_layer

_MOST = 10  # lines on damages


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - the paper of EGRUs
    """Return the lines."""
    result, metrics = report["result"], {metric["name"]: metric for metric in report["metrics"]}
    lines = [f"{'events' if not n else '':<12} {line}" for n, line in enumerate(result["reading"])]
    lines[:1] = [f"input        {result['reading'][0]}"] if result["reading"] else []
    lines.append(f"numbers      {result['bits']}; answer: {answer_words(result)}")
    if result["accuracy"] is not None:
        right = sum(row[place] for place, row in enumerate(result["confusion"]))
        lines.append(f"accuracy     {100 * result['accuracy']:.1f} %: {right} of {result['samples']} samples; {result['source']}")
    else:
        lines.append(f"accuracy     none: {'no label is known' if result['samples'] else 'no sample came through'}")
    if result["float_agreement"] is not None:
        share = "" if result["float_accuracy"] is None else f"{100 * result['float_accuracy']:.1f} %, "
        lines.append(f"in float     {share}the same class for {result['float_agreement']} of {result['samples']} samples")
    if result["trained"]:
        lines.append(f"trained      {'; '.join(result['trained'])} of the trainer's test set")
    ties = [one["name"] for one in result["predictions"] if one["tie"]]
    lines.append(f"ties         {len(ties)}{': ' + ', '.join(ties[:3]) + ' (the first class is taken)' if ties else ''}")
    lines += [f"{name:<12} {spikes:,.1f} spikes, {events:,.0f} synaptic events a step" for name, spikes, events in by_layer(report)]
    if report.get("modelled") and "overruns" in metrics:
        sample, timer = (metrics[name]["value"] for name in ("sample_energy", "timer_energy"))
        time_ms, energy_mj = (1e3 * report["modelled"][name] / result["steps"] for name in ("time_s", "energy_j"))
        cycles, sample_cycles = cycles_of(report), cycles_of(report) * result["steps_per_sample"]
        lines.append(f"a step       {time_ms:.3f} ms, {cycles:,.0f} cycles, {energy_mj:.4f} mJ")
        lines.append(f"a sample     {sample_cycles:,.0f} cycles, {sample:.2f} mJ")
        over = result["timer"]
        lines.append(
            f"timer        {over['overruns']:,} of {over['steps']:,} steps are longer than {over['timer_us']:g} us (the chip would "
            f"not tell); {timer:.4f} mJ a step with its rest asleep"
        )
    lines += [f"{'beside' if not n else '':<12} {line}" for n, line in enumerate(beside_published(report))]
    lines += [f"damaged      {line}" for line in result["damages"][:_MOST]]
    if len(result["damages"]) > _MOST:
        lines.append(f"damaged      and {len(result['damages']) - _MOST} more, in report.json")
    return lines


def answer_words(result: Mapping[str, Any]) -> str:
    """Return how the answer is taken, in words."""
    ways = {"counts": "most spikes", "mean": "highest mean membrane", "last": "highest last membrane", "max": "highest membrane"}
    return ways[result["answer"]]


def cycles_of(report: Mapping[str, Any]) -> float:
    """Return the cycles of the modelled chip's PEs that a step of a sample takes."""
    cost = report["modelled"]
    return float(cost["time_s"] * cost["settings"]["clock_hz"] / max(report["result"]["steps"], 1))
