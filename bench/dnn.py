"""The tables of docs/dnn.md on the MAC array: published figures beside the model's, and OPT-125M's shapes priced.

python -m bench.dnn            print them
python -m bench.dnn --write    put them into docs/dnn.md
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from host.commands._model_kinds.opt_125m import opt_works
from host.commands._program_tables import terms_of
from host.cost.mac_array import conv2d_cycles, matmul_cycles, utilisation
from host.cost.program_price import program_cost
from host.mapping.tiling import LayerWork, plan_program, plan_tiling
from host.show.text_table import format_markdown
from models.dnn.tiles import MatmulTiling
from models.dnn.work import MatmulWork
from tests.tools.array_simulation import conv2d_cycles as counted_conv2d_cycles
from tests.tools.array_simulation import matmul_cycles as counted_matmul_cycles

PAGE = Path(__file__).resolve().parents[1] / "docs" / "dnn.md"
TOKENS = (64, 128, 256, 512)
WAYS = (
    (), ("share=once",), ("share=once", "overlap=double"), ("share=once", "resident=activations"),
    ("share=once", "chip.dram_sustained_bytes_per_s=2.4e9"), ("share=once", "mla_read_ports=2"), ("share=once", "softmax=library"),
)  # fmt: skip
# Tiles that a third party's model of the published flow has: tokens, layer, rows, columns, PEs x rounds. No depth is cut.
PUBLISHED_TILES = (
    (512, "q", 64, 64, "96 x 1"), (512, "fc1", 64, 64, "128 x 3"), (512, "fc2", 16, 16, "128 x 12"),
    (512, "q k^T", 64, 512, "96 x 1"), (512, "p v", 64, 64, "96 x 1"),
    (128, "q", 64, 64, "24 x 1"), (128, "fc1", 64, 64, "96 x 1"), (128, "fc2", 16, 16, "128 x 3"),
)  # fmt: skip
_OF_PRODUCTS = ("78 %", "72-98 %")  # published of a transformer's products: what of the array is used, DRAM's share of the time
_CHIP = ("published of the chip", *["not public"] * len(TOKENS), "0.58-0.80, single layers", "2.77, from SRAM")


def utilisations() -> str:
    """Return published utilisations beside those of the closed form and of the simulation cycle by cycle."""
    rows = []
    for depth in (512, 640, 768):
        rows.append(("matrix product of a transformer", f"64 x {depth} . {depth} x 64", "78 %", *_matmul(64, depth, 64)))
    for depth in (64, 256, 1024):
        rows.append(("fully connected, one row of four", f"1 x {depth} . {depth} x 16", "16-19 %", *_matmul(1, depth, 16)))
    for name, channels, size, kernel, stride in (
        ("7 x 7, stride 2", 3, 112, 7, 2), ("3 x 3, stride 2", 64, 28, 3, 2), ("3 x 3", 512, 7, 3, 1), ("3 x 3", 64, 56, 3, 1)
    ):  # fmt: skip
        shape, whole = f"{channels} > 4 channels, {size} x {size}", size * stride
        args = {"in_channels": channels, "out_channels": 4, "out_rows": 2, "out_columns": whole, "kernel": (kernel, kernel)}
        macs = channels * kernel * kernel * 4 * 2 // stride * size
        counted = counted_conv2d_cycles(channels, (kernel, kernel), 4, 2, whole)
        rows.append((f"convolution {name}", shape, "22-50 %", _share(macs, conv2d_cycles(**args)), _share(macs, counted)))
    return format_markdown(("layer", "shape", "published", "closed form", "simulation"), rows)


def _matmul(rows: int, depth: int, columns: int) -> tuple[str, str]:
    macs = rows * depth * columns
    return _share(macs, matmul_cycles(rows, depth, columns)), _share(macs, counted_matmul_cycles(rows, depth, columns))


def _share(macs: int, cycles: int) -> str:
    return f"{100 * utilisation(macs, cycles):.1f} %"


def one_layer() -> str:
    """Return the one published layer beside the model's, of shapes whose array takes the published 29 us: its own is not published.

    One row of a fully connected layer in each of so many PEs, whose weights together take the published 192 us of DRAM.
    """
    terms = terms_of(["tiles=whole_depth"])
    rows = [("published", "", "192", "29", "", "102 (13 of it scheduling)", "323")]
    for depth, columns, pes in ((864, 64, 20), (1728, 32, 20), (3456, 16, 20)):
        layer = LayerWork(
            name="layer", kind="matmul", work=MatmulWork(batches=1, rows=1, depth=depth, columns=columns * pes, is_weight=True)
        )  # fmt: skip
        planned = plan_tiling(layer, MatmulTiling(work=layer.work, rows=1, columns=columns), terms)
        assert planned is not None
        parts = {name: 1e6 * seconds for name, seconds in planned.cost.parts_s.items()}
        name = f"1 x {depth} . {depth} x {columns * pes} on {pes} PEs"
        rest = parts["scheduling"] + parts["core"] + parts["mesh"]
        total = 1e6 * planned.cost.time_s
        counted = counted_matmul_cycles(1, depth, columns) + terms.table["mla_setup_cycles"]
        by_cycle = f"{1e6 * counted / terms.chip.pe_clock_hz:.1f}"
        weights = f"{depth * columns:,}"
        rows.append((name, weights, f"{parts['DRAM']:.0f}", f"{parts['array']:.1f}", by_cycle, f"{rest:.0f}", f"{total:.0f}"))
    heads = ("layer", "B of weights a PE", "DRAM, us", "array, us", "array by the cycle, us", "rest, us", "all, us")
    return format_markdown(heads, rows)


def opt_layers() -> str:
    """Return the layers of a block: our tiles beside those of the published flow, and what bounds each with and without sharing."""
    shared, alone = (terms_of([f"share={how}", "chip.debug_bytes=0"]) for how in ("once", "none"))
    rows = []
    for tokens in dict.fromkeys(tokens for tokens, *_ in PUBLISHED_TILES):
        works = {one.name: one for one in opt_works(tokens)}
        fastest = {one.layer.name: one for one in plan_program(list(works.values()), shared).layers}
        published = {name: (height, width, dealt) for of, name, height, width, dealt in PUBLISHED_TILES if of == tokens}
        for name, ours in fastest.items():
            if name in ("k", "v", "out", "norm 2", "add 2"):
                continue
            work, choices = works[name].work, [("fastest", ours.tiling, "")]
            if name in published:
                assert isinstance(work, MatmulWork)
                height, width, dealt = published[name]
                choices.insert(0, ("published", MatmulTiling(work=work, rows=height, columns=width), dealt))
            for whose, tiling, dealt in choices:
                one, unshared = plan_tiling(works[name], tiling, shared), plan_tiling(works[name], tiling, alone)
                assert one is not None
                assert unshared is not None
                cost, is_array = one.cost, isinstance(work, MatmulWork)
                used, share = (f"{100 * part:.0f} %" for part in (cost.utilisation, unshared.cost.dram_share))
                anchors = _OF_PRODUCTS if dealt else ("", "")
                rows.append((
                    str(tokens), name, whose, tiling.shape, f"{cost.pes} x {cost.rounds}", dealt, f"{one.sram_bytes:,}",
                    used if is_array else "", anchors[0], f"{1e3 * cost.time_s:.2f}", cost.bound_by,
                    f"{1e3 * unshared.cost.time_s:.2f}", unshared.cost.bound_by, share, anchors[1],
                ))  # fmt: skip
    heads = (
        "tokens", "layer", "tiles", "tile", "PEs x rounds", "published PEs x rounds", "SRAM, B", "used", "published used",
        "ms", "bound by", "ms unshared", "bound by", "of it DRAM", "published DRAM",
    )  # fmt: skip
    return format_markdown(heads, rows)


def opt_prices() -> str:
    """Return time and energy of the twelve blocks, tokens by settings."""
    rows = [_CHIP]
    for way in WAYS:
        terms = terms_of(way)
        cells = []
        for tokens in TOKENS:
            cost = program_cost(plan_program(opt_works(tokens), terms).executed(), terms)
            low, high = (1e3 * end for end in cost.time_band_s)
            cells.append(f"{1e3 * cost.time_s:.0f} ({low:.0f}-{high:.0f}) ms, {1e3 * cost.energy_j:.0f} mJ")
        rows.append((", ".join(way) or "as set: share=none", *cells, f"{cost.power_w:.2f}", f"{cost.tops_per_w:.2f}"))
    return format_markdown(("settings", *(f"{tokens} tokens" for tokens in TOKENS), "W at 512", "TOPS/W at 512"), rows)


TABLES = {"utilisations": utilisations, "one_layer": one_layer, "opt_layers": opt_layers, "opt_prices": opt_prices}


def with_tables(page: str) -> str:
    """Return a page with each table between its marks, `<!-- bench.dnn NAME -->` and `<!-- end -->`."""
    for name, table in TABLES.items():
        page = put_table(page, name, table())
    return page


def put_table(page: str, name: str, text: str) -> str:
    """Return a page with a table between its marks."""
    mark = re.compile(rf"(<!-- bench\.dnn {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert mark.search(page), f"docs/dnn.md: lacks the mark of {name}"
    return mark.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(description="The tables of docs/dnn.md on the MAC array.")
    parser.add_argument("--write", action="store_true", help="put them into docs/dnn.md")
    if not parser.parse_args(arguments).write:
        print("\n\n".join(table() for table in TABLES.values()))
        return 0
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
