"""Tiles of a scheduled network: they cover it, they fit, the fastest are taken, and what none fits is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.commands._model_kinds import kind_of, opt_125m
from host.commands._program_tables import terms_of
from host.cost.program_price import LayerTerms, layer_cost, program_cost
from host.errors import Exit, HostError
from host.mapping.request import sram_size
from host.mapping.tiling import LayerWork, plan_program, plan_tiling, workers_of
from models.dnn.tiles import MatmulTiling, smallest, tilings
from models.dnn.work import Conv2dWork, CoreWork, MatmulWork
from models.operators._elements import plane_work
from pe.sram import Arena

SQUARE = MatmulWork(batches=1, rows=512, depth=768, columns=768, is_weight=True)
IMAGE = Conv2dWork(
    samples=1, in_channels=16, height=30, width=34, out_channels=24, out_height=14, out_width=16, kernel=(3, 3), strides=(2, 2)
)  # fmt: skip
ROWS = CoreWork(units=100, unit_input_bytes=64, unit_output_bytes=64, constant_bytes=256, steps=64)


def layer(work, kind="matmul", name="one"):
    return LayerWork(name=name, kind=kind, work=work)


@pytest.mark.parametrize("work", [SQUARE, IMAGE, ROWS])
def test_every_tiling_covers_the_whole(work):
    for one in tilings(work, 151):
        assert one.tiles * one.results >= work.output_bytes * one.parts
        assert all(field.size_bytes >= 0 for field in one.fields(2))
    assert smallest(work).results <= min(one.results for one in tilings(work, 151))


def test_a_whole_matrix_is_the_closed_form_of_one_tile():
    """What the facts have for OPT-125M's q: 96 PEs, 62,464 cycles and the start of each tile (2), 79 %."""
    terms = terms_of(["share=once", "chip.debug_bytes=0", "mla_setup_cycles=0"])
    planned = plan_tiling(layer(SQUARE), MatmulTiling(work=SQUARE, rows=64, columns=64), terms)
    assert (planned.cost.pes, planned.cost.rounds, planned.cost.array_cycles) == (96, 1, 62_464 + 2 * 64)
    assert planned.cost.utilisation == pytest.approx(0.785, abs=0.001)
    configurations = 96 * 64
    assert planned.cost.dram_bytes == 512 * 768 + 768 * 768 + 4 * 768 + 512 * 768 + configurations
    unshared = plan_tiling(layer(SQUARE), planned.tiling, terms_of(["chip.debug_bytes=0"]))
    assert unshared.cost.dram_bytes == 96 * (2 * 64 * 768 + 4 * 64) + 512 * 768 + configurations


WAYS = [(), ("share=once", "overlap=double"), ("resident=weights",), ("mla_read_ports=2", "share=once")]


@pytest.mark.few(1)
@pytest.mark.parametrize("settings", WAYS)
def test_the_tiles_that_are_taken_fit_and_none_is_faster(settings):
    terms = terms_of(settings)
    works = [layer(SQUARE), layer(IMAGE, "conv2d", "two"), layer(ROWS, "softmax", "three")]
    program = plan_program(works, terms)
    for one in program.layers:
        Arena(one.regions, sram_size(terms.chip))
        for other in tilings(one.layer.work, terms.workers):
            if layer_cost(one.layer.kind, other, terms).time_s < one.cost.time_s:
                assert plan_tiling(one.layer, other, terms, program.resident_bytes) is None


def test_the_depth_is_cut_where_that_helps_and_not_where_it_is_forbidden():
    long = MatmulWork(batches=1, rows=4, depth=20_000, columns=16, is_weight=True)
    assert plan_program([layer(long)], terms_of([])).layers[0].tiling.parts > 1
    with pytest.raises(
        HostError, match=r"layer one \(matmul, 4 x 20000 . 20000 x 16\): no tiling fits: the smallest tile"
    ) as caught:
        plan_program([layer(long)], terms_of(["tiles=whole_depth"]))
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert "needs 400,192 B, a PE has 93,184 B of data" in str(caught.value)


def test_a_row_that_fits_no_pe_is_refused_by_name_and_bytes():
    wide = CoreWork(units=3, unit_input_bytes=90_000, unit_output_bytes=90_000, steps=90_000)
    with pytest.raises(HostError, match=r"layer norm \(layer_norm, 3 x 90,000 B\): no tiling fits: .* needs 180,064 B"):
        plan_program([layer(wide, "layer_norm", "norm")], terms_of([]))


def test_weights_that_exceed_dram_are_refused():
    large = MatmulWork(batches=1, rows=1, depth=65_536, columns=40_000, is_weight=True)
    with pytest.raises(HostError, match=r"DRAM: weights of 2,621,600,000 B .* the chip has 2,147,483,648 B") as caught:
        plan_program([layer(large)], terms_of([]))
    assert caught.value.code is Exit.DOES_NOT_FIT
    with pytest.raises(HostError, match=r"resident=weights: 25,\d+,\d+ B are .* on each of 151 PEs"):
        square = MatmulWork(batches=1, rows=1, depth=5000, columns=5000, is_weight=True)
        plan_program([layer(square)], terms_of(["resident=weights"]))


