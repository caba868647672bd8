"""The command line as a user meets it: what they type, what they get, and one line with an exit code for what they get wrong."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from host.cli import main
from host.run_folder import read_report
from models.checkpoint import Model, load, save
from models.seeded import seeded_gesture
from tests.tools.command_lines import Done, run_command

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def launch(capfd, monkeypatch, tmp_path):
    """Return a function that runs `launch.py` in an empty folder; within this process, which saves its start."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments: object) -> Done:
        return run_command(main, arguments, capfd.readouterr)

    return go


@pytest.fixture
def tiny(launch, folder):
    """Return a function that runs `launch.py lm` on the tiny model; without pictures, which take longer than the run."""

    def go(*arguments, command="lm", model=folder / "tiny.safetensors", text=folder / "text.txt", pictures=False):
        source = () if text is None else ("--text", text)
        leave_out = () if pictures else ("--no-pictures",)
        return launch(command, "--checkpoint", model, *source, "--out", "out", *leave_out, *arguments)

    return go


@pytest.mark.wide
def test_the_script_itself(folder, tmp_path):
    """From another folder, as a process of its own; what lies there is not taken for a part of the program."""
    (tmp_path / "host.py").write_text("raise SystemExit('imported from the current folder')")
    command = [sys.executable, str(ROOT / "launch.py"), "lm", "--checkpoint", str(folder / "tiny.safetensors"), "--pes", "3"]
    done = subprocess.run(
        [*command, "--prompt", "w1", "--generate", "3", "--no-pictures"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (folder_of_run,) = (tmp_path / "runs").iterdir()
    assert folder_of_run.name.startswith("lm-")


# What other tools rely on; all keys are in docs/report.md.
KEYS = [
    *(f"events.{key}" for key in ("sha256", "count", "sparsity_by_layer")),
    *(f"result.{key}" for key in ("tokens", "perplexity", "source")),
    *(f"mapping.{key}" for key in ("chips", "pes")),
    *(f"mapping.sram.worst.{key}" for key in ("program", "weights", "variables", "debug", "free")),
    *(f"counters.{key}" for key in ("macs", "packets_sent", "packets_delivered", "packets_dropped")),
    *(f"emulation.{key}" for key in ("processes", "start_s", "run_s", "ms_per_token", "first_compile_s", "pe_uss_bytes")),
]


def test_a_run_writes_its_folder_and_prints_what_it_did(tiny, tmp_path):
    done = tiny("--tokens", 20, "--pes", 6)
    assert (done.returncode, done.stderr) == (0, "")
    report = read_report(tmp_path / "out")
    for key in KEYS:
        value = report
        for part in key.split("."):
            value = value[part]
    assert report["result"]["tokens"] == 20
    assert report["partial"] is False
    assert report["emulation"]["processes"] == 8
    assert 1e6 < report["emulation"]["pe_uss_bytes"] < 16e6
    assert json.loads((tmp_path / "out" / "config.json").read_text())["pes"] == 6
    mapping = json.loads((tmp_path / "out" / "mapping.json").read_text())
    assert [row["pe"] for row in mapping] == [*(f"PE(1,1,{p})@0" for p in range(4)), "PE(2,1,0)@0", "PE(2,1,1)@0"]
    assert report["events"]["sha256"] in done.stdout
    assert "\x1b" not in done.stdout  # no terminal, no control codes


@pytest.mark.slow
def test_a_run_gets_its_pictures_unless_told_otherwise(tiny, tmp_path):
    done = tiny("--tokens", 6, "--pes", 4, "--transport", "mem", "--trace-positions", 3, pictures=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pictures     out/report.html, figures/, trace.json.gz (" in done.stdout
    files = {"report.json", "config.json", "mapping.json", "ledger.safetensors", "report.html", "trace.json.gz", "figures"}
    files |= {"answers.json", *json.loads((tmp_path / "out" / "report.json").read_text())["files"]}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    trace = json.loads(gzip.decompress((tmp_path / "out" / "trace.json.gz").read_bytes()))
    assert trace["otherData"]["positions"] == "3 of 6"


@pytest.mark.wide
def test_pictures_left_out(tiny, tmp_path):
    done = tiny("--tokens", 6, "--pes", 4, "--transport", "mem")
    assert "pictures" not in done.stdout
    assert not {"report.html", "trace.json.gz"} & {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.wide
def test_unknown_words_become_unk_and_are_counted(tiny, tmp_path):
    text = tmp_path / "strange.txt"
    text.write_text("w1 w2 zebra w3 xylophone w4 w5 w6")
    assert tiny("--pes", 3, "--transport", "mem", text=text).returncode == 0
    assert read_report(tmp_path / "out")["result"]["unknown_words"] == 2


@pytest.mark.wide
def test_text_is_generated_as_asked(tiny):
    done = tiny("--prompt", "w1 w2", "--generate", 5, "--seed", 3, "--pes", 3, "--transport", "mem", text=None)
    assert done.returncode == 0
    title, text, *_ = done.stdout.splitlines()
    assert title == "tiny.safetensors on a prompt"
    assert text.split()[:2] == ["w1", "w2"]
    assert "text  " not in done.stdout  # it has been streamed: the summary does not repeat it


@pytest.mark.wide
def test_verify_agrees(tiny):
    done = tiny("--tokens", 15, "--pes", 5, command="verify")
    assert done.returncode == 0
    assert "verified     1,020 unit states agree with the reference, bit for bit" in done.stdout


@pytest.mark.wide
def test_wikitext_layout(launch, tmp_path, folder):
    data = tmp_path / "wiki"
    data.mkdir()
    (data / "wiki.test.tokens").write_text(" = w1 = \n\n w2 w3 <unk> w4 \n w5 w6 w7 w8 \n")
    done = launch(
        "lm", "--checkpoint", folder / "tiny.safetensors", "--wikitext", data, "--out", "out", "--no-pictures", "--pes", 3,
        "--transport", "mem",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "out")
    assert report["result"]["tokens"] == 14  # 11 words and an <eos> for each of 4 lines, the last only predicted
    assert report["result"]["unknown_words"] == 2  # the two "="


@pytest.mark.wide
def test_fit_shows_the_mapping_and_starts_nothing(launch, folder, tmp_path):
    done = launch("fit", folder / "tiny.safetensors", "--pes", 6, "--all")
    assert done.returncode == 0
    assert done.stdout.count("PE(") == 6
    for form in ("csr", "dense", "packed"):
        assert f"\n{form} " in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.wide
def test_fit_shows_a_gesture_classifiers_bytes_and_the_largest_batch(launch, tmp_path):
    save(tmp_path / "gesture.safetensors", seeded_gesture(features=64, layers=(60, 60)))
    done = launch("fit", "gesture.safetensors", "--format", "dense", "--pes", 40, "--batch", 6)
    assert done.returncode == 0
    most = int(re.search(r"40 PEs, mapping uniform, format dense, batch 6 \(the largest that fits here: (\d+)\)", done.stdout)[1])
    # 3 units a PE: 9 rows of 64 + 60 weights; the trace of 60 units for each of 6 sequences beside what all layers keep.
    (first, second) = (line.split() for line in done.stdout.splitlines() if line.startswith("PE("))
    assert (first[5], second[5]) == (f"{4 * 9 * (64 + 60):,}", f"{4 * 9 * (60 + 60):,}")
    assert int(second[6].replace(",", "")) - int(first[6].replace(",", "")) == 4 * 60 * 6
    assert launch("fit", "gesture.safetensors", "--format", "dense", "--pes", 40, "--batch", most).returncode == 0
    done = launch("fit", "gesture.safetensors", "--format", "dense", "--pes", 40, "--batch", most + 1)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert f"the largest batch that fits on these PEs is --batch {most}" in done.stderr


def test_help_reads_well(launch):
    done = launch("--help")
    assert done.returncode == 0
    assert all(len(line) <= 85 for line in done.stdout.splitlines())
    for command in ("lm", "verify", "fit", "info"):
        assert launch(command, "--help").returncode == 0


# -- what users do wrong: (arguments, exit code, a part of the one line) --

WRONG = [
    (("--pes", "200"), 3, "--pes 200: one chip has 152 PEs"),
    (("--pes", "0"), 2, "--pes 0: needs a whole number of at least 1"),
    (("--pes", "150"), 3, "--pes 150: layer 1 has 24 units, layer 2 has 24 units, layer 3 has 20 units; use at most --pes 68"),
    (("--chips", "0"), 2, "--chips 0: needs a whole number of at least 1"),
    (("--chips", "-3"), 2, "--chips -3: needs a whole number of at least 1"),
    (("--chips", "49"), 2, "49 chips: needs 1 to 48, or triads of boards (144, 288, ... 34,560); use 48"),
    (("--chips", "10000"), 2, "10000 chips: needs 1 to 48, or triads of boards (144, 288, ... 34,560); use 9936"),
    (("--chips", "144"), 2, "--chips 144: at most 48 run; price more with `fit` and `scale`"),
    (("--chips", "two"), 2, "argument --chips: invalid int value: 'two'"),
    (("--chips", "2", "--pes", "400"), 3, "--pes 400: 2 chips have 304 PEs"),
    (("--mapping", "unifrom"), 2, "unknown mapping 'unifrom': have uniform, balanced, clustered; did you mean 'uniform'?"),
    (("--format", "cst"), 2, "unknown weight format 'cst': have array, conv, csr, dense, packed, vectors; did you mean 'csr'?"),
    (("--state", "kept"), 2, "--state 'kept': have zeroed, carried"),
    (("--split", "valid"), 2, "--split valid: goes with a text that has splits, not with --text"),
    (("--transport", "tcp"), 2, "unknown transport 'tcp'"),
    (("--batch", "0"), 2, "--batch 0: needs a whole number of at least 1"),
    (("--tokens", "100000"), 2, "--tokens 100000: text 'text.txt' has "),
    (("--generate", "5"), 2, "--generate needs --prompt"),
    (("--prompt", "w1"), 2, "--text and --prompt: choose one"),
    (("--temperature", "nan"), 2, "--temperature nan"),
    (("--fault", "eat=PE"), 2, "--fault 'eat=PE': unknown kind 'eat'"),
    (("--chip", "spinnaker3"), 2, "the nearest name is 'spinnaker2'"),
    (("--chip-file", "missing.toml"), 2, "missing.toml"),
    (("--trace-positions", "-1"), 2, "--trace-positions -1: needs at least 0"),
    (("--tokns", "5"), 2, "unrecognized arguments: --tokns"),
    (("--tokens", "many"), 2, "argument --tokens: invalid int value: 'many'"),
]


@pytest.mark.few(2)
@pytest.mark.parametrize(("arguments", "code", "line"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_a_wrong_flag_gets_one_line(tiny, tmp_path, arguments, code, line):
    done = tiny(*arguments)
    assert done.returncode == code
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("chips", "down", "line"),
    [
        (2, "down_links = [[0, 1]]", "chip 1: no link leads there from chip 0"),
        (4, "down_links = [[0, 0], [0, 1], [0, 2]]", "chip 1 and 2 more: no link leads there from chip 0"),
        (2, "down_chips = [0, 1]", "machine of 2 chips: all of them are down"),
    ],
)
def test_chips_that_cannot_be_reached_get_one_line(tiny, tmp_path, chips, down, line):
    (tmp_path / "chip.toml").write_text(down)
    done = tiny("--chips", chips, "--chip-file", tmp_path / "chip.toml")
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "text.txt"),
        (b"   \n \n", "text.txt"),
        (b"w1 w2 \xff\xfe w3", "UTF-8"),
    ],
)
def test_a_text_that_cannot_be_used_gets_one_line(tiny, tmp_path, content, line):
    (tmp_path / "text.txt").write_bytes(content)
    done = tiny(text=tmp_path / "text.txt")
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def _damaged(folder: Path, target: Path, change) -> Path:
    with safe_open(folder / "tiny.safetensors", "numpy") as file:
        tensors, metadata = {name: file.get_tensor(name).copy() for name in file.keys()}, file.metadata()  # noqa: SIM118
    change(tensors)
    save_file(tensors, target, metadata)
    return target


def _spoil(name: str, value: float):
    return lambda tensors: tensors[name].__setitem__(3, value)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_spoil("layer2.input.values", np.nan), "layer2.input: 1 of "),
        (_spoil("layer1.bias", np.inf), "layer1.bias: 1 of 72 values are not finite, first inf at 3"),
        (lambda tensors: tensors.update(embedding=tensors["embedding"][:, :5]), "embedding needs shape (60, 20)"),
        (lambda tensors: tensors.pop("layer3.threshold"), "has no tensor 'layer3.threshold'"),
    ],
)
def test_a_checkpoint_that_cannot_be_run_gets_one_line(tiny, folder, tmp_path, change, line):
    done = tiny(model=_damaged(folder, tmp_path / "bad.safetensors", change))
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.wide
def test_a_bare_stack_of_layers_is_mapped_but_not_run(launch, tiny, folder, tmp_path):
    save(tmp_path / "bare.safetensors", Model(load(folder / "tiny.safetensors").network))
    for command in ("lm", "verify"):
        done = tiny(model=tmp_path / "bare.safetensors", command=command)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "has no embedding; a bare stack of layers is run on arrays, not on text: `launch.py run MODEL`" in done.stderr
    for command in ("fit", "info"):
        assert launch(command, tmp_path / "bare.safetensors").returncode == 0


