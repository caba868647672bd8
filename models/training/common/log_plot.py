"""A run's log as a picture: perplexity, sparsity and activity over the epochs."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from models.input_file import InputError, read_text_input
from models.network import ModelError
from models.palette import SERIES

COLUMNS = ("iteration", "epoch", "lr", "train_perplexity", "valid_perplexity", "sparsity", "gradient_norm", "seconds", "activity")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a `log.csv`, numbers as floats, `activity` as a list, empty cells as None; ModelError for another."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text_input(path), newline="")))
        return [{name: _cell(name, row[name]) for name in COLUMNS} for row in rows]
    except InputError as error:
        raise ModelError(f"log {path}: {error}") from error
    except (KeyError, ValueError, AttributeError, csv.Error) as error:
        raise ModelError(f"log {path}: not a training log ({type(error).__name__}: {error})") from error


def _cell(name: str, text: str) -> Any:
    if name == "activity":
        return [float(share) for share in text.split()]
    return float(text) if text else None


def plot(logs: dict[str, Path], out: Path) -> None:
    """Draw the logs (label -> `log.csv`) side by side into one PNG or SVG; ModelError, one line, where that cannot be."""
    if out.suffix not in (".png", ".svg"):
        raise ModelError(f"--out {out}: needs a name that ends in .png or .svg")
    os.environ.pop("MPLBACKEND", None)  # a notebook's need not be there
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcdefaults()  # whatever a user has set for other work
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7.5, 6.5), sharex=True, height_ratios=(3, 2), layout="constrained")
    for index, (label, path) in enumerate(logs.items()):
        rows = read_log(path)
        colour = SERIES[index % len(SERIES)]
        scored = [row for row in rows if row["valid_perplexity"] is not None]
        others = [row for row in rows if row["valid_perplexity"] is None and row["train_perplexity"] is not None]

        def line(axes: Any, rows: list[dict[str, Any]], name: str, colour: str = colour, **style: Any) -> None:
            axes.plot(*zip(*((row["epoch"], row[name]) for row in rows), strict=True), color=colour, **style)

        line(top, others, "train_perplexity", linewidth=0.6, alpha=0.45)
        line(top, scored, "valid_perplexity", marker="o", markersize=3.5, label=f"{label}, valid (thin: train, with dropout)")
        if any(row["sparsity"] for row in rows):
            line(bottom, rows, "sparsity", linestyle=":", label=f"{label}: pruned")
        for layer in range(max((len(r["activity"]) for r in rows), default=0)):
            shares = [(r["epoch"], r["activity"][layer]) for r in rows if len(r["activity"]) > layer]
            style = {"alpha": 1 - 0.3 * layer, "linewidth": 1, "label": f"{label}: activity, layer {layer + 1}"}
            bottom.plot(*zip(*shares, strict=True), color=colour, **style)
    top.set_yscale("log")
    low, high = top.get_ylim()
    ticks = [t for t in (40, 50, 60, 80, 100, 120, 160, 200, 300, 500, 1000) if low <= t <= high]
    top.set_yticks(ticks, [str(t) for t in ticks])
    top.minorticks_off()
    top.set_ylabel("perplexity")
    bottom.set_ylabel("share")
    bottom.set_xlabel("epoch")
    bottom.set_ylim(0, 1)
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:  # a dense LSTM has neither sparsity nor activity
            axes.legend(fontsize=8, frameon=False)
    figure.savefig(out, dpi=150)
    plt.close(figure)
