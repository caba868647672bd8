"""What the summary says of a run in an environment."""

from collections.abc import Mapping
from typing import Any

from host.show.quantities import format_band, format_quantity

PUBLISHED_J = {"SpiNNaker2": 0.006, "GTX 1650": 0.145}
"""Arfa et al. 2025, CartPole-v0; second-hand, and whether an inference or an episode is meant is not known."""
PUBLISHED_MOST = 32
PUBLISHED_DECODING = "0.84 to 1.12 s, 50 of 50 reached, footprint 2,172 B (Nazeer et al. 2025, six checkpoints and their neurons)"


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """Return the lines: returns, actions, torch's returns, latency, deadlines, energy, and what is published beside."""
    del published  # of another paper
    result, lines = report["result"], []
    done, asked = result["episodes_done"], result["episodes"]
    if done:
        solved = result["solved_share"]
        share = "" if solved is None else f", {100 * solved:.0f} % {result['solved_rule']}"
        short = f" of {asked}" if done < asked else ""
        lines.append(
            f"return       {result['return_mean']:.1f}, sd {result['return_sd']:.1f}, worst {result['return_worst']:g}{share}; "
            f"{done}{short} episodes of {result['environment']} from seed {result['seed']}"
        )
    else:
        lines.append(f"return       none: no episode of {result['environment']} ended")
    lines += _actions(report)
    if (torch := result["torch"]) is not None:
        lines.append(f"in torch     {torch_in_words(torch)}")
    if (replayed := result["replayed"]) is not None:
        lines.append(f"replayed     {replayed['same']:,} of {replayed['compared']:,} actions are those of the recorded run")
    lines += _costs(result)
    lines.append(f"trajectory   sha256 {result['trajectory_sha256']}")
    return lines


def torch_in_words(torch: Mapping[str, Any]) -> str:
    """Return in words what torch made of the same episodes."""
    same = f"{torch['same_actions']} of {torch['episodes']} with the same observations and actions to the last bit"
    return f"return {torch['return_mean']:.1f} on the same {torch['episodes']} episodes, {same}"


def spikes_an_action(report: Mapping[str, Any]) -> tuple[list[float], float]:
    """Return the spikes of each layer but the readout, and the synaptic events of all, an action."""
    actions = max(report["result"]["actions_taken"], 1)
    return [count / actions for count in report["events"]["by_layer"][:-1]], report["counters"]["macs"] / actions


def _actions(report: Mapping[str, Any]) -> list[str]:
    result = report["result"]
    if not result["actions_taken"]:
        return []
    spikes, synaptic = spikes_an_action(report)
    by_layer = f"{' + '.join(f'{count:.1f}' for count in spikes)} spikes by layer, " if spikes else ""
    ticks = f"{result['ticks']} tick{'' if result['ticks'] == 1 else 's'}"
    return [f"an action    {ticks}, {by_layer}{synaptic:,.0f} synaptic events; {result['actions_taken']:,} actions"]


def _decoding(result: Mapping[str, Any]) -> list[str]:
    whole, mean = result["whole_model"], result["return_mean"]
    operations = whole["SynapticOperations"]
    sparse = f"connection sparsity {whole['ConnectionSparsity']:.4f}, activation sparsity {whole['ActivationSparsity']:.4f}"
    work = f"{operations['Effective_MACs']:,.0f} MACs and {operations['Effective_ACs']:,.0f} ACs of {operations['Dense']:,.0f}"
    lines = [f"neurobench   footprint {whole['Footprint']:,} B, {sparse}; an episode {work}"]
    if mean is not None:
        lines.append(f"             {-mean:.3f} s to the target, mean of all episodes")
    return [*lines, f"published    {PUBLISHED_DECODING}"]


def _costs(result: Mapping[str, Any]) -> list[str]:
    costs, period_s = result["costs"], result["period_s"]
    if not costs or costs["latency"]["timer"]["mean_s"] is None:
        return []
    parts = []
    for name, words in (
        ("back_to_back", "ticks back to back"),
        ("side_by_side", "layers side by side"),
        ("timer", f"ticks of {format_quantity(result['timer_s'], 's')}"),
    ):
        latency = costs["latency"][name]
        missed = f", {latency['missed']:,} of {costs['rounds']:,} too late for {1e3 * period_s:g} ms" if period_s else ""
        parts.append(
            f"{format_quantity(latency['mean_s'], 's')} {words} (worst {format_quantity(latency['worst_s'], 's')}){missed}"
        )
    lines = [f"latency      {parts[0]}", *(f"             {part}" for part in parts[1:])]
    for label, key in (("energy", "energy_per_action_j"), ("", "energy_per_episode_j")):
        if (energy := costs.get(key)) is None:
            continue
        dynamic = format_band(energy["dynamic"], energy["dynamic_band"], "J")
        chip = format_band(energy["chip"], energy["chip_band"], "J")
        what = "an action" if label else "an episode"
        timed = format_quantity(energy["chip_with_timer"], "J")
        lines.append(f"{label:<13}{what}: {dynamic} dynamic, {chip} the whole chip back to back, {timed} with timer ticks")
    if result["whole_model"]:
        return [*lines, *_decoding(result)]
    chip, gpu = (f"{joules:g} J on {name}" for name, joules in PUBLISHED_J.items())
    lines.append(
        f"published    {chip} and {gpu} (CartPole-v0, Arfa et al.), up to {PUBLISHED_MOST}x; not known whether an inference or "
        "an episode, nor of what part of the chip"
    )
    return lines
