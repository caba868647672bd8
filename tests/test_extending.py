"""docs/extending.md as it stands: each block of code becomes the file that it names, in a folder of a user's own, and runs.

One made-up member of each family: on processes, over its own transport, placed by its own mapping, with its own neuron and format,
verified, priced, on a page with a section of its own; and no file of the project is touched.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from host.cli import main
from host.run_folder import read_report
from tests.tools.gestures import SLICE_US, save_small

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "extending.md"
BLOCKS = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ONE_SCREEN = 70  # lines of a block
PES, STEPS = 6, 15

pytestmark = [pytest.mark.wide, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """A folder with every file of the document."""
    folder = tmp_path_factory.mktemp("mine")
    for name, code in BLOCKS.findall(DOCUMENT.read_text("utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, "utf-8")
    return folder


def launch(members, *arguments, cwd):
    """Run `launch.py` in a process of its own, with the members; return its exit code and what it said."""
    environment = {**os.environ, "GENNAKER_PATH": str(members)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *map(str, arguments)],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def run_folder(members, tmp_path_factory):
    """The run folder of the document's workload with every member of the document in it."""
    cwd = tmp_path_factory.mktemp("run")
    chosen = {
        "--format": "triples",
        "--mapping": "backwards",
        "--transport": "stock",
        "--pes": PES,
        "--steps": STEPS,
        "--out": "out",
    }
    flags = [str(word) for pair in chosen.items() for word in pair]
    # The first run of a kind of event compiles what takes it in, in every PE.
    code, said = launch(members, "drops", *flags, "--verify", "--no-monitor", "--out", "out", "--stall", 140, cwd=cwd)
    assert code == 0, said
    assert "agree with the reference, bit for bit" in said
    return cwd / "out"


def test_every_block_is_one_screen_and_names_its_file():
    text = DOCUMENT.read_text("utf-8")
    blocks = BLOCKS.findall(text)
    assert len(blocks) == text.count("```python")
    assert len({name for name, _ in blocks}) == len(blocks) >= 12
    assert all(code.count("\n") <= ONE_SCREEN for _, code in blocks), {name: code.count("\n") for name, code in blocks}


def test_the_made_up_members_run_on_processes_are_verified_priced_and_reported(run_folder):
    report = read_report(run_folder)
    assert (report["workload"], report["partial"]) == ("drops", False)
    assert (report["mapping"]["format"], report["mapping"]["strategy"], report["mapping"]["pes"]) == ("triples", "backwards", PES)
    assert (report["emulation"]["transport"], report["emulation"]["processes"]) == ("stock", PES + 2)
    assert report["result"]["spikes"] > 0
    assert report["events"]["count"] > report["result"]["spikes"]
    assert report["metrics"][0]["name"] == "spikes"
    assert report["modelled"]["energy_j"] > 0
    assert report["counters"]["packets_delivered"] == report["counters"]["packets_sent"] > 0
    assert not report["verify"]["difference"]


def test_the_page_has_the_made_up_section(run_folder):
    page = (run_folder / "report.html").read_text()
    assert page.index(">Events</h2>") < page.index(">Busiest PEs</h2>") < page.index(">Energy</h2>")


def test_the_made_up_members_give_the_answer_of_the_project_s(members, run_folder, tmp_path):
    chosen = {"--format": "csr", "--mapping": "uniform", "--transport": "mem", "--pes": 2, "--steps": STEPS, "--out": "out"}
    flags = [str(word) for pair in chosen.items() for word in pair]
    code, said = launch(members, "drops", *flags, "--no-monitor", "--no-pictures", cwd=tmp_path)
    assert code == 0, said
    hashes = [read_report(folder)["events"]["sha256"] for folder in (run_folder, tmp_path / "out")]
    assert hashes[0] == hashes[1]


def test_a_recorded_run_is_priced_again(members, run_folder):
    code, said = launch(members, "price", run_folder, "--set", "clock=300MHz", cwd=run_folder)
    assert code == 0, said
    assert "first" in said
    assert "second" in said


@pytest.mark.slow
def test_the_made_up_importer_reads_its_file(members, tmp_path):
    layer = {"kernel": [[0.5, 0.0], [0.1, 0.2], [1.5, 1.0]], "recurrent": [[0.0], [0.0], [0.25]]}
    layer |= {"bias": [0.0, 0.0, 0.5], "recurrent_bias": [0.0] * 3, "threshold": [0.1]}
    (tmp_path / "layer.json").write_text(json.dumps({"egru_layer": layer}))
    code, said = launch(members, "import", "layer.json", "layer.safetensors", cwd=tmp_path)
    assert code == 0, said
    code, said = launch(
        members, "features", "--checkpoint", "layer.safetensors", "--tokens", 5, "--transport", "mem", "--verify", "--no-pictures",
        "--no-monitor", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, said


@pytest.mark.slow
def test_the_made_up_reader_s_recordings_are_classified(members, tmp_path):
    save_small(tmp_path / "small.safetensors")
    lines = (f"test,user03,{label},{t},{label},{t % 128},1\n" for label in (2, 5) for t in range(0, SLICE_US + 100, 100))
    (tmp_path / "gestures.csv").write_text("split,subject,label,time_us,x,y,polarity\n" + "".join(lines))
    flags = ["--events", "gestures.csv", "--transport", "mem", "--pes", 2, "--no-monitor", "--no-pictures", "--out", "out"]
    code, said = launch(members, "dvs", "small.safetensors", *flags, cwd=tmp_path)
    assert code == 0, said
    result = read_report(tmp_path / "out")["result"]
    assert [(one["name"], one["label"]) for one in result["predictions"]] == [("user03/2#0", 2), ("user03/5#0", 5)]
    code, said = launch("", "dvs", "small.safetensors", *flags[:-1], "other", cwd=tmp_path)
    assert code == 2
    assert "ibmGestureTest/ (tonic), have something that is no folder but a file" in said


def test_without_the_folder_none_of_it_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (["drops"], ["features", "--format", "triples"], ["features", "--transport", "stock"]):
        try:
            code = main(arguments)
        except SystemExit as end:  # how argparse leaves
            code = end.code
        said = capsys.readouterr().err
        assert (code, said.count("\n")) == (2, 1), said
        assert arguments[-1] in said
