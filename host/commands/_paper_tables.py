"""The paper's tables with ours beside them, as Markdown: pure functions from figures to text.

Published numbers come from `published.toml`; what is said about a miss names the constants that decide it. Nothing here
runs anything or knows where a file lies.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.cost.cycles import STAGES
from host.cost.price import Priced
from host.show.text_table import format_markdown

PUBLISHED: dict[str, Any] = tomllib.loads((Path(__file__).parents[1] / "show" / "published.toml").read_text(encoding="utf-8"))
TEMPLATE = Path(__file__).with_name("_paper_template.md").read_text(encoding="utf-8")
KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes of the busiest PE by role (`pe.sram.footprint`) in the paper's format, its weights in the others (None: does
    not fit), and the PEs that the mapping `balanced` needs in each.
    """

    worst: Mapping[str, int]
    weights: Mapping[str, int | None]
    fewest_pes: Mapping[str, int | None]


@dataclass(frozen=True)
class Perplexity:
    """The emulator's perplexity and the trainer's own over the same tokens, each None where there is none."""

    here: float | None = None
    trainer: float | None = None


@dataclass(frozen=True)
class Figures:
    """What the runs gave. `gesture` and each list of `others` follow the paper's batches; `others` maps the name of a
    changed setting to the language model's and then the gesture network's prices. `accuracy` is the trained gesture
    network's on its own test set; None: the network is a seeded one.
    """

    model: str
    seeded: bool
    memory: Memory
    perplexity: Perplexity
    language: Priced
    gesture: Sequence[Priced]
    others: Mapping[str, Sequence[Priced]]
    accuracy: float | None = None


def error(ours: float, theirs: float) -> str:
    """Return the deviation from a published number in percent, with its sign."""
    return f"{100 * (ours / theirs - 1):+.1f} %"


def table_1(memory: Memory) -> str:
    """Return Table I: the busiest PE's memory, in bytes, with what the other formats need of weights."""
    paper, worst = PUBLISHED["table1"], memory.worst
    data = worst["variables"] - worst["spill"]
    weights = worst["weights"]
    rows = [
        ("Instruction", f"{paper['instruction_kb']}", f"{worst['program']:,}", "taken from the paper"),
        ("Debug", f"{paper['debug_kb']:g}", f"{worst['debug']:,}", "taken from the paper"),
        ("Weights", f"{paper['weights_kb']}", f"{weights:,}", _readings(weights, paper["weights_kb"])),
        ("Variables", f"{paper['variables_kb']}", f"{data:,}", _readings(data, paper["variables_kb"])),
        ("  behind the program", "not stated", f"{worst['spill']:,}", ""),
        ("  free for data", "not stated", f"{worst['free']:,}", ""),
    ]
    for name, size in memory.weights.items():
        if name != "csr":
            cell, deviation = ("does not fit", "") if size is None else (f"{size:,}", error(size, weights) + " of csr")
            rows.append((f"Weights as {name}", "", cell, deviation))
    for name, pes in memory.fewest_pes.items():
        rows.append((f"PEs needed, {name}", "", "does not fit" if pes is None else str(pes), "mapping balanced"))
    return format_markdown(("Memory", "paper, KB", "here, bytes", "error"), rows)


def _readings(size: int, kb: float) -> str:
    return f"{error(size, 1000 * kb)} (KiB: {error(size, KIB * kb)})"


def table_2(figures: Figures) -> str:
    """Return Table II: the language model, batch 1."""
    gpu, chip, ours = PUBLISHED["table2"]["a100"], PUBLISHED["table2"]["spinnaker2"], figures.language
    here, trainer = figures.perplexity.here, figures.perplexity.trainer
    rows = [
        ("Batch size", "1", "1", "1", "", ""),
        _quantity("Power (W)", gpu["power_w"], chip["power_w"], ours.power_w, ours.power_band_w, ".2f", ".3f"),
        _quantity("Time (ms)", gpu["time_ms"], chip["time_ms"], 1e3 * ours.time_s, _times(ours.time_band_s, 1e3), ".2f", ".2f"),
        _quantity("Energy (J)", gpu["energy_j"], chip["energy_j"], ours.energy_j, ours.energy_band_j, ".4f", ".4f"),
        (
            "Test PPL",
            f"{gpu['perplexity']}",
            f"{chip['perplexity']}",
            "none" if here is None else f"{here:.4g}",
            "" if trainer is None else f"trainer {trainer:.4g}",
            "other text",
        ),
    ]
    return format_markdown(("Measurement", "A100", "SpiNNaker2", "here", "band", "error"), rows)


def table_3(figures: Figures) -> str:
    """Return Table III: the gesture network, time and energy normalised over the batch."""
    gpu, chip, rows = PUBLISHED["table3"]["a100"], PUBLISHED["table3"]["spinnaker2"], []
    for i, (batch, ours) in enumerate(zip(PUBLISHED["table3"]["batches"], figures.gesture, strict=True)):
        each = 1 / batch
        power = (gpu["power_w"][i], chip["power_w"][i], ours.power_w, ours.power_band_w)
        time = (gpu["time_ms"][i], chip["time_ms"][i], 1e3 * each * ours.time_s, _times(ours.time_band_s, 1e3 * each))
        energy = (gpu["energy_j"][i], chip["energy_j"][i], each * ours.energy_j, _times(ours.energy_band_j, each))
        rows += [
            ("Batch size", str(batch), str(batch), str(batch), "", ""),
            _quantity("Power (W)", *power, ".2f", ".3f"),
            _quantity("Time (ms)", *time, ".2f", ".2f"),
            _quantity("Energy (J)", *energy, ".3f", ".4f"),
            ("Accuracy (%)", f"{gpu['accuracy_percent'][i]}", f"{chip['accuracy_percent'][i]}", *_accuracy(figures.accuracy)),
        ]
    return format_markdown(("Measurement", "A100", "SpiNNaker2", "here", "band", "error"), rows)


