"""The Python face, all in this process: load, fit, run, results, cost; and every wrong input in one line, with nothing left."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gennaker as gk
from host.cli import main
from host.run_folder import read_report
from models.checkpoint import Model, save
from models.seeded import seeded_egru

FEATURES, ANSWERS = 8, 12


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("face") / "small.safetensors"
    save(path, Model(seeded_egru(FEATURES, (16, ANSWERS), 0.9, seed=3, threshold=0.1)))
    return path


@pytest.fixture(scope="module")
def model(path):
    return gk.load(path)


@pytest.fixture(scope="module")
def plan(model):
    return model.fit(pes=4, mapping="balanced")


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(plan, x, **options):
    return plan.run(x, transport="mem", **options)


@pytest.fixture(scope="module")
def batch_run(plan):
    return run(plan, numbers(3, 10, FEATURES), save=("outputs", "events", "states"))


# --- forms of x ---


@pytest.mark.wide
def test_one_sequence_a_batch_and_a_list_give_outputs_of_their_form(plan):
    x = numbers(3, 10, FEATURES)
    batch, ragged = run(plan, x), run(plan, [x[0], x[1, :4], x[2, :7]])
    assert batch.outputs.shape == (3, 10, ANSWERS)
    assert [y.shape for y in ragged.outputs] == [(10, ANSWERS), (4, ANSWERS), (7, ANSWERS)]
    alone = run(plan, x[1])
    assert alone.outputs.shape == (10, ANSWERS)
    np.testing.assert_array_equal(alone.outputs, batch.outputs[1])
    np.testing.assert_array_equal(ragged.outputs[1], batch.outputs[1, :4])
    assert any(np.abs(y).max() > 0 for y in ragged.outputs)


@pytest.mark.wide
def test_a_torch_tensor_is_taken_as_an_array(plan):
    torch = pytest.importorskip("torch")
    x = numbers(2, 5, FEATURES)
    tensor = torch.from_numpy(x).requires_grad_()
    np.testing.assert_array_equal(run(plan, tensor).outputs, run(plan, x).outputs)


@pytest.mark.wide
def test_a_batch_of_a_plan_is_how_many_run_side_by_side(model):
    x = numbers(3, 6, FEATURES)
    together, in_turn = run(model.fit(pes=4), x), run(model.fit(pes=4, batch=1), x)
    assert together.sha256 == in_turn.sha256
    np.testing.assert_array_equal(together.outputs, in_turn.outputs)
    assert together.report["mapping"]["lanes"] == 3
    assert in_turn.report["mapping"]["lanes"] == 1


# --- what came of it ---


def test_outputs_are_the_events_of_the_last_layer(batch_run):
    events = batch_run.events
    last = events[events["population"] == batch_run.populations.index("egru2")]
    again = np.zeros_like(batch_run.outputs)
    again[last["sequence"], last["position"], last["unit"]] = last["value"]
    np.testing.assert_array_equal(again, batch_run.outputs)
    assert len(last) > 0


def test_states_are_by_layer_and_field_in_the_form_of_x(batch_run):
    states = batch_run.states
    assert set(states) == {"egru1", "egru2"}
    assert all(array.shape[:2] == (3, 10) for of in states.values() for array in of.values())
    assert any(np.abs(array).max() > 0 for array in states["egru1"].values())


def test_what_was_not_kept_says_so(plan):
    with pytest.raises(gk.Error, match=r"run.states: was not kept; run with save=\('outputs', 'events', 'states'\)"):
        run(plan, numbers(2, FEATURES)).states  # noqa: B018 - it raises


def test_metrics_and_cost_are_those_of_the_report(batch_run):
    assert batch_run.metrics["events"] == len(batch_run.events)
    modelled = batch_run.report["modelled"]
    assert batch_run.time_s == gk.Band(modelled["time_s"], *modelled["time_band_s"])
    assert batch_run.energy_j == gk.Band(modelled["energy_j"], *modelled["energy_band_j"])
    assert sum(row["seconds"] for row in batch_run.cost.stages()) == pytest.approx(modelled["time_s"])


def test_another_price_runs_nothing(batch_run, monkeypatch):
    monkeypatch.setattr("host.run.run.Run.__init__", None)
    fast = batch_run.price(clock="300MHz", schedule="pipelined")
    assert fast.time_s.value < batch_run.time_s.value
    assert fast.settings["schedule"] == "pipelined"
    with pytest.raises(gk.WrongInput, match="clok"):
        batch_run.price(clok="300MHz")


def test_frames_and_datasets_are_made_when_asked_for(batch_run, plan):
    pd, xr = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    assert isinstance(plan.table(frame=True), pd.DataFrame)
    assert list(plan.table(frame=True)["pe"]) == [row["pe"] for row in plan.table()]
    assert set(batch_run.events_frame()["layer"]) == {"egru1", "egru2"}
    assert isinstance(batch_run.cost.stages(frame=True), pd.DataFrame)
    data = batch_run.to_xarray()
    assert isinstance(data, xr.Dataset)
    np.testing.assert_array_equal(data["outputs"], batch_run.outputs)
    assert data["outputs"].dims == ("sequence", "time", "outputs.unit")


@pytest.mark.wide
def test_neither_pandas_nor_torch_is_imported_unasked():
    import subprocess
    import sys

    code = (
        "import sys, gennaker as gk; gk.load('tiny').fit().table();"
        "print({'pandas', 'xarray', 'torch', 'IPython', 'matplotlib'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_text_and_html_name_what_there_is(model, plan, batch_run):
    for thing in (model, plan, batch_run, batch_run.cost):
        assert "<table>" in thing._repr_html_()
    assert "8 > 16 > 12" in repr(model)
    assert "4 PEs" in str(plan)
    assert batch_run.sha256 in str(batch_run)


def test_html_escapes_what_comes_from_a_file(model):
    evil = gk.Model(model.checkpoint, name="<script>alert(1)</script>")
    assert "<script>" not in evil._repr_html_()


# --- the same as the command line ---


@pytest.mark.wide
def test_the_folder_and_the_hash_are_the_command_lines(path, plan, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = numbers(2, 6, FEATURES)
    np.save("x.npy", x)
    ours = run(plan, x, save=("outputs", "events"))
    kept = ours.save("ours")
    flags = ["--pes", "4", "--mapping", "balanced", "--transport", "mem", "--save", "outputs,events"]
    assert main(["run", str(path), "--inputs", "x.npy", "--out", "theirs", "--no-monitor", *flags]) == 0
    capsys.readouterr()
    theirs = read_report(Path("theirs"))
    assert theirs["events"]["sha256"] == ours.sha256
    ours_have, theirs_have = ({file.name for file in folder.iterdir()} for folder in (kept, Path("theirs")))
    assert ours_have | {"answers.json"} == theirs_have | {"inputs.npz"}
    for name in ("events.npz", "outputs.npz"):
        with np.load(f"ours/{name}") as a, np.load(f"theirs/{name}") as b:
            assert {key: a[key].tobytes() for key in a.files} == {key: b[key].tobytes() for key in b.files}
    report = read_report(Path("ours"))
    same = (
        "schema",
        "workload",
        "unit",
        "partial",
        "events",
        "result",
        "metrics",
        "mapping",
        "counters",
        "conservation",
        "modelled",
    )
    for key in same:
        if key != "result":  # which names the file that the input came from
            assert report[key] == theirs[key], key
    assert report.keys() | {"answers"} == theirs.keys()


@pytest.mark.wide
def test_the_config_of_a_saved_run_repeats_it(plan, tmp_path, capsys):
    ours = run(plan, numbers(2, 6, FEATURES))
    folder = ours.save(tmp_path / "ours", pictures=False)
    code = main(["run", "--config", str(folder / "config.json"), "--out", str(tmp_path / "again"), "--no-monitor", "--no-pictures"])
    assert code == 0, capsys.readouterr().err
    assert read_report(tmp_path / "again")["events"]["sha256"] == ours.sha256


def test_nothing_is_written_over(plan, model, tmp_path):
    ours = run(plan, numbers(2, FEATURES))
    (tmp_path / "there").mkdir()
    with pytest.raises(gk.WrongInput, match="exists already"):
        ours.save(tmp_path / "there")
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(gk.WrongInput, match="exists already"):
        model.save(tmp_path / "m.safetensors")


def test_verify_compares_with_the_reference(plan):
    assert run(plan, numbers(2, FEATURES), verify=True).report["verify"]["difference"] is None


# --- load ---


@pytest.mark.wide
def test_a_file_that_changes_after_load_is_not_what_runs(tmp_path):
    file, x = tmp_path / "m.safetensors", numbers(3, 4)
    save(file, Model(seeded_egru(4, (6,), 0.9, seed=1, threshold=0.1)))
    model = gk.load(file)
    before = run(model.fit(), x).sha256
    _saved(tmp_path / "other.safetensors", seed=2).replace(file)
    assert run(model.fit(), x).sha256 == before
    assert run(gk.load(file).fit(), x).sha256 != before


def _saved(path, seed):
    save(path, Model(seeded_egru(4, (6,), 0.9, seed=seed, threshold=0.1)))
    return path


@pytest.mark.wide
def test_a_mirrored_gru_from_torch_gives_torchs_numbers(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    gru = torch.nn.GRU(5, 7, 2, batch_first=True)
    torch.save(gru.state_dict(), tmp_path / "gru.pth")
    x = numbers(2, 9, 5)
    expected = gru(torch.from_numpy(x))[0].detach().numpy()
    for source in (gru, tmp_path / "gru.pth"):
        model = gk.load(source)
        assert capsys.readouterr().out == f"{model}\n"  # what was read, left out, and is exact
        assert model.exact is True
        assert any("twin" in note for note in model.notes)
        np.testing.assert_allclose(run(model.fit(pes=2, mapping="balanced"), x).outputs, expected, atol=1e-6)


@pytest.mark.wide
def test_options_of_load_are_those_of_import(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.nn.GRU(3, 4).state_dict()}, tmp_path / "gru.pth")
    gru = torch.nn.GRU(3, 4)
    assert gk.load(gru, gru="plain").layers == {"egru1": 4}
    with pytest.raises(gk.WrongInput, match=r"no option 'zonout'; have .*did you mean 'zoneout'"):
        gk.load(gru, zonout=0.1)
    with pytest.raises(gk.WrongInput, match="mirored"):
        gk.load(gru, gru="mirored")


def test_shipped_models_have_names():
    assert gk.load("tiny").name.startswith("tiny")


# --- what can be wrong ---

NAN, WIDE, FLAT = numbers(4, FEATURES), numbers(4, FEATURES + 1), numbers(FEATURES)
NAN[2, 3] = np.nan
WRONG = {
    "not finite": (NAN, r"x: input: 1 number is not finite, first at vector 2, unit 3"),
    "width": (WIDE, r"x: input: needs \(time, 8\) for this network, has vectors of 9"),
    "one dimension": (FLAT, r"x: needs \(time, features\) or \(sequences, time, features\), has the shape \(8,\)"),
    "four dimensions": (numbers(1, 1, 2, FEATURES), r"x: needs \(time, features\)"),
    "text": (np.full((2, FEATURES), "a"), r"x: input: needs numbers, has <U1"),
    "doubles that do not fit": (np.full((2, FEATURES), 0.1), r"float32.*astype"),
    "nothing": (np.zeros((0, FEATURES), np.float32), r"x: input: has no vectors"),
    "no sequence": ([], r"x: "),
    "None": (None, r"x: needs an array of numbers"),
    "ragged lists": ([[1.0, 2.0], [3.0]], r"x: needs an array of numbers"),
    "another input": ({"inputs": numbers(2, FEATURES)}, r"x: has no array for input 'input'; needs input, has inputs"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_x_is_one_line_and_leaves_nothing(case, plan, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    x, line = WRONG[case]
    for transport in ("mem", "zmq"):  # refused before a process starts
        with pytest.raises(gk.WrongInput, match=line) as caught:
            plan.run(x, transport=transport)
        assert len(str(caught.value).splitlines()) == 1
        assert caught.value.__cause__ is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"transport": "tcp"}, r"unknown transport 'tcp'|transport 'tcp'"),
        ({"save": ["logit"]}, r"save 'logit': needs any of outputs, events, states"),
        ({"stall_s": -1.0}, r"stall"),
    ],
)
def test_a_wrong_option_of_a_run_is_one_line(plan, options, line):
    with pytest.raises(gk.WrongInput, match=line) as caught:
        plan.run(numbers(2, FEATURES), **options)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"mapping": "unifrom"}, r"unknown mapping 'unifrom'.*did you mean 'uniform'"),
        ({"format": "coo"}, r"unknown weight format 'coo'"),
        ({"pes": 0}, r"pes.*0: needs a whole number of at least 1"),
        ({"batch": 1.5}, r"batch.*1.5: needs a whole number"),
        ({"chip": "spinnaker3"}, r"spinnaker3"),
    ],
)
def test_a_wrong_option_of_fit_is_one_line_without_flags(model, options, line):
    with pytest.raises(gk.WrongInput, match=line) as caught:
        model.fit(**options)
    assert len(str(caught.value).splitlines()) == 1
    assert "--" not in str(caught.value)


def test_too_few_sequences_for_a_batch(model):
    with pytest.raises(gk.WrongInput, match=r"x: has 2 sequences, the plan was fit for a batch of 3; fit\(batch=2\)"):
        run(model.fit(batch=3), numbers(2, 4, FEATURES))


@pytest.mark.slow
def test_what_does_not_fit_has_its_numbers(tmp_path):
    path = tmp_path / "wide.safetensors"
    save(path, Model(seeded_egru(256, (400,), 0.9, seed=1)))
    model = gk.load(path)
    with pytest.raises(gk.DoesNotFit, match=r"region .* needs .* free of .*pes=") as caught:
        model.fit(pes=2)
    error = caught.value
    assert error.region
    assert error.need > error.free >= 0
    assert "--" not in str(error)
    plan = model.fit(pes=error.fewest_pes)
    assert plan.pes == error.fewest_pes
    with pytest.raises(gk.DoesNotFit):
        model.fit(pes=error.fewest_pes - 1)
    with pytest.raises(gk.DoesNotFit) as caught:  # one sequence fits, a thousand do not
        run(plan, numbers(1000, 1, 256))
    assert caught.value.need > 0


@pytest.mark.parametrize("source", [3, None, object()])
def test_load_takes_a_path_or_a_module(source):
    with pytest.raises(gk.WrongInput, match=r"load: needs a path or a torch.nn.Module, has "):
        gk.load(source)


def test_a_file_of_another_kind_is_one_line(tmp_path):
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"no checkpoint at all")
    with pytest.raises(gk.WrongInput) as caught:
        gk.load(file)
    assert len(str(caught.value).splitlines()) == 1


# --- a property: whatever network and arrays, any placement gives one answer ---


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 8), min_size=1, max_size=2), st.integers(0, 99), st.data())
def test_one_answer_on_any_pes(tmp_path_factory, features, layers, seed, data):
    path = tmp_path_factory.mktemp("any") / "m.safetensors"
    save(path, Model(seeded_egru(features, layers, 1.0, seed=seed, threshold=0.05)))
    model, x = gk.load(path), numbers(2, 5, features, seed=seed)
    pes = data.draw(st.integers(len(layers), sum(layers)))
    one, other = run(model.fit(pes=len(layers)), x), run(model.fit(pes=pes, format="dense"), x)
    assert one.sha256 == other.sha256
    np.testing.assert_array_equal(one.outputs, other.outputs)


# --- what a notebook and a hasty user see ---


def test_one_name_to_save_needs_no_list(plan):
    run = plan.run(np.zeros((2, 8), np.float32), save="states", transport="mem")
    assert run.states["egru1"]["cell"].shape == (2, 16)
    with pytest.raises(gk.WrongInput, match="save 'statess': needs any of"):
        plan.run(np.zeros((2, 8), np.float32), save="statess", transport="mem")


def test_settings_of_a_price_are_named_as_they_were_written(batch_run):
    with pytest.raises(gk.WrongInput, match=r"^clok=3: unknown name"):
        batch_run.price(clok=3)


def test_a_plan_says_where_few_units_take_many_pes(model, plan):
    wide = model.fit()
    assert "pes=N takes fewer" in wide.advice
    assert wide.advice in str(wide) and wide.advice in wide._repr_html_()
    assert plan.advice == ""  # four were asked for


def test_numbers_of_a_table_are_flush_right(plan):
    table = plan._repr_html_()
    assert "<td style='text-align:right;vertical-align:top'>8</td>" in table
    assert "<td style='text-align:left;vertical-align:top'>egru1</td>" in table


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("use --pes 146, or --mapping balanced", "use pes=146, or mapping=balanced"),
        ("linear is a guess: --head-activation says otherwise", "linear is a guess: head_activation says otherwise"),
        ("--front and --head name those to take", "front and head name those to take"),
        ("--set clock=9: unknown", "clock=9: unknown"),
    ],
)
def test_flags_in_a_line_are_keywords_in_python(line, said):
    from gennaker.errors import in_python

    assert in_python(line) == said


@pytest.mark.wide
def test_notes_name_options_as_python_takes_them():
    torch = pytest.importorskip("torch")
    net = torch.nn.ModuleDict({"gru": torch.nn.GRU(3, 4), "head": torch.nn.Linear(4, 2)})
    notes = " ".join(gk.load(net).notes)
    assert "head_activation says otherwise" in notes and "--" not in notes
