"""The run by the rules of NeuroBench."""

from collections.abc import Mapping
from typing import Any

from host.show.blocks import Html, details, flatten, paragraph, table
from host.show.content import Content
from host.show.words import NAMES, Words, name_of

TITLE = "NeuroBench metrics"
ORDER = 70
_RULES = (
    "Of the network that the PEs run, by the rules of NeuroBench's harness for recurrent cells; an execution is one "
    "position of one sequence.{on_host} The definitions are in docs/report.md."
)
_ON_HOST = " On the host: the embedding, which is the decoder too."


def build(content: Content) -> list[Html]:
    """Return the metrics."""
    metrics = content.report.get("neurobench")
    if not metrics:
        return []
    names = NAMES | _metric_words(content.report)
    rows = [(name_of(name, names), value) for name, value in flatten(metrics)]
    rules = _RULES.format(on_host=_ON_HOST if metrics.get("Host") else "")
    return [paragraph(rules, "faint"), details(f"All {len(rows)} metrics", table(("metric", "value"), rows, numeric=(1,)))]


def _metric_words(report: Mapping[str, Any]) -> dict[str, Words]:
    """Return what the workload calls its own metrics."""
    return {
        one["name"]: Words(one["label"], one["unit"])
        for one in report.get("metrics") or ()
        if {"name", "label", "unit"} <= set(one)
    }