def _accuracy(ours: float | None) -> tuple[str, str, str]:
    return ("none", "", "not trained") if ours is None else (f"{100 * ours:.2f}", "", "other data")


def _quantity(
    name: str, gpu: float, chip: float, ours: float, band: Sequence[float], published: str, precise: str
) -> tuple[str, ...]:
    low, high = (f"{value:{precise}}" for value in band)
    return name, f"{gpu:g}", f"{chip:{published}}", f"{ours:{precise}}", f"{low} to {high}", error(ours, chip)


def _times(band: Sequence[float], factor: float) -> tuple[float, ...]:
    return tuple(factor * value for value in band)


def stages_table(figures: Figures) -> str:
    """Return Figure 2's bars as numbers: milliseconds by stage and layer over the run, and each stage's share."""
    layers = figures.language.stages_s
    total = sum(sum(stages.values()) for stages in layers.values())
    rows = []
    for stage in STAGES:
        cells = [1e3 * stages[stage] for stages in layers.values()]
        rows.append((stage, *(f"{ms:.2f}" for ms in cells), f"{sum(cells):.2f}", f"{sum(cells) / total / 10:.1f} %"))
    return format_markdown(("Stage, ms", *layers, "all", "share"), rows)


def others_table(figures: Figures) -> str:
    """Return how times and power move where one setting or constant is changed."""
    times = (PUBLISHED["table2"]["spinnaker2"]["time_ms"], *PUBLISHED["table3"]["spinnaker2"]["time_ms"])
    batches = (1, *PUBLISHED["table3"]["batches"])
    rows = []
    for name, prices in {"as above": (figures.language, *figures.gesture), **figures.others}.items():
        ms = [1e3 * priced.time_s / batch for priced, batch in zip(prices, batches, strict=True)]
        cells = [f"{value:.1f} ({error(value, theirs)})" for value, theirs in zip(ms, times, strict=True)]
        rows.append((name, *cells, f"{prices[0].power_w:.3f}"))
    return format_markdown(("Changed", "language, ms", "gesture, ms", "gesture, batch 6", "power, W"), rows)


def document(figures: Figures) -> str:
    """Return `docs/paper.md`: tables, what misses and why, and what published data cannot decide."""
    paper2, paper3 = PUBLISHED["table2"]["spinnaker2"], PUBLISHED["table3"]["spinnaker2"]
    lm, (first, *_, last), batch = figures.language, figures.gesture, PUBLISHED["table3"]["batches"][-1]
    products = sum(stages["egru_input"] + stages["egru_internal"] for stages in lm.stages_s.values())
    return TEMPLATE.format(
        source=PUBLISHED["source"],
        model=figures.model,
        tokens=PUBLISHED["assumed"]["tokens"],
        frames=PUBLISHED["assumed"]["frames"],
        pes_2=PUBLISHED["table2"]["pes"],
        pes_3=PUBLISHED["table3"]["pes"],
        table_1=table_1(figures.memory),
        table_2=table_2(figures),
        table_3=table_3(figures),
        gesture=_gesture_text(figures.accuracy),
        perplexity=_perplexity_text(figures),
        stages=stages_table(figures),
        others=others_table(figures),
        products=f"{100 * products / lm.time_s:.0f} %",
        lm_time=error(1e3 * lm.time_s, paper2["time_ms"]),
        lm_power=error(lm.power_w, paper2["power_w"]),
        lm_energy=error(lm.energy_j, paper2["energy_j"]),
        dvs_time_1=error(1e3 * first.time_s, paper3["time_ms"][0]),
        dvs_time_6=error(1e3 * last.time_s / batch, paper3["time_ms"][-1]),
        dvs_power_6=error(last.power_w, paper3["power_w"][-1]),
        batch=batch,
        saved=f"{100 * (1 - last.time_s / batch / first.time_s):.1f} %",
        saved_theirs=f"{100 * (1 - paper3['time_ms'][-1] / paper3['time_ms'][0]):.1f} %",
    )


def _gesture_text(accuracy: float | None) -> str:
    if accuracy is None:
        return "a seeded one of the right shapes: an accuracy needs a trained one"
    return (
        "the trained one that hands on y (`launch.py dvs --checkpoint plain`); its accuracy is what its trainer measured on the\n"
        "synthetic event camera of this project and not comparable with one on DVS128 Gesture"
    )


def _perplexity_text(figures: Figures) -> str:
    here, trainer = figures.perplexity.here, figures.perplexity.trainer
    cannot = "The paper's 81.4 is on WikiText-2: no text of ours is comparable with it."
    if here is None:
        return f"A seeded network has learnt nothing: its perplexity is not shown. {cannot}"
    if trainer is None:
        return f"The checkpoint does not say what its trainer measured over these tokens, so ours stands alone. {cannot}"
    agree = "equal" if f"{here:.4g}" == f"{trainer:.4g}" else "NOT equal"
    return f"The emulator's perplexity over these tokens and the trainer's own are {agree} to four digits. {cannot}"