@pytest.mark.wide
def test_what_helps_helps():
    works = opt_125m.opt_works(64)
    names = ((), ("share=once",), ("share=once", "overlap=double"), ("share=once", "overlap=double", "resident=activations"))
    cost = [program_cost(plan_program(works, terms := terms_of(one)).executed(), terms) for one in names]
    times = [one.time_s for one in cost]
    assert times == sorted(times, reverse=True)
    for one in cost:
        assert one.time_band_s[0] <= one.time_s <= one.time_band_s[1]
        assert one.energy_band_j[0] <= one.energy_j <= one.energy_band_j[1]
        assert math.isclose(one.energy_j, sum(one.energy_parts_j.values()))


def test_a_slower_dram_costs_its_bytes():
    fast, slow = (terms_of([f"chip.dram_sustained_bytes_per_s={rate}"]) for rate in (6.4e9, 2.4e9))
    tiling = MatmulTiling(work=SQUARE, rows=32, columns=48)
    one, other = (layer_cost("matmul", tiling, terms) for terms in (fast, slow))
    assert one.dram_bytes == other.dram_bytes
    assert other.time_s - one.time_s == pytest.approx(one.dram_bytes / 2.4e9 - one.dram_bytes / 6.4e9)


def test_a_quantised_file_is_tiled_and_priced(capsys):
    """Convolutions, a reshape that costs nothing, a matrix: a net that onnxruntime's answers are stored of."""
    path = str(Path(__file__).with_name("golden_dnn") / "cnn-pow2.onnx")
    assert main(["fit", path, "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {"conv2d", "matmul", "reshape"} <= {one["operator"] for one in layers}
    assert all(one["tiles"] == one["time_s"] == 0 for one in layers if one["operator"] == "reshape")
    assert main(["price", path]) == 0
    assert "bound by" in capsys.readouterr().out
    assert main(["fit", path.replace("pow2", "float-32")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_scheduler_takes_a_pe():
    terms = terms_of([])
    assert isinstance(terms, LayerTerms)
    assert terms.workers == 151
    with pytest.raises(HostError, match="--pes 1: needs 2 to 152, a scheduler and workers"):
        workers_of(terms.chip, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "opt-125m:0"], "needs opt-125m:TOKENS, 1 to 2048 tokens"),
        (["price", "opt-125m"], "needs opt-125m:TOKENS"),
        (["fit", "opt-125m:8", "--set", "share=twice"], "--set share=twice: needs one of once, none"),
        (["fit", "opt-125m:8", "--mapping", "balanced"], "--mapping: is of networks of populations"),
        (["price", "opt-125m:8", "--what-if"], "--what-if: is of recorded runs"),
        (["price", "opt-125m:8", "--chips", "0"], "--chips 0: needs a whole number of at least 1"),
        (["price", "a-run", "--chips", "2"], "--chips: is of a DNN"),
        (["fit", "tiny", "--set", "share=once"], "--set share=once: is for a DNN"),
        (["price", "opt-125m:8", "--set", "dnn_layer_ss=3"], "nearest is 'dnn_layer_s'"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_commands_say_the_same_as_json_and_as_text(capsys):
    assert main(["fit", "opt-125m:8", "--pes", "9"]) == 0
    assert "8 workers and a scheduler at 150 MHz" in capsys.readouterr().out
    assert main(["price", "opt-125m:8", "--set", "clock=300MHz", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["layers"]) == 13
    assert record["workers"] == 151
    assert np.isclose(record["time_s"], 132e-6 + sum(12 * one["time_s"] for one in record["layers"]))
    assert main(["price", "opt-125m:8"]) == 0
    assert "bound by" in capsys.readouterr().out


def test_a_kind_of_model_is_found_by_what_is_typed():
    assert kind_of("opt-125m:4").__name__.endswith("opt_125m")
    assert kind_of("tiny") is None
    assert kind_of(None) is None


def test_more_chips_have_more_workers_and_one_scheduler(capsys):
    assert main(["fit", "digits-cnn", "--chips", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == 2 * 152 - 1
    assert main(["price", "digits-cnn", "--chips", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == 2 * 152 - 1
    assert main(["fit", "digits-cnn", "--chips", "2", "--pes", "200"]) == 0
    assert "199 workers and a scheduler on 2 chips" in capsys.readouterr().out
    assert main(["fit", "digits-cnn", "--chips", "50"]) == 2
    assert "1 to 48" in capsys.readouterr().err


def test_a_price_stands_beside_what_is_published(capsys):
    assert main(["price", "digits-cnn"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "published of matrix products: 78 % of the array used (here " in said
    assert "0.58 to 0.80 W with DRAM at 150 MHz (here 0.25)" in said


def test_a_plane_that_no_pe_has_room_for_is_planned_by_strips():
    large = plane_work(planes=2, image=(600, 600), made=(300, 300), kernel=(3, 3), strides=(2, 2))
    (planned,) = plan_program([layer(large, "max_pool2d")], terms_of([])).layers
    assert planned.sram_bytes < 98_304
    assert planned.tiling.tiles * planned.tiling.results >= 2 * 300 * 300
