"""The columns that a table of an experiment may have: what each is, and how it follows from a run and its price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from host.cost.cycles import LINKS, all_stages
from host.cost.ledger import RunLedger
from host.cost.priced import Priced
from host.cost.twins import names, stage_words
from host.workloads.contract import Metric
from host.workloads.priced_metrics import metric_value
from host.workloads.registry import Workload


@dataclass(frozen=True)
class Result:
    """A point that came through: its run's report and ledger, and its price."""

    report: Mapping[str, Any]
    ledger: RunLedger
    priced: Priced

    @property
    def tokens(self) -> int:
        """Positions of sequences that were run: an idle lane is none."""
        return max(1, self.ledger.executions)


class Column(NamedTuple):
    """A column: what it is, in words and unit, and its value (an int, a float, a text, or None)."""

    what: str
    value: Callable[[Result], Any]


def _stage(name: str) -> Column:
    words = stage_words(names("kernels")).get(name, name).removeprefix("the ")
    what = f"{words} on each layer's critical PE, ms a token"
    return Column(what, lambda r: 1e3 * sum(stages.get(name, 0.0) for stages in r.priced.stages_s.values()) / r.tokens)


def _work(name: str, what: str) -> Column:
    return Column(what, lambda r: r.priced.work[name])


def _link(name: str, what: str) -> Column:
    return Column(f"{what}; 0 where none is crossed", lambda r: (r.priced.links or {}).get(name, 0))


def _activity(r: Result) -> float:
    return 100 * r.priced.work["events"] / (int(r.ledger.shards["units"].sum()) * r.tokens)


COLUMNS: Mapping[str, Column] = {
    "time_ms": Column("time of the run, ms", lambda r: 1e3 * r.priced.time_s),
    "token_ms": Column("time a token, ms", lambda r: 1e3 * (r.priced.time_s / r.tokens)),
    "token_ms_low": Column("its band's low end", lambda r: 1e3 * r.priced.time_band_s[0] / r.tokens),
    "token_ms_high": Column("its band's high end", lambda r: 1e3 * r.priced.time_band_s[1] / r.tokens),
    "power_mw": Column("mean power, mW", lambda r: 1e3 * r.priced.power_w),
    "power_mw_low": Column("its band's low end", lambda r: 1e3 * r.priced.power_band_w[0]),
    "power_mw_high": Column("its band's high end", lambda r: 1e3 * r.priced.power_band_w[1]),
    "energy_mj": Column("energy of the run, mJ", lambda r: 1e3 * r.priced.energy_j),
    "token_mj": Column("energy a token, mJ", lambda r: 1e3 * (r.priced.energy_j / r.tokens)),
    "token_mj_low": Column("its band's low end", lambda r: 1e3 * r.priced.energy_band_j[0] / r.tokens),
    "token_mj_high": Column("its band's high end", lambda r: 1e3 * r.priced.energy_band_j[1] / r.tokens),
    **{f"{stage}_ms": _stage(stage) for stage in (*all_stages(), LINKS)},
    "computation_ms": Column(
        "products and units on each layer's critical PE, ms a token", lambda r: 1e3 * r.priced.computation_s / r.tokens
    ),
    "communication_ms": Column("broadcast and links, ms a token", lambda r: 1e3 * r.priced.communication_s / r.tokens),
    "busiest_link_packets": _link("busiest_packets", "packets on the busiest link between chips"),
    "busiest_link_bytes": _link("busiest_bytes", "bytes of frames on it"),
    "busiest_link_utilisation": _link("busiest_utilisation", "share of the run in which it is busy"),
    "link_packets": _link("packets", "packets times links between chips"),
    "activity_percent": Column("units with an event, percent: what the run showed", _activity),
    "events": _work("events", "events of all layers"),
    "macs": _work("macs", "effective multiply-accumulates"),
    "weights_visited": _work("weights_visited", "stored weights that the kernels looked at"),
    "event_copies": _work("event_copies", "events times PEs they are for"),
    "flits_sent": _work("flits_sent", "flits that PEs sent"),
    "link_flits": _work("link_flits", "flits times links they crossed"),
    "dram_read_bytes": _work("dram_read_bytes", "bytes read from DRAM"),
    "chips_used": Column("chips with a PE in use", lambda r: int((r.ledger.representative_of >= 0).sum())),
    "pes_used": Column("PEs in use", lambda r: r.report["mapping"]["pes"]),
    "weights_bytes": Column("bytes of weights on the fullest PE", lambda r: r.report["mapping"]["sram"]["worst"]["weights"]),
    "free_bytes": Column("bytes free on the fullest PE", lambda r: r.report["mapping"]["sram"]["worst"]["free"]),
    "emulation_ms": Column("time a token of the emulation itself, ms", lambda r: r.report["emulation"].get("ms_per_token")),
    "ready_s": Column("time until all processes are ready, s", lambda r: r.report["emulation"].get("start_s")),
    "sha256": Column("hash of the event stream", lambda r: r.report["events"]["sha256"]),
}


def columns_of(workload: Workload) -> dict[str, Column]:
    """Return every column that a table of this workload's runs may have: those of all runs, and its metrics."""
    return {**COLUMNS, **{name: _metric(metric) for name, metric in workload.metrics.items()}}


def _metric(metric: Metric) -> Column:
    def value(r: Result) -> Any:
        one = next((one for one in r.report["metrics"] if one["name"] == metric.name), None)
        if one is None or one["value"] is None:  # a value that no number holds is said in words, so that the cell is not empty
            return one and (one["note"] or None)
        return metric_value(r.report, metric.name, r.priced)

    return Column(f"{metric.label}{f', {metric.unit}' if metric.unit else ''}", value)


DEFAULT = ("activity_percent", "token_ms", "power_mw", "token_mj")


def format_cell(value: Any) -> str:
    """Return a value as a cell of the table: floats to six digits, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
