"""`python -m bench.language_models DIR [--write]`: a transformer language model beside the EGRU, on one chip.

DIR is a folder of `python -m models.training transformer`: `prefill.safetensors` and `decode.safetensors` are priced
(`launch.py price` with the same `--set`), and `figures.json`, which a training writes at its end, has the perplexities.
Without it the best of `log.csv` stands there, as what it is. What the EGRU, the LSTM and the trigram have is what
docs/model.md and docs/int8.md say, with their commands. `--write` puts the table into docs/dnn.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.dnn import PAGE, put_table
from host.commands._program_tables import terms_of
from host.cost.program_price import program_cost
from host.errors import HostError
from host.mapping.tiling import network_works, plan_program
from host.show.text_table import format_markdown
from models.dnn.file import load_dnn
from models.network import ModelError
from models.training.transformer.export import DECODE, PREFILL

HEAD = ("model", "perplexity, test", "ms a word", "band", "mJ a word", "band", "DRAM, kB a word")
OTHERS = (
    ("trigram", "54.7", "", "", "", "", ""),
    ("LSTM, dense, float32, 5 epochs", "30.0", "", "", "", "", ""),
    ("EGRU, float32, csr", "31.21", "2.34", "1.99 to 2.81", "0.99", "0.57 to 1.21", ""),
    ("EGRU, int8, packed", "31.22", "1.42", "1.15 to 1.63", "0.60", "0.33 to 0.70", ""),
    ("EGRU, int8, vectors 16 x 1", "29.79", "0.47", "0.36 to 0.66", "0.20", "0.10 to 0.28", ""),
)
"""Of docs/model.md and docs/int8.md."""
WAYS = (("share=none",), ("share=once", "overlap=double"), ("share=once", "overlap=double", "resident=weights"))


def price_rows(folder: Path, perplexity: str) -> list[tuple[str, ...]]:
    """Return the rows of a transformer: prefill by the word of a whole context, and decode, by settings; ModelError or HostError,
    one line, for a folder without its checkpoints.
    """
    rows = []
    for what, name in (("prefill", PREFILL), ("decode", DECODE)):
        network = load_dnn(folder / name).network
        if network is None:
            raise ModelError(f"{folder / name}: holds no integers; needs what a training of a transformer writes")
        words = network.tensors[network.inputs[0]].shape[-1] if what == "prefill" else 1
        for way in WAYS:
            try:
                terms = terms_of(way)
                cost = program_cost(plan_program(network_works(network), terms).executed(), terms)
            except HostError as error:
                rows.append((f"transformer, int8, {what}, {', '.join(way)}", perplexity, str(error), "", "", "", ""))
                continue
            moved = sum(layer.dram_bytes for layer in cost.layers) / words
            (early, late), (least, most) = cost.time_band_s, cost.energy_band_j
            rows.append((
                f"transformer, int8, {what}, {', '.join(way)}", perplexity, f"{1e3 * cost.time_s / words:.3g}",
                f"{1e3 * early / words:.3g} to {1e3 * late / words:.3g}", f"{1e3 * cost.energy_j / words:.3g}",
                f"{1e3 * least / words:.3g} to {1e3 * most / words:.3g}", f"{moved / 1e3:,.0f}",
            ))  # fmt: skip
    return rows


def perplexity_of(folder: Path) -> str:
    """Return what a training found: of the test at its end, times what int8 costs on the part that it was scored on; before, the
    best of its log on valid.
    """
    if (folder / "figures.json").exists():
        test = json.loads((folder / "figures.json").read_text(encoding="utf-8"))["test"]
        return f"{test['float']:.2f} x {test['int8, of these'] / test['float, of these']:.4f}"
    with (folder / "log.csv").open(encoding="utf-8") as stream:
        valid = [(float(row["valid_perplexity"]), row["epoch"]) for row in csv.DictReader(stream) if row["valid_perplexity"]]
    if not valid:
        return "not trained for an epoch yet"
    best, epoch = min(valid)
    return f"in training: {best:.1f} on valid after epoch {float(epoch):.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--write", action="store_true", help="put it into docs/dnn.md")
    flags = parser.parse_args(arguments)
    try:
        text = format_markdown(HEAD, [*OTHERS, *price_rows(flags.folder, perplexity_of(flags.folder))])
    except (ModelError, OSError) as error:
        print(f"bench.language_models: {error}", file=sys.stderr)
        return 2
    if flags.write:
        PAGE.write_text(put_table(PAGE.read_text(encoding="utf-8"), "language_models", text), encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