@pytest.mark.few(2)
@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint", b"\xff" * 100])
def test_a_missing_or_damaged_checkpoint_gets_one_line(tiny, tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    done = tiny(model=path)
    assert done.returncode == 2
    assert f"checkpoint {path}: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.wide
def test_too_few_pes_names_layer_region_need_free_and_the_count_that_fits(launch):
    done = launch("lm", "--pes", 60, "--out", "out")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    for part in ("PE(", "region '", " needs ", " B free of 98304 B", "egru1", "use --pes 146 or more (39 for layer 1)"):
        assert part in done.stderr


def test_an_output_folder_that_exists_or_cannot_be_written(tiny, launch, tmp_path):
    (tmp_path / "out").mkdir()
    assert "--out out: exists already" in tiny().stderr
    (tmp_path / "file").write_text("")
    done = launch("lm", "--out", "file/out")
    assert done.returncode == 2
    assert "--out file/out: cannot be created" in done.stderr


@pytest.mark.wide
def test_down_cores_are_left_out(tiny, tmp_path):
    (tmp_path / "chip.toml").write_text('down_cores = ["PE(1,1,0)@0", "PE(1,1,2)@0"]\n')
    assert tiny("--chip-file", "chip.toml", "--pes", 3).returncode == 0
    mapping = json.loads((tmp_path / "out" / "mapping.json").read_text())
    assert [row["pe"] for row in mapping] == ["PE(1,1,1)@0", "PE(1,1,3)@0", "PE(2,1,0)@0"]
