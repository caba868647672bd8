"""The workload `arrays`: arrays in, arrays out, of any network, from files of any kind, sequences of any lengths."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from host.cli import main
from host.errors import HostError
from host.launch.launcher import Launcher
from host.run_folder import read_report
from host.workloads.arrays.expected_input import ExpectedInput, check_inputs
from host.workloads.arrays.lane_plan import LanePlan
from host.workloads.arrays.options import Options
from host.workloads.arrays.prepare import prepare_arrays
from host.workloads.arrays.read_arrays import read_inputs, save_features
from host.workloads.arrays.readout import ArrayReadout
from host.workloads.arrays.seeded_numbers import seeded_features
from host.workloads.arrays.source import ArraySource
from host.workloads.registry import restore_options
from models import shipped
from models.checkpoint import Model, save
from models.heads.affine import Affine, answer_of, front_of
from models.reference import Reference
from noc.packet import FRESH, RESET, VALID
from tests.tools.tiny import UNITS, tiny_network

pytestmark = pytest.mark.timeout(60)
LENGTHS = (5, 9, 3, 7, 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A bare stack of layers; three sequences of nine vectors; and sequences of several lengths."""
    folder = tmp_path_factory.mktemp("arrays")
    save(folder / "bare.safetensors", Model(tiny_network()))
    save_features(folder / "features.safetensors", seeded_features(3, 9, UNITS))
    np.savez(folder / "ragged.npz", *ragged())
    return folder


def ragged():
    return [seeded_features(1, length, UNITS, number)[0] for number, length in enumerate(LENGTHS, start=1)]


def launched(folder=None, **options):
    chosen = Options(**{"pes": 4, "transport": "mem"} | options)
    chosen.check()
    return Launcher(chosen, lambda _: None, lambda _: None, folder=folder).run()


def run(files, **options):
    """Run the first sequences of nine vectors."""
    both = {"checkpoint": str(files / "bare.safetensors"), "features": str(files / "features.safetensors")}
    return launched(**both | options)


def referenced(network, inputs):
    """What a plain reference says of one sequence: the last population's numbers, (time, units)."""
    reference, last = Reference(network), network.outputs[0]
    return np.stack([reference.step({0: x}, fresh=t == 0, reset=t == 0, idle=False)[last][0] for t, x in enumerate(inputs)])


@pytest.mark.wide
def test_every_event_is_the_reference_s_and_a_batch_is_its_sequences(files):
    done = run(files, batch=3, verify=True)
    assert done.problem is None
    assert done.mismatch["difference"] is None
    assert done.mismatch["compared"] == 3 * 9 * 68
    assert done.report["result"] == {"vectors": 27, "source": "features.safetensors", "note": ""}
    assert done.report["events"]["positions"] == 9
    for number, wanted in enumerate(done.report["events"]["sequences"]):
        one = files / f"one-{number}.safetensors"
        save_features(one, seeded_features(3, 9, UNITS)[number : number + 1])
        alone = run(files, features=str(one))
        assert alone.report["events"]["sequences"] == [wanted]
        assert alone.report["modelled"]["time_s"] > 0


