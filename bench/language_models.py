"""`python -m bench.language_models [--folder DIR] [--write]`: a transformer language model beside the EGRU, on one chip.

The shipped `lm-transformer` and `lm-transformer-decode`, or `prefill.safetensors` and `decode.safetensors` in a folder of
`python -m models.training transformer`, are priced (`launch.py price` with the same `--set`); their perplexities are those that
training measured. The EGRU's rows are of the outlook table in docs/int8.md, those of LSTM and trigram of docs/model.md. `--write`
puts the table into docs/dnn.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.dnn import PAGE, put_table
from host.commands._program_tables import terms_of
from host.cost.program_price import program_cost
from host.errors import HostError
from host.mapping.tiling import network_works, plan_program
from host.show.text_table import format_markdown
from models import shipped
from models.dnn.file import load_dnn
from models.dnn.model import DnnModel
from models.network import ModelError
from models.training.transformer.export import DECODE, PREFILL

HEAD = ("model", "perplexity, test", "ms a word", "band", "mJ a word", "band", "DRAM, kB a word")
OUTLOOK = PAGE.with_name("int8.md")
OTHERS = (("trigram", "54.7", "", "", "", "", ""), ("LSTM, dense, float32, 14 epochs", "25.5", "", "", "", "", ""))
"""Of docs/model.md."""
EGRUS = {
    "LM float32, csr, as published": "EGRU, float32, csr", "LM int8, packed": "EGRU, int8, packed",
    "LM int8, vectors 16 x 1": "EGRU, int8, vectors 16 x 1",
}  # fmt: skip
"""Rows of the outlook table -> what they are called here."""
SHIPPED = ("lm-transformer", "lm-transformer-decode")
WAYS = (("share=none",), ("share=once", "overlap=double"), ("share=once", "overlap=double", "resident=weights"))


def egru_rows(page: str) -> list[tuple[str, ...]]:
    """Return the rows of the EGRU in a page that holds the outlook table."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line.startswith("| LM ")]
    by_name = {name: cells for name, *cells in rows}
    return [
        (label, quality.removeprefix("perplexity "), *figures[2:6], "")
        for name, label in EGRUS.items()
        for quality, *figures in [by_name[name]]
    ]  # fmt: skip


def price_rows(prefill: Path, decode: Path) -> list[tuple[str, ...]]:
    """Return the rows of a transformer: prefill by the word of a whole context, and decode, by settings; ModelError or HostError,
    one line, for no such checkpoints.
    """
    rows: list[tuple[str, ...]] = []
    for what, path in (("prefill", prefill), ("decode", decode)):
        model = load_dnn(path)
        if model.network is None:
            raise ModelError(f"{path}: holds no integers; needs what a training of a transformer writes")
        words = model.network.tensors[model.network.inputs[0]].shape[-1] if what == "prefill" else 1
        perplexity = perplexity_of(path, model)
        for way in WAYS:
            terms = terms_of(way)
            try:
                cost = program_cost(plan_program(network_works(model.network), terms).executed(), terms)
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


def perplexity_of(path: Path, model: DnnModel) -> str:
    """Return what training measured: of the test in float32, times what int8 costs on the part that both were scored on."""
    try:
        test = model.provenance["record"]["test"]
        return f"{test['float']:.2f} x {test['int8, of these'] / test['float, of these']:.4f}"
    except (KeyError, TypeError):
        raise ModelError(f"{path}: has no record of perplexities; needs what a training of a transformer writes") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="of a training (default: the shipped ones)")
    parser.add_argument("--write", action="store_true", help="put it into docs/dnn.md")
    flags = parser.parse_args(arguments)
    paths = [shipped.path_of(name) for name in SHIPPED] if flags.folder is None else [flags.folder / n for n in (PREFILL, DECODE)]
    try:
        prefill, decode = (path or Path(name) for path, name in zip(paths, SHIPPED, strict=True))
        text = format_markdown(HEAD, [*OTHERS, *egru_rows(OUTLOOK.read_text(encoding="utf-8")), *price_rows(prefill, decode)])
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
