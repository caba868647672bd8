"""`launch.py list`, models by their names in every command, and what takes fewer PEs."""

from __future__ import annotations

import re
import sys

import pytest

from host.cli import main
from host.commands import list as command
from host.mapping.advice import SPARSE_UNITS, fewer_pes
from host.mapping.placement import place
from host.options import RunOptions
from host.workloads.registry import prepare, workloads
from host.workloads.site import SEEDED, direct_importer, load_model, load_run_chip, model_path
from models import exporters, formats, importers, kernels, shipped
from models.families import member_names
from models.network import ModelError
from models.seeded import seeded_egru

pytestmark = pytest.mark.timeout(60)
CHIP = load_run_chip(RunOptions())


def names_of(printed, title):
    """The names below a title, up to the next empty line."""
    block = printed.split(f"{title}\n", 1)[1].split("\n\n")[0]
    return re.findall(r"^  (\S+)", block, re.MULTILINE)


def test_everything_is_listed_with_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert names_of(printed, "workloads") == list(workloads())
    assert names_of(printed, "models") == [*shipped.names(), SEEDED]
    for title, package in (("kernels", kernels), ("formats", formats), ("importers", importers), ("exporters", exporters)):
        assert names_of(printed, title) == member_names(package)
    assert max(map(len, printed.splitlines())) <= 80
    for title in command.GROUPS:
        assert all(text for _, text in command.GROUPS[title]()), title


def test_one_of_the_lists_can_be_asked_for(capsys):
    assert main(["list", "formats"]) == 0
    assert capsys.readouterr().out.startswith("formats\n")
    assert main(["list", "format"]) == 2
    assert capsys.readouterr().err.endswith("did you mean 'formats'?\n")


def test_a_user_s_own_members_are_listed(capsys, monkeypatch, tmp_path):
    (tmp_path / "models/kernels").mkdir(parents=True)
    (tmp_path / "models/kernels/mine.py").write_text('"""A neuron of my own. It leaks."""\n')
    monkeypatch.setenv("GENNAKER_PATH", str(tmp_path))
    try:
        assert main(["list", "kernels"]) == 0
    finally:
        kernels.__path__[:] = [path for path in kernels.__path__ if not path.startswith(str(tmp_path))]
        sys.modules.pop("models.kernels.mine", None)
        vars(kernels).pop("mine", None)
    assert ["mine", "A", "neuron", "of", "my", "own"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_every_shipped_model_has_a_line_and_a_file():
    assert sorted(shipped.ABOUT) == shipped.names()
    assert all(shipped.path_of(name).is_file() for name in shipped.names())
    assert shipped.path_of("lm.safetensors") is None


def test_a_file_that_an_importer_reads_as_it_is_is_a_model(tmp_path, monkeypatch):
    """By the suffixes that the importer names; a network of one input and one layer."""
    (tmp_path / "models/importers").mkdir(parents=True)
    (tmp_path / "models/importers/mine.py").write_text(
        'DIRECT, KNOWN_BY = (".mine",), "mine"\n\ndef probe(head):\n    return 0\n\n'
        "def read(path, request):\n    from models.checkpoint import Model\n    from models.foreign.request import Findings\n"
        "    from models.seeded import seeded_egru\n"
        "    return Findings(Model(seeded_egru(3, (4,), 1.0, 1)), (), (), {})\n"
    )
    (tmp_path / "x.mine").write_text("anything")
    monkeypatch.setenv("GENNAKER_PATH", str(tmp_path))
    try:
        assert load_model(tmp_path / "x.mine").network.populations[1].units == 4
        assert direct_importer(tmp_path / "x.other") is None
    finally:
        importers.__path__[:] = [path for path in importers.__path__ if not path.startswith(str(tmp_path))]


def test_names_are_models_and_paths_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lm").write_bytes(b"mine")
    assert model_path("lm", "") == shipped.path_of("lm")
    assert model_path("./lm", "").read_bytes() == b"mine"
    assert model_path(SEEDED, "") is None


@pytest.mark.wide_but("info")
@pytest.mark.parametrize("name", ["fit", "info"])
def test_commands_take_the_names(capsys, name):
    assert main([name, "tiny"]) == 0
    assert "tiny.safetensors" in capsys.readouterr().out
    assert main([name, "tiny2"]) == 2
    assert "checkpoint tiny2: cannot be read (no such file)" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*(c for w in workloads().values() for c in w.commands), "fit", "info", "paper"])
def test_model_stands_in_every_command_s_help_within_80_columns(capsys, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert "  MODEL  " in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"PK\x03\x04" + b"\0" * 40 + b"archive/data.pkl", "is a file of torch.save, it seems; `launch.py import FILE NEW` reads"),
     (b"\x80\x02}q\x00" + b"." * 40, "is a file of torch.save, it seems; `launch.py import FILE NEW` reads")],
)  # fmt: skip
def test_a_torch_file_gets_the_command_that_reads_it(capsys, tmp_path, monkeypatch, content, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pth").write_bytes(content)
    for name in ("fit", "info"):
        assert main([name, "model.pth"]) == 2
        error = capsys.readouterr().err
        assert (error.count("\n"), line in error) == (1, True), error
    for workload in workloads().values():
        with pytest.raises(ModelError) as caught:
            prepare(workload.options(checkpoint="model.pth"))
        assert line in str(caught.value)


# -- more PEs than units make sense


def test_more_pes_than_units_make_sense_are_not_taken_without_a_word(capsys):
    network = seeded_egru(12, (40, 40), density=0.5, seed=1)
    placement = place(network, CHIP, "uniform", "csr", None)
    line = fewer_pes(network, placement.request, len(placement.pes))
    assert len(placement.pes) > 80 / SPARSE_UNITS
    assert line.startswith(f"{80 / len(placement.pes):.2g} unit")
    assert line.endswith(f"--pes N takes fewer, --mapping balanced takes {len(place(network, CHIP, 'balanced', 'csr', None).pes)}")


def test_one_unit_is_no_units():
    network = seeded_egru(4, (40,), density=1.0, seed=1)
    placement = place(network, CHIP, "uniform", "csr", None)
    assert fewer_pes(network, placement.request, len(placement.pes)).startswith("1 unit a PE: ")


def test_nobody_is_told_who_asked_for_it_or_needs_them():
    network = seeded_egru(12, (40, 40), density=0.5, seed=1)
    asked = place(network, CHIP, "uniform", "csr", 80)
    assert fewer_pes(network, asked.request, 80) == ""
    large = seeded_egru(12, (400, 400), density=0.1, seed=1)
    placement = place(large, CHIP, "uniform", "csr", None)
    assert fewer_pes(large, placement.request, len(placement.pes)) == ""