@pytest.mark.wide
def test_sequences_of_any_lengths_give_one_answer_in_any_number_of_lanes(files, tmp_path):
    """Also between processes; and the answers are the reference's."""
    shas, answers = set(), []
    for number, options in enumerate(({}, {"batch": 1}, {"batch": 2, "verify": True}, {"batch": 3, "transport": "zmq"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "y.npz"
        inputs = {"checkpoint": str(files / "bare.safetensors"), "inputs": str(files / "ragged.npz"), "outputs": str(path)}
        done = launched(folder, **inputs, **options)
        assert done.problem is None
        assert done.report["result"]["vectors"] == sum(LENGTHS)
        assert done.mismatch is None or done.mismatch["difference"] is None
        shas.add(done.report["events"]["sha256"])
        with np.load(path) as saved:
            answers.append(saved["outputs"])
            assert saved["lengths"].tolist() == list(LENGTHS)
    assert len(shas) == 1
    assert all(np.array_equal(one, answers[0]) for one in answers)
    for sequence, inputs in enumerate(ragged()):
        assert np.array_equal(answers[0][sequence, : len(inputs)], referenced(tiny_network(), inputs))
        assert not answers[0][sequence, len(inputs) :].any()


def test_a_lane_takes_the_next_sequence_as_soon_as_it_is_free():
    plan = LanePlan(LENGTHS, 2)
    rows = [[plan.at(lane, position) for position in range(plan.positions + 1)] for lane in range(2)]
    assert rows[0] == [*((0, n) for n in range(5)), *((2, n) for n in range(3)), *((3, n) for n in range(7)), None]
    assert rows[1] == [*((1, n) for n in range(9)), (4, 0), *[None] * 6]
    assert plan.positions == 15


def test_a_sequence_begins_fresh_and_has_no_segments():
    feeds = ArraySource({0: SimpleNamespace(feed=lambda rows: (rows, b""))}, LanePlan((3, 3), 2))
    assert [feeds.next() for _ in range(4)] == [
        (0, VALID | FRESH | RESET, {0: ([0, 3], b"")}, b""), (1, VALID, {0: ([1, 4], b"")}, b""),
        (2, VALID, {0: ([2, 5], b"")}, b""), None,
    ]  # fmt: skip
    assert feeds.exhausted()


def test_fewer_vectors_are_the_first_ones(files):
    assert run(files, tokens=4).report["result"]["vectors"] == 4


@pytest.mark.wide
def test_between_processes_too(files):
    assert run(files, transport="zmq").report["events"]["sha256"] == run(files).report["events"]["sha256"]


def test_a_sequence_does_not_depend_on_how_many_follow():
    assert (seeded_features(3, 5, 7)[:1] == seeded_features(1, 5, 7)).all()


def test_options_of_the_workload_s_former_name_are_read():
    options = restore_options({"workload": "features", "features": "some.safetensors", "batch": 2})
    assert options == Options(features="some.safetensors", batch=2)


# -- a front end, a head and twins


@pytest.fixture(scope="module")
def surrounded():
    """A network of 20 inputs and outputs between linear layers 6 > 20 and, of twins, 10 > 3."""
    rng = np.random.default_rng(4)
    front = Affine(rng.standard_normal((UNITS, 6)).astype("f4"), rng.standard_normal(UNITS).astype("f4"), "relu")
    head = Affine(rng.standard_normal((3, UNITS // 2)).astype("f4"), np.ones(3, "f4"), "tanh")
    return Model(tiny_network(), front=(front,), head=(head,), twins=True)


def test_what_lies_around_the_network_is_applied_on_the_host(surrounded, tmp_path):
    """The answers are those of the reference's network between the same layers, to the bit."""
    features = [np.random.default_rng(n).standard_normal((n + 3, 6)).astype("f4") for n in range(2)]
    save(tmp_path / "m.safetensors", surrounded)
    save_file({"x.0": features[0], "x.1": features[1]}, tmp_path / "x.safetensors")
    done = launched(
        tmp_path, checkpoint=str(tmp_path / "m.safetensors"), inputs=str(tmp_path / "x.safetensors"), save=("outputs",), verify=True
    )
    assert done.problem is None
    assert done.mismatch["difference"] is None
    with np.load(tmp_path / "outputs.npz") as saved:
        for number, rows in enumerate(features):
            want = answer_of(surrounded, referenced(surrounded.network, front_of(surrounded, rows)))
            assert want.shape == (len(rows), 3)
            assert np.array_equal(saved["outputs"][number, : len(rows)], want)


def test_the_job_of_arrays_in_memory_expects_what_the_front_end_takes(surrounded):
    options = Options(checkpoint="m", pes=4, transport="mem")
    job = prepare_arrays(options, surrounded, {"input": [np.ones((2, 6), "f4"), np.ones((4, 6), "f4")]}, title="in memory")
    assert (job.options.batch, job.placement.request.lanes, job.source.positions) == (2, 2, 4)
    assert [output.shape for output in job.readout.outputs] == [(2, 3), (4, 3)]
    with pytest.raises(HostError, match=re.escape("inputs: input: needs (time, 6) for this network, has vectors of 20")):
        prepare_arrays(options, surrounded, {"input": [np.ones((2, UNITS), "f4")]}, title="in memory")
    with pytest.raises(HostError, match="--batch 3: the inputs have 1 sequences; use --batch 1 or fewer"):
        prepare_arrays(Options(batch=3), surrounded, {"input": [np.ones((2, 6), "f4")]}, title="in memory")


def test_a_readout_goes_on_from_a_snapshot(surrounded):
    first, second = (ArrayReadout(surrounded.network, LanePlan((2, 4), 2)) for _ in range(2))
    first.outputs[1][2] = 7.0
    second.restore(first.snapshot())
    assert all(np.array_equal(a, b) for a, b in zip(first.outputs, second.outputs, strict=True))


# -- files


def as_npy(path, arrays):
    np.save(path.with_suffix(".npy"), np.stack(arrays))
    return path.with_suffix(".npy")


def as_npz(path, arrays):
    np.savez(path.with_suffix(".npz"), x=np.stack(arrays))
    return path.with_suffix(".npz")


def as_padded_npz(path, arrays):
    padded = np.full((len(arrays), max(map(len, arrays)) + 1, arrays[0].shape[1]), np.nan, "f4")
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    np.savez(path.with_suffix(".npz"), x=padded, lengths=[len(array) for array in arrays])
    return path.with_suffix(".npz")


def as_safetensors(path, arrays):
    save_file({f"features.{n}": np.ascontiguousarray(array) for n, array in enumerate(arrays)}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def as_csv(path, arrays):
    rows = [",".join(map(repr, row.tolist())) for row in arrays[0]]
    path.with_suffix(".csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    return path.with_suffix(".csv")


@pytest.mark.parametrize("write", [as_npy, as_npz, as_padded_npz, as_safetensors, as_csv])
def test_every_kind_of_file_holds_the_same_arrays(tmp_path, write):
    arrays = [seeded_features(1, 4, 3, number)[0] for number in range(1 if write is as_csv else 3)]
    read = read_inputs(write(tmp_path / "x", arrays), [ExpectedInput("input", 3)], "x")
    assert list(read) == ["input"]
    (path := next(tmp_path.iterdir())).rename(tmp_path / "inputs_from_pipe")  # as what comes through a pipe is kept
    piped = read_inputs(tmp_path / "inputs_from_pipe", [ExpectedInput("input", 3)], "x")["input"]
    assert all(np.array_equal(one, want) for one, want in zip(piped, arrays, strict=True)), path
    assert all(one.dtype == np.float32 and np.array_equal(one, want) for one, want in zip(read["input"], arrays, strict=True))


def test_several_inputs_are_arrays_by_name(tmp_path):
    np.savez(tmp_path / "x.npz", camera=np.eye(3, dtype=np.uint8)[None], speed=np.arange(6).reshape(1, 3, 2))
    expected = [ExpectedInput("camera", 3, "spike"), ExpectedInput("speed", 2, "int8")]
    read = read_inputs(tmp_path / "x.npz", expected, "x")
    assert {name: (arrays[0].dtype.name, arrays[0].shape) for name, arrays in read.items()} == {
        "camera": ("uint8", (3, 3)), "speed": ("int8", (3, 2)),
    }  # fmt: skip


VECTORS = np.ones((4, UNITS), "f4")
ONE = [ExpectedInput("input", 3)]
TWO = [ExpectedInput("camera", 3, "spike"), ExpectedInput("speed", 2, "int8")]


@pytest.mark.parametrize(
    ("expected", "inputs", "line"),
    [
        (ONE, {"input": [np.ones((4, 2))]}, "x: input: needs (time, 3) for this network, has vectors of 2"),
        (ONE, {"input": [np.ones(3)]}, "x: input: needs (time, 3) for this network, has 1 dimensions (3,)"),
        (ONE, {"input": [np.ones((2, 3)), np.ones((0, 3))]}, "x: input, sequence 1: has no vectors; needs at least 1"),
        (ONE, {"input": []}, "x: input has no sequence; needs at least 1"),
        (ONE, {"input": [np.array([["a", "b", "c"]])]}, "x: input: needs numbers, has <U1"),
        (ONE, {"input": [np.ones((1, 3), complex)]}, "x: input: needs numbers, has complex128"),
        (ONE, {"input": [np.array([[0, 0, 0], [1, np.nan, np.inf]])]},
         "x: input: 2 numbers are not finite, first at vector 1, unit 1"),
        (ONE, {"input": [np.array([[0.5, 0.1, 0]])]},
         "x: input: needs numbers that float32 holds, has 1 others, first at vector 0, unit 1: 0.1; say how to round"),
        (ONE, {"input": [np.full((1, 3), 1e300)]}, "needs numbers that float32 holds"),
        (ONE, {"other": [np.ones((1, 3))]}, "x: has no array for input 'input'; needs input, has other"),
        (TWO, {"camera": [np.full((1, 3), 2)], "speed": [np.ones((1, 2))]},
         "x: camera: needs numbers that are 0 or 1 (spikes), has 3 others, first at vector 0, unit 0: 2"),
        (TWO, {"camera": [np.ones((1, 3))], "speed": [np.full((1, 2), 200)]}, "x: speed: needs numbers that int8 holds, has"),
        (TWO, {"camera": [np.ones((1, 3))], "speed": [np.ones((2, 2))]},
         "x: sequence 0: camera has 1 vectors and speed has 2; needs as many"),
        (TWO, {"camera": [np.ones((1, 3))] * 2, "speed": [np.ones((1, 2))]}, "x: camera has 2 sequences and speed has 1"),
        (TWO, {"camera": [np.ones((1, 3))], "speed": [np.ones((1, 2))], "z": []}, "x: has an array 'z', which is no input"),
    ],
)  # fmt: skip
def test_arrays_that_the_network_does_not_take_get_one_line(expected, inputs, line):
    with pytest.raises(HostError) as caught:
        check_inputs("x", expected, inputs)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.code == 2


def put_csv(text):
    return lambda path: path.write_text(text)


def put_npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def put_renamed(write, suffix):
    def put(path):
        write(path.with_suffix(suffix), np.ones(3))
        path.with_suffix(suffix).rename(path)

    return put


BATCH, ROW = np.ones((2, 2, 3)), np.ones((2, 3))


@pytest.mark.parametrize(
    ("name", "write", "expected", "line"),
    [
        ("x.npy", lambda path: None, ONE, "cannot be read (no such file)"),
        ("x.txt", put_csv("1,2,3\n"), ONE, "needs a name that ends in .npy, .npz, .csv, .safetensors"),
        ("x.npy", put_csv("1,2,3\n"), ONE, "cannot be read (ValueError"),
        ("x.npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), ONE, "cannot be read (ValueError"),
        ("x.npy", lambda path: np.save(path, np.array([[1, None]], object)), ONE, "cannot be read (ValueError: Object arrays"),
        ("x.npz", put_renamed(np.save, ".npy"), ONE, "is a .npy by what it holds; rename it"),
        ("x.npy", put_renamed(np.savez, ".npz"), ONE, "is a .npz by what it holds; rename it"),
        ("x.safetensors", put_csv("1,2,3\n"), ONE, "cannot be read (SafetensorError"),
        ("x.csv", put_csv("a,b,c\n"), ONE, "has no row of numbers"),
        ("x.csv", put_csv("1,2,3\n1,2\n"), ONE, "row 2 has 2 columns, the first has 3"),
        ("x.csv", put_csv("1,2,3\n1,x,3\n"), ONE, "row 2 has 'x', which is no number"),
        ("x.csv", put_csv("1,2,nan\n"), ONE, "1 number is not finite"),
        ("x.csv", put_csv("1,2,3\n"), TWO, "this network has 2 inputs; needs a .npz or .safetensors with an"),
        ("x.npz", put_npz(x=BATCH, lengths=[1, 3]), ONE, "lengths needs numbers from 1 to 2, has 1 to 3"),
        ("x.npz", put_npz(x=BATCH, lengths=[1.5]), ONE, "lengths needs a whole number for each of the 2"),
        ("x.npz", put_npz(**{"x.0": ROW, "x.2": ROW}), ONE, "need to be x.0 to x.1, has x.0, x.2"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_gets_one_line_and_leaves_nothing(
    files, tmp_path, capsys, monkeypatch, name, write, expected, line
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name)
    with pytest.raises(HostError) as caught:
        read_inputs(tmp_path / name, expected, f"--inputs {name}")
    assert line in str(caught.value)
    assert str(caught.value).startswith(f"--inputs {name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("array", "words", "line"),
    [
        (np.ones((4, UNITS + 1), "f4"), [], f"input: needs (time, {UNITS}) for this network, has vectors of {UNITS + 1}"),
        (np.full((4, UNITS), np.nan, "f4"), [], "numbers are not finite"),
        (np.ones((2, 4, UNITS), "f4"), ["--batch", "3"], "--batch 3: the inputs have 2 sequences; use --batch 2 or fewer"),
        (np.ones((2, 4, UNITS), "f4"), ["--tokens", "5"], "needs 5 vectors of each sequence, has 4"),
        (
            np.ones((4, UNITS), "f4"),
            ["--save", "logits"],
            "--save logits: arrays has none; have events, states",
        ),
        (VECTORS, ["--save", "spikes"], "--save spikes: needs any of events, states, outputs, logits"),
        (VECTORS, ["--outputs", "y.npy"], "--outputs y.npy: needs a name that ends in .npz"),
        (VECTORS, ["--outputs", "x.npz"], "--outputs x.npz: exists already; nothing is overwritten"),
        (
            np.ones((4, UNITS), "f4"),
            ["--outputs", "no/y.npz"],
            "--outputs no/y.npz: its folder does not exist or cannot be written",
        ),
        (VECTORS, ["--features", "x.npz"], "--inputs and --features: choose one"),
    ],
)
def test_what_cannot_be_run_ends_in_one_line_and_leaves_nothing(files, tmp_path, capsys, monkeypatch, array, words, line):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "x.npz", array)
    command = ["run", str(files / "bare.safetensors"), "--inputs", "x.npz", "--transport", "mem", "--pes", "4", *words]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n"), line in printed.err) == ("", 1, True), printed.err
    assert [path.name for path in tmp_path.iterdir() if not (path.is_dir() and not any(path.iterdir()))] == ["x.npz"]


# -- the command line


@pytest.mark.wide
def test_run_takes_a_model_and_writes_the_answers(files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["run", str(files / "bare.safetensors"), "--inputs", str(files / "ragged.npz"), "--outputs", "y.npz", "--pes", "4"]
    assert main([*command, "--transport", "mem", "--out", "out", "--no-pictures", "--no-monitor"]) == 0
    printed = capsys.readouterr().out
    assert "saved        y.npz (" in printed
    report = read_report(tmp_path / "out")
    assert report["saved"] == {"y.npz": (tmp_path / "y.npz").stat().st_size}
    assert {one["part"] for one in report["provenance"]["inputs"]} == {"checkpoint", "inputs"}
    plain = launched(checkpoint=str(files / "bare.safetensors"), inputs=str(files / "ragged.npz"))
    assert plain.report["events"]["sha256"] == report["events"]["sha256"]


def test_run_needs_a_model(capsys):
    assert main(["run", "--inputs", "x.npy"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("gennaker: run: needs MODEL, a checkpoint file, ")
    assert line.endswith(f", {', '.join(shipped.names())} or seeded\n")


@pytest.mark.wide
def test_the_seeded_network_by_its_name_takes_its_sizes(tmp_path, capsys):
    small = ["--input", "4", "--layers", "6,5", "--tokens", "3", "--transport", "mem", "--no-pictures"]
    hashes = []
    for number, words in enumerate((["run", "seeded"], ["features"])):
        assert main([*words, *small, "--out", str(tmp_path / str(number))]) == 0
        hashes.append(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("sha256")))
    assert hashes[0] == hashes[1]


def test_model_and_checkpoint_are_one_thing(capsys):
    assert main(["run", "tiny", "--checkpoint", "lm"]) == 2
    assert "MODEL tiny and --checkpoint lm: choose one, they are the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"layers": (8, 8)}, "checkpoint and layers: choose one, layers is of a seeded network"),
        ({"checkpoint": None, "threshold": 0.1, "activity": 0.2}, "threshold and activity: choose one"),
        (
            {"checkpoint": None, "input": 8, "layers": (8, 8)},
            "input, sequence 0: needs (time, 8) for this",
        ),
        ({"batch": 4}, "needs 4 sequences, has 3"),
    ],
)
def test_options_that_contradict_each_other_get_one_line(files, wrong, line):
    if ("checkpoint" in wrong and "threshold" not in wrong) or "batch" in wrong:
        outcome = run(files, **wrong)
        assert (outcome.code, line in outcome.problem) == (2, True)
        return
    with pytest.raises(HostError, match=re.escape(line)):
        run(files, **wrong)


def test_a_seeded_network_on_seeded_numbers_needs_no_file(files):
    done = run(files, checkpoint=None, features=None, input=8, layers=(8, 8), tokens=3, verify=True)
    assert done.mismatch["difference"] is None
    assert done.report["result"]["vectors"] == 3


def test_sizes_that_are_none_get_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["features", "--layers", "8,b"])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1)
    assert "argument --layers: needs sizes such as 64,64,20, has '8,b'" in error
