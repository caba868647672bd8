"""Every operator of an integer network on worker PEs: each number as the plain reference has it, whatever the tiles and workers."""

from __future__ import annotations

import numpy as np
import pytest

from host.errors import Exit, HostError
from host.launch.launcher import Launcher
from host.mapping import operators as addresses
from host.workloads.dnn.options import Options
from host.workloads.registry import prepare
from models import tile_steps
from models.dnn.file import save_dnn
from models.dnn.integer import KINDS
from models.dnn.model import DnnModel
from models.network import ModelError
from tests.tools.grids import some
from tests.tools.operator_zoo import Zoo, every_kind, large_planes

pytestmark = pytest.mark.timeout(240)


def stored(zoo, folder, count):
    save_dnn(folder / "zoo.safetensors", DnnModel(network=zoo.network()))
    np.savez(folder / "samples.npz", **zoo.samples(count))
    return folder


def options(folder, **chosen):
    made = Options(**{
        "checkpoint": str(folder / "zoo.safetensors"), "inputs": str(folder / "samples.npz"), "transport": "mem", "pes": 4,
        "batch": 2, "alone": True, "verify": True, **chosen,
    })  # fmt: skip
    made.check()
    return made


def launched(folder, **chosen):
    outcome = Launcher(options(folder, **chosen), lambda _: None, lambda _: None).run()
    assert outcome.code == 0, outcome.problem
    assert outcome.mismatch["difference"] is None
    return outcome.report


def test_every_kind_can_be_addressed_and_done():
    assert {*addresses.names(), "reshape"} == {*tile_steps.names(), "reshape"} == set(KINDS)
    assert {one.kind for one in every_kind(0).operations} == set(KINDS)
    assert all(callable(addresses.tile_addresses(kind).blocks) for kind in addresses.names())


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return stored(every_kind(7), tmp_path_factory.mktemp("zoo"), 3)


@pytest.fixture(scope="module")
def events(zoo):
    return launched(zoo)["events"]


@pytest.mark.wide
@pytest.mark.parametrize(
    "chosen",
    some(
        [
            {"pes": 2, "batch": 1}, {"pes": 11, "batch": 3, "tiles": "smallest"}, {"pes": 9, "chips": 2, "tiles": "fastest"},
            {"share": "once", "resident": "weights", "pes": 6},
            {"share": "once", "resident": "both", "overlap": "double", "tiles": "fastest", "reduce": "mesh", "pes": 9},
        ],
        lambda chosen: "chips" in chosen,  # the other options are tried at once in tests/test_dnn_options.py
    ),
    ids=str,
)  # fmt: skip
def test_tiles_workers_and_chips_do_not_show(zoo, events, chosen):
    assert launched(zoo, **chosen)["events"] == events


@pytest.mark.wide
def test_parts_of_a_product_of_two_tensors_have_workers_of_their_own(tmp_path):
    zoo = Zoo(5)
    zoo.batch_matmul(zoo.input((2, 9, 70)), zoo.input((2, 70, 20)))  # 12 tiles of 4 parts
    report = launched(stored(zoo, tmp_path, 1), batch=1, pes=41, tiles="smallest", reduce="mesh")
    assert report["result"]["layers"][0]["pes"] == 36
    assert report["modelled"]["work"]["partials"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_shapes_are_as_the_reference_has_them(tmp_path, seed):
    launched(stored(every_kind(seed), tmp_path, 2), pes=7)


@pytest.mark.wide
@pytest.mark.parametrize("overlap", some(["none", "double"], "double".__eq__))
def test_rows_planes_and_tables_beyond_a_memory_are_cut(tmp_path, overlap):
    zoo = large_planes(3)
    report = launched(stored(zoo, tmp_path, 1), pes=5, overlap=overlap)
    tiles = [row["tiles"] for row in report["result"]["layers"]]
    assert all(count > 1 for count in tiles[:-1]), tiles


def test_a_row_that_cannot_be_cut_is_refused_by_name(tmp_path):
    zoo = Zoo(1)
    zoo.softmax(zoo.input((1, 2, 60_000)))
    with pytest.raises(HostError, match=r"^layer softmax0 \(softmax, 2 x 60,000 B\): no tile fits: .* needs 181,024 B") as caught:
        prepare(options(stored(zoo, tmp_path, 1)))
    assert caught.value.code is Exit.DOES_NOT_FIT


def test_whole_numbers_that_are_no_indices_are_refused_by_name(tmp_path):
    zoo = Zoo(1)
    zoo.table(zoo.input((1, 5), "int32"))
    with pytest.raises(ModelError, match=r"^input in0: its whole numbers go to table; PEs take them as rows of a gather"):
        prepare(options(stored(zoo, tmp_path, 1)))
