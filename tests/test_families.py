"""Families: members are found by name, in the project and in a user's folders, and no two have one name."""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from host.cli import main
from host.commands import command_names, load_command
from host.errors import Exit
from host.launch.needed_members import kernel_names, needed_members
from host.provenance import content_sha256
from host.workloads.lm.options import Options as LmOptions
from models import exporters, families, formats, importers, kernels, shipped
from models.checkpoint import load
from models.compute import compiling
from models.compute.kernel_cache import KernelFolder
from models.families import member_names
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.importers import Head
from models.network import ModelError
from tests.tools.examples import launch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a user's own, which the variable names; what is imported from it is forgotten afterwards."""
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] in {"host", "models", "noc", "pe"}}
    paths = {name: list(module.__path__) for name, module in ours.items() if hasattr(module, "__path__")}
    monkeypatch.setenv(families.VARIABLE, str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("host", "models", "noc", "pe"):  # a library may not be imported twice
            del sys.modules[name]
    for name, path in paths.items():
        sys.modules[name].__path__ = path


def write(folder, name, text="WORD = 5\n"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_member_of_a_user_s_own_is_found_beside_the_project_s(folder):
    own = kernels.names()
    write(folder, "models/kernels/mine.py")
    assert kernels.names() == sorted([*own, "mine"])
    assert families.member(kernels, "mine", "neuron model").WORD == 5


def test_several_folders_may_be_named_and_empty_parts_are_none(folder, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    write(folder, "models/formats/first.py")
    write(other, "models/formats/second.py")
    monkeypatch.setenv(families.VARIABLE, os.pathsep.join(["", str(folder), str(other), ""]))
    assert {"first", "second", "csr"} <= set(formats.names())


def test_a_relative_folder_is_the_same_from_everywhere(folder, monkeypatch):
    write(folder, "models/kernels/mine.py")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv(families.VARIABLE, folder.name)
    assert families.user_folders() == [folder]
    assert "mine" in kernels.names()


@pytest.mark.parametrize(
    ("first", "second"), [("models/kernels/egru.py", None), ("models/kernels/twice.py", "models/kernels/twice.py")]
)
def test_two_members_of_one_name_are_refused_in_a_line_that_names_both(folder, tmp_path_factory, monkeypatch, first, second):
    files = [write(folder, first), ROOT / first]
    if second:
        other = tmp_path_factory.mktemp("other")
        files = [files[0], write(other, second)]
        monkeypatch.setenv(families.VARIABLE, os.pathsep.join([str(folder), str(other)]))
    with pytest.raises(ModelError) as caught:
        kernels.names()
    assert all(str(file) in str(caught.value) for file in files)
    assert "\n" not in str(caught.value)


def test_an_unknown_member_is_told_the_nearest(folder):
    write(folder, "models/kernels/leakier.py")
    with pytest.raises(ModelError, match=r"unknown neuron model 'leakie': have .*egru.*; did you mean 'leakier'\?"):
        kernels.named("leakie")


def test_a_file_with_an_underscore_is_no_member(folder):
    own = kernels.names()
    write(folder, "models/kernels/_shared.py")
    assert kernels.names() == own


def test_a_bug_in_a_member_shows_itself(folder):
    write(folder, "models/kernels/broken.py", "import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        kernels.named("broken")


def test_a_folder_that_is_not_there_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(families.VARIABLE, str(tmp_path / "nowhere"))
    done = launch("info", "--help", cwd=tmp_path)
    line = f"gennaker: GENNAKER_PATH: {tmp_path / 'nowhere'} is no folder; needs folders that are laid out as the project is\n"
    assert (done.returncode, done.stderr) == (int(Exit.USAGE), line)


@pytest.mark.wide
def test_the_hash_of_the_code_covers_members(folder):
    project = content_sha256()
    file = write(folder, "host/workloads/mine/__init__.py")
    first = content_sha256()
    file.write_text("WORD = 6\n")
    assert len({project, first, content_sha256()}) == 3
    file.unlink()
    assert content_sha256() == project


def test_a_package_of_the_network_on_chip_needs_no_line_for_it(folder):
    """`noc` may not import `models`; whoever looks for its members extends its path."""
    write(folder, "noc/transports/mine.py")
    assert "mine" in families.member_names("noc.transports")
    assert importlib.import_module("noc.transports.mine").WORD == 5


_OWN_KERNEL = """
from models.compute.compiling import compiled
from models.kernels._mine_constants import NUMBER
@compiled
def number():
    return NUMBER
"""


@pytest.mark.wide
def test_the_cache_of_compiled_code_follows_all_sources_of_a_user_s(folder, monkeypatch, tmp_path_factory):
    """Also those that a member does not import by statement; what was compiled of sources that are back is found again."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(compiling, "_folder", KernelFolder("kernels-1"))
    monkeypatch.setattr(compiling, "_dispatchers", [])
    write(folder, "models/kernels/mine.py", _OWN_KERNEL)
    write(folder, "models/kernels/_mine_constants.py", "NUMBER = 5\n")
    other = write(folder, "models/formats/mine.py")

    def load():
        for name in ("mine", "_mine_constants"):
            sys.modules.pop(f"models.kernels.{name}", None)
        before = compiling.compiled_now()
        number = families.member(kernels, "mine", "neuron model").number()
        is_complete = compiling.cache_is_complete("a run")
        compiling.mark_cache_complete("a run")
        return number, compiling.compiled_now() - before, is_complete

    assert load() == (5, 1, False)
    assert load() == (5, 0, True)
    write(folder, "models/kernels/_mine_constants.py", "NUMBER = 70\n")
    assert load() == (70, 1, False)
    other.write_text("WORD = 6\n")
    assert load() == (70, 1, False)
    other.write_text("WORD = 5\n")
    assert load() == (70, 0, True)


SHIPPED = Path(shipped.__file__).parent / "tiny.safetensors"


def test_the_neuron_models_of_a_checkpoint_are_known_by_its_header(tmp_path):
    assert kernel_names(SHIPPED) == ["egru"]
    damaged = (b"", b"{}", b"\xff" * 100, (1 << 60).to_bytes(8, "little") + b"{", SHIPPED.read_bytes()[:200])
    for number, content in enumerate(damaged):
        path = tmp_path / str(number)
        path.write_bytes(content)
        assert kernel_names(path) == []
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it
    assert kernel_names(tmp_path / "missing") == kernel_names(tmp_path) == kernel_names(tmp_path / "pipe") == []


@pytest.mark.slow
def test_a_run_loads_only_the_neuron_model_and_format_that_it_uses(folder):
    """A member that nobody needs may be broken: no process of a run looks into it."""
    rooms = ("models/kernels", "models/formats", "models/heads", "noc/transports", "models/dvs/readers")
    rooms += ("host/cost/kernels", "host/cost/formats")
    for name in (f"{room}/broken.py" for room in rooms):
        write(folder, name, "raise RuntimeError('this file was loaded')\n")
    for options in (LmOptions(checkpoint=str(SHIPPED)), LmOptions(checkpoint="seeded", format="packed")):
        names = ["noc.transports.zmq", f"models.formats.{options.format}", "models.heads.language", "models.kernels.egru"]
        assert needed_members(options) == names
    words = ["features", "--checkpoint", str(SHIPPED), "--tokens", "4", "--pes", "3", "--out", "out", "--no-monitor"]
    environment = {**os.environ, families.VARIABLE: str(folder)}
    command = [sys.executable, str(ROOT / "launch.py"), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "was loaded" not in done.stdout + done.stderr


IMPORTED = member_names(importers)


@pytest.mark.parametrize("name", IMPORTED)
def test_an_importer_keeps_its_contract(name, tmp_path):
    one = families.member(importers, name, importers.WORD)
    assert isinstance(one.KNOWN_BY, str)
    assert 0 <= one.probe(Head(tmp_path, b"", ("weight_ih_l0", "weight_hh_l0", "rnns.0.recurrent_kernel"))) <= 100
    for start, keys in ((b"", ()), (b"%PDF", ()), (b"{}", ("weight", "bias"))):
        assert one.probe(Head(tmp_path / "x", start, keys)) == 0


def test_two_importers_that_are_as_certain_are_named_and_one_may_be_chosen(folder):
    for name, words in (("first", "one"), ("second", "two")):
        code = f"KNOWN_BY = {name!r}\ndef probe(head):\n    return 70\ndef read(path, request):\n    raise ValueError({words!r})\n"
        write(folder, f"models/importers/{name}.py", code)
    path = write(folder, "file.bin", "anything")
    with pytest.raises(ModelError, match="may be one for first or second; choose with --importer"):
        import_model(path, ImportRequest())
    with pytest.raises(ValueError, match="two"):
        import_model(path, ImportRequest(importer="second"))
    with pytest.raises(ModelError, match="unknown importer 'third'"):
        import_model(path, ImportRequest(importer="third"))


@pytest.mark.parametrize("name", member_names(exporters))
def test_an_exporter_keeps_its_contract(name):
    one = families.member(exporters, name, exporters.WORD)
    assert one.SUFFIXES
    assert all(suffix.startswith(".") for suffix in one.SUFFIXES)
    assert all(exporters.exporter_for(Path(f"x{suffix}")) is one for suffix in one.SUFFIXES)


PLAIN_IMPORTER = """
from pathlib import Path

import numpy as np

KNOWN_BY = "rows of a table"

def add_flags(parser):
    parser.add_argument("--table-threshold", type=float, metavar="X", help="threshold of every unit")
    {more}

def probe(head):
    return 60 if head.start.startswith(b"table") else 0

def read(path, request):
    from models.checkpoint import Model
    from models.foreign.request import Findings
    from models.seeded import seeded_egru

    threshold = request.number("table_threshold", 0, 1)
    model = Model(seeded_egru(3, [4], 0.5))
    return Findings(model, (("kind", "a table"),), (), {{"threshold": 0.25 if threshold is None else threshold}})
"""


def test_an_importer_brings_options_of_its_own_and_no_other_file_is_touched(folder, capsys):
    write(folder, "models/importers/table.py", PLAIN_IMPORTER.format(more=""))
    path = write(folder, "file.bin", "table of numbers")
    assert main(["import", path.as_posix(), str(folder / "a.safetensors"), "--table-threshold", "0.5"]) == 0
    assert load(folder / "a.safetensors").provenance["threshold"] == 0.5
    assert import_model(path, ImportRequest()).model.provenance["threshold"] == 0.25
    with pytest.raises(ModelError, match=r"--gru 'plain': the importer 'table', .* no such option; has --table-threshold"):
        import_model(path, ImportRequest(options={"gru": "plain"}))
    with pytest.raises(ModelError, match="--table-threshold high: needs 0 to 1"):  # from Python nothing is parsed
        import_model(path, ImportRequest(options={"table_threshold": "high"}))
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    out = capsys.readouterr().out
    assert "for the importer table:\n  --table-threshold X" in out
    assert "--gru" in out


@pytest.mark.wide
def test_reading_the_options_of_importers_loads_nothing_that_compiles():
    code = "import sys\nfrom models.importers import all_flags\nall_flags()\nprint({'numba', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_options_by_name_are_sorted_into_those_of_all_importers_and_those_of_one():
    request = ImportRequest.of(prefix="a", gru="plain", head=("x", "y"), segment=5)
    assert request == ImportRequest(prefix="a", segment=5, options={"gru": "plain", "head": ("x", "y")})


def test_importers_may_share_an_option_but_not_its_name_alone(folder):
    write(folder, "models/importers/table.py", PLAIN_IMPORTER.format(more=""))
    write(folder, "models/importers/sheet.py", PLAIN_IMPORTER.format(more=""))
    assert [of for flag, of in importers.all_flags() if flag.typed == "--table-threshold"] == [["sheet", "table"]]
    more = 'parser.add_argument("--gru", metavar="N", help="how many")'
    write(folder, "models/importers/third.py", PLAIN_IMPORTER.format(more=more))
    with pytest.raises(ModelError, match="importers 'gru' and 'third' both have an option --gru; rename one"):
        importers.all_flags()


@pytest.mark.parametrize("name", command_names())
def test_a_command_keeps_its_contract(name):
    command = load_command(name)
    parser = argparse.ArgumentParser(prog=name)
    command.add_flags(parser)
    assert command.HELP
    assert callable(command.run)
    assert all(arguments.split()[0] == name for arguments, _ in command.EXAMPLES)


def test_a_command_of_a_user_s_own_runs(folder):
    code = "HELP, EXAMPLES = 'say a word', (('say', 'it'),)\ndef add_flags(parser):\n    parser.add_argument('word')\n"
    write(folder, "host/commands/say.py", f"{code}def run(flags):\n    print(flags['word'])\n    return 0\n")
    assert launch("say", "so", cwd=folder) == (0, "so\n", "")
