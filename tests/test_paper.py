"""The paper's tables: inside the bars that the project sets itself, and the document in docs/ is what the command writes.

One run of the whole command serves most tests; the prices it shows are modelled, so they are the same on every machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from host.cli import main
from host.commands import paper as command
from host.commands.paper_tables import PUBLISHED, Perplexity, aligned, document, error, table_1, table_3
from host.cost.cycles import STAGES
from host.options import LmOptions
from host.workloads.dvs.prepare import paper_sized
from models.checkpoint import load, save
from models.seeded import seeded_egru

pytestmark = pytest.mark.timeout(300)
LM, DVS = PUBLISHED["table2"]["spinnaker2"], PUBLISHED["table3"]["spinnaker2"]


def made(folder, *flags):
    """Run the command; return its folder, its figures and what it printed."""
    seen = []
    real = command.measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "measure", lambda options, out: seen.append(real(options, out)) or seen[0])
        assert main(["paper", "--transport", "mem", "--out", str(folder), *flags]) == 0
    return folder, seen[0]


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return made(tmp_path_factory.mktemp("paper") / "default")


@pytest.fixture
def figures(default):
    return default[1]


def test_table_1_weights_of_the_busiest_pe(default):
    memory = default[1].memory
    assert memory.worst["weights"] == pytest.approx(88_300, rel=0.025)
    assert memory.weights["packed"] < 0.75 * memory.worst["weights"]
    assert memory.weights["dense"] is None


def test_table_2_the_language_model(default):
    cost = default[1].language
    assert 1e3 * cost.time_s == pytest.approx(LM["time_ms"], rel=0.07)
    assert cost.time_band_s[0] < 1e-3 * LM["time_ms"] < cost.time_band_s[1]
    assert cost.power_band_w[0] < LM["power_w"] < cost.power_band_w[1]
    assert cost.energy_band_j[0] < LM["energy_j"] < cost.energy_band_j[1]
    assert cost.power_w == pytest.approx(LM["power_w"], rel=0.10)
    assert cost.energy_j == pytest.approx(LM["energy_j"], rel=0.10)


def test_table_3_the_gesture_network_at_the_same_prices(figures):
    alone, six = figures.gesture
    assert 1e3 * alone.time_s == pytest.approx(DVS["time_ms"][0], rel=0.05)
    assert 1e3 * six.time_s / 6 == pytest.approx(DVS["time_ms"][1], rel=0.08)
    assert alone.energy_j == pytest.approx(DVS["energy_j"][0], rel=0.10)
    assert six.energy_j / 6 == pytest.approx(DVS["energy_j"][1], rel=0.10)
    assert alone.settings == six.settings == figures.language.settings


@pytest.mark.parametrize("trained", [True, False])
def test_table_3_is_of_the_trained_network_where_it_is_there(tmp_path, monkeypatch, trained):
    """And of a seeded one of the same sizes where it is not; time and energy depend on the sizes alone."""
    runs, path = [], tmp_path / "gesture-plain.safetensors"
    if trained:
        model = paper_sized()
        save(path, replace(model, gesture=replace(model.gesture, record={"accuracy": 0.9375})))
    monkeypatch.setattr(command, "SHIPPED_PLAIN", path)
    monkeypatch.setattr(command, "_run", lambda folder, options: runs.append((folder.name, options)))
    accuracy = command._gestures(LmOptions(transport="mem"), tmp_path)
    assert accuracy == (0.9375 if trained else None)
    assert [(name, o.batch, o.pes, o.format, o.transport) for name, o in runs] == [
        ("gesture-1", 1, 128, "dense", "mem"),
        ("gesture-6", 6, 128, "dense", "mem"),
    ]
    assert [o.workload for _, o in runs] == ["dvs" if trained else "lm"] * 2
    for _, options in runs:
        options.check()
        assert options.checkpoint == "plain" if trained else load(Path(options.checkpoint)).network.layers


def test_the_accuracy_stands_in_table_3_as_one_on_other_data(figures):
    trained, seeded = replace(figures, accuracy=0.9375), replace(figures, accuracy=None)
    assert "| 93.75 |" in " ".join(table_3(trained).split())
    assert "other data" in table_3(trained)
    assert "not trained" in table_3(seeded)
    assert "synthetic event camera" in document(trained)
    assert "a seeded one of the right shapes" in document(seeded)


def test_figure_2_adds_up_and_is_what_the_text_says_of_it(figures):
    layers = figures.language.stages_s
    by_stage = {stage: sum(one[stage] for one in layers.values()) for stage in STAGES}
    assert sum(by_stage.values()) == pytest.approx(figures.language.time_s)
    assert max(by_stage, key=by_stage.get) == "egru_internal"
    assert by_stage["broadcast"] < 0.1 * by_stage["egru_internal"]
    first, second, third = layers.values()
    assert first["egru_internal"] > 1.5 * first["egru_input"]
    assert second["egru_internal"] == pytest.approx(second["egru_input"], rel=0.03)
    assert third["egru_internal"] < third["egru_input"]


def test_what_the_text_says_of_changed_settings(figures):
    """The text under "misses" and "cannot decide" leans on these."""
    others, base = figures.others, figures.language
    assert others["waiting PEs sleep"][0].power_w == pytest.approx(0.75 * LM["power_w"], rel=0.05)
    assert others["300 MHz, 0.8 V"][0].power_w > 2 * LM["power_w"]
    assert others["layers pipelined"][0].time_s < 0.5 * base.time_s
    assert all(priced.work == base.work for priced in (others["branch refill of 2 cycles"][0], others["DRAM prefetched"][0]))
    assert set(others) == set(command.OTHERS)


def test_files_are_written(default):
    folder = default[0]
    for name, head in (("figure2.png", b"\x89PNG"), ("figure2.svg", b"<?xml"), ("paper.md", b"# Beside")):
        content = (folder / name).read_bytes()
        assert content.startswith(head)
        assert len(content) > 4000
    for run in ("lm", "gesture-1", "gesture-6"):
        assert {"report.json", "config.json", "mapping.json", "ledger.safetensors"} <= {p.name for p in (folder / run).iterdir()}


def test_the_document_in_docs_is_what_the_command_writes(default):
    """Refresh it with `launch.py paper --transport mem --write-docs`."""
    assert (command.ROOT / "docs" / "paper.md").read_text(encoding="utf-8") == (default[0] / "paper.md").read_text(encoding="utf-8")
    for name in ("figure2.png", "figure2.svg"):
        assert (command.ROOT / "docs" / name).stat().st_size > 4000


def test_the_same_figures_from_the_document(figures):
    text = document(figures)
    assert error(1e3 * figures.language.time_s, LM["time_ms"]) in text
    assert f"{figures.memory.worst['weights']:,}" in table_1(figures.memory)
    assert "{" not in text.replace("{zmq|mem}", "")
    assert text.endswith("\n")


# -- perplexity --


def test_a_seeded_network_has_no_perplexity(figures):
    report = {"lm": {"perplexity": 5000.0, "split": "test", "tokens": 70, "state": "zeroed"}}
    assert command.perplexity_of(None, report) == Perplexity()
    assert "has learnt nothing" in document(replace(figures, perplexity=Perplexity(), seeded=True))


@pytest.mark.parametrize(
    ("entries", "trainer"),
    [
        ([{"split": "test", "tokens": 70, "state": "zeroed", "perplexity": 120.04}], 120.04),
        ([{"split": "valid", "tokens": 70, "state": "zeroed", "perplexity": 1.0}], None),
        ([{"split": "test", "tokens": 71, "state": "zeroed", "perplexity": 1.0}], None),
        ([{"split": "test", "tokens": 70, "state": "carried", "perplexity": 1.0}], None),
        ([{"split": "test", "tokens": 70, "state": "zeroed"}], None),
        ("nonsense", None),
        (["nonsense"], None),
        (None, None),
    ],
)
def test_the_trainer_s_perplexity_is_shown_only_over_the_same_tokens(figures, entries, trainer):
    model = SimpleNamespace(provenance={} if entries is None else {"first_tokens": entries})
    report = {"lm": {"tokens": 70, "state": "zeroed", "perplexity": 120.0401}}
    found = command.perplexity_of(model, report)
    assert found == Perplexity(120.0401, trainer)
    text = document(replace(figures, perplexity=found))
    assert ("equal to four digits" in text) is (trainer is not None)
    assert "120" in text


def test_a_perplexity_that_differs_is_called_that(figures):
    text = document(replace(figures, perplexity=Perplexity(120.0, 120.2)))
    assert "NOT equal to four digits" in text


# -- what can go wrong --


def test_a_run_that_fails_ends_in_one_line(tmp_path, capsys, folder):
    """The tiny model has fewer units than the table has PEs."""
    code = main(["paper", "--checkpoint", str(folder / "tiny.safetensors"), "--out", str(tmp_path / "out"), "--transport", "mem"])
    assert code == 3
    assert capsys.readouterr().err.startswith("gennaker: --pes 150: ")


@pytest.mark.parametrize(
    ("flags", "line"),
    [(("--transport", "tcp"), "unknown transport 'tcp'"), (("--checkpoint", "missing.safetensors"), "no such file")],
)
def test_a_wrong_flag_ends_in_one_line(tmp_path, capsys, flags, line):
    assert main(["paper", "--out", str(tmp_path / "out"), *flags]) == 2
    error_ = capsys.readouterr().err
    assert line in error_
    assert error_.count("\n") == 1


def test_an_output_folder_that_exists(tmp_path, capsys):
    assert main(["paper", "--out", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_memory_names_what_does_not_fit():
    memory = command.memory_of(seeded_egru(40, (120, 40), density=1.0), LmOptions(pes=20))
    assert memory.fewest_pes["dense"] is not None
    assert "PEs needed, dense" in table_1(memory)


def test_a_table_lines_up():
    lines = aligned(("a", "bb"), [("long", "1"), ("x", "22222")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "|------|------:|"
