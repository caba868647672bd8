"""The live view's panel of a DNN: a line a layer in whatever room there is; of a long name the end, which tells it from others."""

import pytest

from host.show.terminal_style import columns_of
from host.workloads.dnn.panel import PANEL

LAYERS = ["conv2d", *(f"blocks.0.attention.scaled_dot_product_attention/{part}" for part in ("key", "scores", "shares"))]
LAYOUT = {
    "layers": LAYERS, "kinds": ["conv2d", "transpose", "batch_matmul", "softmax"], "tiles": [32, 39, 64, 39],
    "used": [32, 39, 32, 39], "passes": 3, "workers": [f"PE {n}" for n in range(40)],
    "bounds": ["scheduling", "core", "DRAM", "core"], "times_s": [1e-3] * 4,
}  # fmt: skip
SHOWN = {"layer": 3, "pass": 1, "step": 6, "tiles_done": 20, "layer_bytes": 97_100, "classes": ["seven", "2"]}


def drawn(columns, rows=12, layout=LAYOUT, shown=SHOWN):
    return ["".join(span.text for span in line) for line in PANEL.lines(layout, shown, columns, rows)]


@pytest.mark.parametrize("columns", [43, 59, 73, 74, 84, 99, 100, 140, 200])
def test_layers_are_told_apart_in_any_room_and_no_line_is_wider(columns):
    lines = drawn(columns)
    assert all(sum(map(columns_of, line)) <= columns for line in lines)
    for end in ("key", "scores", "shares"):
        assert sum(f"/{end} " in line for line in lines[:-2]) == 1, end


@pytest.mark.parametrize("columns", [48, 90, 140])
def test_wide_characters_many_tiles_and_long_classes_have_no_more_room(columns):
    layout = LAYOUT | {"layers": ["層" * 40 + name[-6:] for name in LAYERS], "tiles": [32, 39, 123_456, 39]}
    lines = drawn(columns, layout=layout, shown=SHOWN | {"layer": 2, "classes": ["a long name of a class"] * 12})
    assert all(sum(map(columns_of, line)) <= columns for line in lines)
    assert [line for line in lines[:-2] if "scores " in line] == [line for line in lines if line.startswith("▸")]


def test_wide_enough_everything_is_there():
    lines = drawn(200)
    for name, kind in zip(LAYERS, LAYOUT["kinds"], strict=True):
        assert any(name in line and f" {kind} " in line for line in lines)
    assert "in blocks.0.attention.scaled_dot_product_attention/scores  by its planned time" in lines[-2]
    assert lines[-1] == "classes  seven 2"
