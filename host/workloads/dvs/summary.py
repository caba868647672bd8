"""What the summary says of a run on recordings."""

from collections.abc import Mapping
from typing import Any

from host.workloads.dvs.results import compare_in_words, confused_pairs, sample_cost


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """Return the lines; `published` holds the paper's tables (`host/show/published.toml`)."""
    result, lines = report["result"], []
    lines += [f"{'' if number else 'input':<12} {line}" for number, line in enumerate(result.get("reading", ()))]
    where = f"{result['source']}, {result['split']} split"
    short = f" of {result['samples_asked']} asked for" if result["samples"] < (result["samples_asked"] or 0) else ""
    if result["accuracy"] is not None:
        right = sum(row[i] for i, row in enumerate(result["confusion"]))
        lines.append(f"accuracy     {100 * result['accuracy']:.1f} %: {right} of {result['samples']} samples{short}; {where}")
        lines.append(f"beside it    {compare_in_words(result)}")
        pairs = "; ".join(f"{n} x {was} as {seen}" for n, was, seen in confused_pairs(result))
        lines.append(f"confused     {pairs or 'no pair of classes'}")
    else:
        lines.append(f"accuracy     none: no sample came through; {where}")
    if overflowed := sum(None in one["scores"] for one in result["predictions"]):
        lines.append(f"overflow     {overflowed} of {result['samples']} samples have scores that are no finite numbers")
    lines += [f"damaged      {line}" for line in result["damages"][:10]]
    if len(result["damages"]) > 10:
        lines.append(f"damaged      and {len(result['damages']) - 10} more, in report.json")
    cost = sample_cost(result, report.get("modelled"))
    if cost is not None:
        table = published["table3"]
        chip, lanes = table["spinnaker2"], report["mapping"]["lanes"]
        paper = [
            f"{time:.2f} ms and {1e3 * energy:.0f} mJ at batch {batch}"
            for batch, time, energy in zip(table["batches"], chip["time_ms"], chip["energy_j"], strict=True)
        ]
        lines.append(
            f"a sample     {1e3 * cost.time_s:.2f} ms, {1e3 * cost.energy_j:.1f} mJ on the chip at batch "
            f"{lanes} ({result['frames_per_sample']} frames; the paper's Table III: {', '.join(paper)})"
        )
    return lines
