"""What the options of a DNN's run promise: fetching ahead, tensors and weights that stay, tiles and sums that are handed on,
samples of any kind, all with the answer of the plain run; and what DRAM and mesh carry less, or more, for it.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from host.cost.price import price
from host.errors import Exit, HostError
from host.faults import Faults
from host.workloads.dnn.input_files import read_inputs
from host.workloads.registry import prepare, workloads
from models.dnn.program import MOST_COUNTERS
from noc.exchange import Exchange
from noc.packet import SIGNAL, WRITE
from tests.test_dnn_runs import cnn, launched, options, run_of, truth  # noqa: F401 - fixtures
from tests.tools.examples import Example
from tests.tools.grids import some
from tests.tools.losses import run_with_losses
from tests.tools.processes import children, gone

pytestmark = pytest.mark.timeout(240)


@pytest.mark.wide
@pytest.mark.parametrize(
    "chosen",
    some([
        {"overlap": "double", "pes": 3}, {"resident": "activations"}, {"share": "once", "pes": 3, "tiles": "smallest"},
        {"resident": "both", "tiles": "fewest"},
        {"tiles": "smallest", "reduce": "mesh", "pes": 31, "batch": 1},
        {"tiles": "smallest", "reduce": "mesh", "pes": 23, "batch": 1, "overlap": "double", "share": "once"},
        {"resident": "activations", "tiles": "smallest", "pes": 5},
        {"resident": "activations", "pes": 9, "chips": 3, "share": "once"},
        {"resident": "both", "share": "once", "overlap": "double", "tiles": "fastest", "reduce": "mesh", "pes": 16, "batch": 5,
         "chips": 2},
    ], lambda chosen: len(chosen) == 1 or "chips" in chosen or ("overlap" in chosen and len(chosen) < 3)),
    ids=str,
)  # fmt: skip
def test_no_option_shows_in_a_tensor(cnn, truth, chosen):  # noqa: F811 - fixtures
    outcome = launched(cnn, **chosen)
    assert (outcome.code, outcome.problem) == (0, None)
    assert outcome.report["events"] == truth
    assert outcome.report["conservation"]["wrong"] == []


def moved(report):
    """Return what DRAMs read and wrote, and transfers by kind."""
    transfers = report["conservation"]["transfers"]
    kinds = np.sum(list(transfers["sent"].values()), axis=0)
    stores = transfers["dram"].values()
    return sum(one["read_bytes"] for one in stores), sum(one["written_bytes"] for one in stores), kinds.tolist()


@pytest.fixture(scope="module")
def plain(cnn):  # noqa: F811 - a fixture
    return launched(cnn).report


@pytest.mark.wide
def test_tensors_that_stay_are_neither_read_nor_written(cnn, plain):  # noqa: F811 - a fixture
    stays = launched(cnn, resident="activations").report
    (read, written, _), (read_less, written_less, (*_, probes)) = moved(plain), moved(stays)
    assert read_less < read
    assert written_less < written
    assert probes > 0
    counted = sum(row["dram_bytes"] for row in stays["result"]["layers"])
    assert counted < sum(row["dram_bytes"] for row in plain["result"]["layers"])
    assert moved(plain)[2][-1] == 0


@pytest.mark.wide
def test_the_fewest_transfers_are_fewer_than_those_of_the_fastest_tiles(cnn, plain):  # noqa: F811 - fixtures
    few = launched(cnn, tiles="fewest").report
    assert sum(moved(few)[2]) < sum(moved(plain)[2])


@pytest.mark.wide
def test_tiles_that_are_read_once_are_handed_on_or_kept(cnn):  # noqa: F811 - a fixture
    apart, once = (moved(launched(cnn, pes=3, tiles="smallest", share=share).report) for share in ("none", "once"))
    assert once[0] < apart[0]
    assert once[2][WRITE] == apart[2][WRITE]
    assert once[2][SIGNAL] > apart[2][SIGNAL]


@pytest.mark.wide
def test_parts_of_a_depth_go_over_the_mesh_and_are_added_up(cnn):  # noqa: F811 - a fixture
    alone, mesh = (launched(cnn, tiles="smallest", pes=23, batch=1, samples=2, reduce=where).report for where in ("worker", "mesh"))
    assert mesh["modelled"]["work"]["partials"] > 0
    assert moved(mesh)[2][SIGNAL] > moved(alone)[2][SIGNAL]
    assert mesh["modelled"]["work"]["mac_products"] == alone["modelled"]["work"]["mac_products"]


@pytest.mark.wide
def test_what_is_fetched_ahead_lies_behind_the_work(cnn):  # noqa: F811 - a fixture
    plain, ahead = (launched(cnn, tiles="smallest", pes=3, overlap=how).report for how in ("none", "double"))
    assert plain["modelled"]["work"].get("ahead", 0) == 0
    assert 0 < ahead["modelled"]["work"]["ahead"] < sum(moved(ahead)[:2])
    for row in ahead["result"]["layers"]:
        parts = row["parts_s"]
        work, moving = parts["array"] + parts["core"], max(parts["DMA"], parts["DRAM"])
        assert row["time_s"] >= parts["scheduling"] + max(work, moving) - 1e-12
    assert ahead["modelled"]["time_s"] < plain["modelled"]["time_s"]


@pytest.mark.wide
def test_a_price_changes_no_answer(cnn):  # noqa: F811 - a fixture
    job = prepare(options(cnn))
    from host.run.run import Run

    run = Run(job.placement, job.source, job.readout, fills=job.fills)
    run_with_losses(run)
    before, ledger = run.events.report(), run.recorder.ledger()
    from host.cost.cost_table import load_table
    from noc.chip import load_chip

    table, chip = load_table(used=ledger.twins), job.placement.chip
    times = {
        price(ledger, one, table).time_s for one in (chip, load_chip("spinnaker2", None, {"pe_clock_hz": 300_000_000}, "test"))
    }
    assert len(times) == 2
    assert run.events.report() == before


@pytest.mark.few(1)
@pytest.mark.parametrize("chosen", [{"share": "once", "pes": 6}, {"resident": "activations"}], ids=str)
def test_what_a_peer_does_not_hand_on_is_named(cnn, monkeypatch, chosen):  # noqa: F811 - a fixture
    put, lost = Exchange._put, []

    def losing(self, tick, transfer, name):
        of_workers = transfer.kind == SIGNAL and transfer.size_bytes > 32 and not lost and transfer.target.startswith("PE")
        if of_workers:
            lost.append(transfer)
            return
        put(self, tick, transfer, name)

    monkeypatch.setattr(Exchange, "_put", losing)
    run, _ = run_of(cnn, **chosen)
    with pytest.raises(AssertionError):
        run_with_losses(run)
    assert lost
    words = r"PE\(\d,\d,\d\)@0 (\(worker \d\): layer \w+, tile \d+: 1 of|\(scheduler\): layer \w+: PE\(\d,\d,\d\)@0 \(worker)"
    assert re.search(words, run.fault or ""), run.fault
    assert lost[0].number % (1 << 17) < MOST_COUNTERS


# ---- samples of any kind

SHAPES, FLOATS = {"x": (1, 1, 2, 3)}, {"x": "int8"}


def inputs_of(path, shapes=SHAPES, dtypes=FLOATS, pixels=(0.0, 1.0)):
    return read_inputs(f"--inputs {path.name}", path, shapes, dtypes, pixels)["x"]


def test_a_folder_of_images_and_a_folder_of_arrays(tmp_path):
    planes = np.array([[[0, 51, 102], [153, 204, 255]], [[255, 0, 0], [0, 0, 51]]], np.uint8)
    images, arrays = tmp_path / "images", tmp_path / "arrays"
    for folder in (images, arrays):
        folder.mkdir()
    for number, plane in enumerate(planes):
        Image.fromarray(plane).save(images / f"{number}.png")
        np.save(arrays / f"{number}.npy", plane[None].astype(np.float32) / 255)
    (images / "notes.md").write_text("no sample")
    assert np.allclose(inputs_of(images)[:, 0], planes / 255)
    assert np.allclose(inputs_of(images, pixels=(-1.0, 1.0))[:, 0], planes / 127.5 - 1)
    assert np.allclose(inputs_of(arrays), inputs_of(images))
    assert np.allclose(inputs_of(images / "1.png")[0, 0], planes[1] / 255)


def test_a_text_has_a_sample_a_line(tmp_path):
    text = tmp_path / "samples.txt"
    text.write_text("1 2 3 4 5 6\n\n-1, 0, 0.5, 0, 0, 2\n")
    assert inputs_of(text).tolist() == [[[[1, 2, 3], [4, 5, 6]]], [[[-1, 0, 0.5], [0, 0, 2]]]]
    text.write_text("hello!\nworld.\n")
    assert inputs_of(text, {"x": (1, 6)}, {"x": "int32"}).tolist() == [list(b"hello!"), list(b"world.")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "1 2 3\n", "line 1 has 3 numbers or bytes; a sample needs 6"),
        ("a.txt", "one two\n", "line 1 has words; the network takes numbers"),
        ("a.txt", "\n", "has no line with a sample"),
        ("a.bin", b"\x80\x81\x82", "is no text in UTF-8, no .npy or .npz file, no image and no folder"),
        ("a.png", b"no image", "is no image that can be read"),
        ("none.txt", None, "cannot be read (no such file)"),
    ],
    ids=str,
)
def test_samples_that_do_not_fit_are_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HostError) as caught:
        inputs_of(path)
    assert str(caught.value).startswith(f"--inputs {name}: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(HostError, match="needs 3 x 2 pixels, has 4 x 4; nothing is scaled here"):
        inputs_of(tmp_path)
    with pytest.raises(HostError, match="no planes of 1 or 3 colours"):
        inputs_of(tmp_path, {"x": (1, 16)})
    with pytest.raises(HostError, match=r"has no image and no \.npy file"):
        (tmp_path / "empty").mkdir()
        inputs_of(tmp_path / "empty")


def test_too_many_workers_cannot_know_each_other(cnn):  # noqa: F811 - a fixture
    with pytest.raises(HostError, match=r"^299 workers: at most \d+ hand on to each other; use fewer PEs") as caught:
        prepare(options(cnn, share="once", pes=300, chips=2))
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert len(prepare(options(cnn, share="once", pes=None, chips=2)).placement.pes) < 300


# ---- processes


@pytest.mark.wide
def test_a_killed_scheduler_is_named_and_a_killed_worker_is_replaced(tmp_path):
    example = Example(workloads()["dnn"], tmp_path)
    whole = example.run(transport="mem")
    of = {"+".join(str(pe["layer"]).split("+")): pe["name"] for pe in reversed(whole.layout["pes"])}  # the first worker has work
    slow = Faults(slow={of["worker"]: 0.1})

    def killing(name):
        return lambda: next(process for process in children() if process.name() == name).kill()

    ran = example.run_and_strike(killing(of["scheduler"]), transport="zmq", faults=slow)
    assert ran.outcome.code is Exit.DIED
    assert re.fullmatch(rf"{re.escape(of['scheduler'])} died \(SIGKILL\) while RUNNING, at tick \d+; with .*", ran.outcome.problem)
    ran = example.run_and_strike(killing(of["worker"]), transport="zmq", restart=True, faults=slow)
    assert ran.outcome.code is Exit.OK, ran.outcome.problem
    assert [restart["part"] for restart in ran.report["recovery"]["restarts"]] == [of["worker"]]
    assert ran.report["events"] == whole.report["events"]
    assert gone(children)
