"""What the page of a run in an environment shows beside what every run does: returns, spikes, latencies against the deadline,
energy.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.show import canvas, plots
from host.show.blocks import Figure, Html, details, paragraph, section, table
from host.show.quantities import format_band, format_quantity, scale_of
from host.workloads.control.summary import PUBLISHED_DECODING, PUBLISHED_J, PUBLISHED_MOST, spikes_an_action, torch_in_words
from models.palette import INK, SERIES

_WAYS = {"back_to_back": "back to back", "side_by_side": "layers side by side", "timer": "with timer ticks"}
_ENERGY = {"energy_per_action_j": "an action", "energy_per_episode_j": "an episode"}


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on episodes and the one on actions; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    blocks: list[Html] = []
    if result["torch"] is not None:
        blocks.append(paragraph(f"In torch: {torch_in_words(result['torch'])}."))
    if result["replayed"] is not None:
        same, compared = result["replayed"]["same"], result["replayed"]["compared"]
        blocks.append(
            paragraph(f"Observations of an earlier run were fed: {same:,} of {compared:,} actions are those of that run.")
        )
    rows = [
        (e["episode"], result["seed"] + e["episode"], e["total"], e["steps"], e["ended"], e["sha256"][:12]) for e in result["each"]
    ]
    columns = ("episode", "seed", "return", "actions", "ended", "sha256")
    blocks.append(details(f"All {len(rows)} episodes", table(columns, rows, numeric=(0, 1, 2, 3))))
    parts = [section("Episodes", blocks)]
    if result["actions_taken"]:
        parts.append(section("Actions", _actions(report)))
    return parts


def _actions(report: Mapping[str, Any]) -> list[Html]:
    result, costs = report["result"], report["result"]["costs"]
    spikes, synaptic = spikes_an_action(report)
    rows = [(f"layer {number}", f"{count:.1f}") for number, count in enumerate(spikes, start=1)]
    rows.append(("synaptic events, all layers", f"{synaptic:,.0f}"))
    blocks = [table(("spikes an action", "mean"), rows, numeric=(1,))]
    if not costs:
        return blocks
    latencies = []
    for name, words in _WAYS.items():
        one = costs["latency"][name]
        missed = f"{one['missed']:,} of {costs['rounds']:,}" if result["period_s"] else ""
        latencies.append((words, *(format_quantity(one[key], "s") for key in ("mean_s", "median_s", "p99_s", "worst_s")), missed))
    deadline = f"later than {1e3 * result['period_s']:g} ms" if result["period_s"] else "no deadline"
    blocks.append(table(("an action takes", "mean", "median", "99 %", "worst", deadline), latencies, numeric=range(1, 6)))
    energies = [
        (words, format_band(e["dynamic"], e["dynamic_band"], "J"), format_band(e["chip"], e["chip_band"], "J"),
         format_quantity(e["chip_with_timer"], "J"))
        for key, words in _ENERGY.items() if (e := costs.get(key))
    ]  # fmt: skip
    blocks.append(table(("energy", "dynamic", "whole chip", "whole chip, timer ticks"), energies, numeric=(1, 2, 3)))
    if (whole := result["whole_model"]) is not None:
        operations = whole["SynapticOperations"]
        rows = [(name, whole[name]) for name in ("Footprint", "ConnectionSparsity", "ActivationSparsity")]
        rows += [(f"{name}, an episode", round(value)) for name, value in operations.items()]
        blocks.append(table(("NeuroBench, linear layers too", ""), rows, numeric=(1,)))
        blocks.append(paragraph(f"Published: {PUBLISHED_DECODING}.", "faint"))
        return blocks
    figures = " and ".join(f"{joules:g} J on {name}" for name, joules in PUBLISHED_J.items())
    blocks.append(
        paragraph(
            f"Published: {figures} for CartPole-v0, up to {PUBLISHED_MOST}x (Arfa et al. 2025, second-hand). Whether an inference "
            "or an episode is meant, and which part of the chip, is not known.",
            "faint",
        )
    )
    return blocks


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawings of returns and latencies; none where no result came about."""
    result = report.get("result")
    if not result or not result["each"]:
        return []
    each, solved = result["each"], result["solved_return"]
    drawn = [
        Figure(name="returns", title="Returns", caption="Return of each episode.", draw=lambda: _returns(each, solved)),
    ]
    latency = (result["costs"] or {}).get("latency") or {}
    shown = {words: latency[name]["histogram"] for name, words in _WAYS.items() if latency and latency[name]["histogram"]}
    if shown:
        caption = "How long actions take on the modelled chip, each way of ticking, against the deadline."
        period_s = result["period_s"]
        drawn.append(Figure(name="latency", title="Latency", caption=caption, draw=lambda: _latency(shown, period_s)))
    return drawn


@plots.styled
def _returns(each: list[Mapping[str, Any]], solved: float | None) -> canvas.Figure:
    figure, axes = plots.new_figure(2.3, (0.62, 0.15, 0.45, 0.12))
    places, totals = [e["episode"] for e in each], [e["total"] for e in each]
    figure.add_hints(axes.plot(places, totals, "o", markersize=3, color=SERIES[0])[0], ["return of an episode"])
    if solved is not None:
        axes.axhline(solved, color=INK, linewidth=0.8, linestyle="--")
        axes.annotate(f"solved: {solved:g}", (0, solved), (2, 3), textcoords="offset points")
    low, high = min([*totals, solved or totals[0]]), max([*totals, solved or totals[0]])
    if len(places) <= 12:
        axes.set_xticks(places)
    room = max(0.12 * (high - low), 1.0)
    axes.set(xlabel="episode", ylabel="return", ylim=(low - room, high + room))
    return figure


@plots.styled
def _latency(shown: Mapping[str, Mapping[str, Any]], period_s: float) -> canvas.Figure:
    """Return a drawing with a row a way of ticking: from the shortest action to the longest, darker where more lie."""
    factor, unit = scale_of(period_s or max(max(one["edges_s"]) for one in shown.values()), "s")
    figure, axes = plots.new_figure(0.75 + 0.36 * len(shown), (1.45, 0.2, 0.45, 0.22))
    right = 1.06 * factor * max(period_s, *(one["edges_s"][-1] for one in shown.values()))
    for row, (words, one) in enumerate(reversed(list(shown.items()))):
        edges, counts = factor * np.array(one["edges_s"]), np.array(one["counts"], float)
        shares = counts / counts.max()
        lefts, widths = edges[:-1], np.maximum(np.diff(edges), 0.006 * right)
        for left, width, share, count in zip(lefts, widths, shares, counts, strict=True):
            if count:
                bar = axes.barh(row, width, 0.62, left=left, color=SERIES[0], alpha=0.3 + 0.7 * share, linewidth=0)[0]
                figure.add_hints(bar, [f"{words}: {count:.0f} actions about {left:.3g} {unit}"])
    axes.set_yticks(range(len(shown)), list(reversed(list(shown))))
    axes.tick_params(axis="y", length=0)
    if period_s:
        axes.axvline(factor * period_s, color=SERIES[1], linewidth=1.4)
        axes.annotate(f"deadline {factor * period_s:g} {unit}", (factor * period_s, len(shown) - 0.55), (-3, 0),
                      textcoords="offset points", ha="right", va="bottom", color=SERIES[1])  # fmt: skip
    axes.set(xlabel=f"{unit} an action", xlim=(0, right), ylim=(-0.5, len(shown) - 0.3))
    return figure
