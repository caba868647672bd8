"""Families: members are found by name, in the project and in a user's folders, and no two have one name."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from host.errors import Exit
from host.provenance import content_sha256
from models import families, formats, kernels
from models.network import ModelError
from tests.tools.examples import launch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a user's own, which the variable names; what is imported from it is forgotten afterwards."""
    paths = {name: list(module.__path__) for name, module in sys.modules.items() if hasattr(module, "__path__")}
    monkeypatch.setenv(families.VARIABLE, str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
    for name, path in paths.items():
        sys.modules[name].__path__ = path


def write(folder, name, text="WORD = 5\n"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_member_of_a_user_s_own_is_found_beside_the_project_s(folder):
    write(folder, "models/kernels/mine.py")
    assert kernels.names() == ["egru", "mine"]
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
    with pytest.raises(ModelError, match=r"unknown neuron model 'leaky': have egru, leakier; did you mean 'leakier'\?"):
        kernels.named("leaky")


def test_a_file_with_an_underscore_is_no_member(folder):
    write(folder, "models/kernels/_shared.py")
    assert kernels.names() == ["egru"]


def test_a_bug_in_a_member_shows_itself(folder):
    write(folder, "models/kernels/broken.py", "import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        kernels.named("broken")


def test_a_folder_that_is_not_there_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(families.VARIABLE, str(tmp_path / "nowhere"))
    done = launch("info", "--help", cwd=tmp_path)
    line = f"gennaker: GENNAKER_PATH: {tmp_path / 'nowhere'} is no folder; needs folders that are laid out as the project is\n"
    assert (done.code, done.err) == (int(Exit.USAGE), line)


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
