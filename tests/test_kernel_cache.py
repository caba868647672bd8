"""Compiled code is used only with what it was made from; a cache that cannot be used is a miss, and one line."""

import importlib
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.compute import compiling, kernel_cache
from models.compute.kernel_cache import KernelFolder, sources_digest, sources_of
from models.network import ModelError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spare"))
    (tmp_path / "spare").mkdir()
    return tmp_path


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "gennaker" and record.levelno == logging.WARNING]


# ---- files of the cache


def test_what_was_written_is_read_in_another_process_and_in_silence(base, caplog):
    KernelFolder("kernels-1").write("one.nbc", b"code")
    assert KernelFolder("kernels-1").read("one.nbc") == b"code"
    assert KernelFolder("kernels-1").read("two.nbc") is None
    assert KernelFolder("kernels-2").read("one.nbc") is None
    assert [path.name for path in (base / "cache" / "kernels-1").iterdir()] == ["one.nbc"]  # nothing unfinished
    assert not warnings_of(caplog)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path):
    path.write_bytes(b"")


def _turn_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _another_functions(path):
    other = path.with_name("two.nbc")
    KernelFolder(path.parent.name).write(other.name, b"code")
    other.replace(path)


def _numbas_own(path):
    path.write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x060.68.1")


def _writable_by_all(path):
    path.chmod(0o666)


def _a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def _a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = (_cut, _empty, _turn_a_bit, _another_functions, _numbas_own, _writable_by_all, _a_pipe, _a_folder)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_file_that_is_damaged_or_foreign_is_a_miss_and_one_line(base, caplog, damage):
    folder = KernelFolder("kernels-1")
    folder.write("one.nbc", b"code")
    damage(base / "cache" / "kernels-1" / "one.nbc")
    assert [folder.read("one.nbc") for _ in range(3)] == [None] * 3
    (line,) = warnings_of(caplog)
    assert re.fullmatch(rf"gennaker: kernel cache {base}/cache/kernels-1: .* compiled anew", line)


def test_another_compiler_processor_or_setting_never_reads_it(base, monkeypatch):
    KernelFolder("kernels-1").write("one.nbc", b"code")
    monkeypatch.setattr(kernel_cache, "compiler_identity", lambda: "another")
    assert KernelFolder("kernels-1").read("one.nbc") is None


@pytest.mark.parametrize("setting", ["OPT", "BOUNDSCHECK", "SLP_VECTORIZE", "CPU_NAME", "LOOP_VECTORIZE"])
def test_settings_that_change_code_are_part_of_what_compiles(setting, monkeypatch):
    before = kernel_cache.compiler_identity.__wrapped__()
    monkeypatch.setattr(f"numba.config.{setting}", 7)
    assert kernel_cache.compiler_identity.__wrapped__() != before


def test_a_folder_that_cannot_be_written_is_said_and_another_one_serves(base, caplog):
    (base / "cache").write_text("a file, where a folder was meant")
    folder = KernelFolder("kernels-1")
    folder.write("one.nbc", b"code")
    folder.write("two.nbc", b"code")
    assert KernelFolder("kernels-1").read("two.nbc") == b"code"
    (line,) = warnings_of(caplog)
    spare = f"{base}/spare/gennaker-{os.getuid()}/kernels-1"
    assert line == f"gennaker: kernel cache {base}/cache/kernels-1: cannot be written (Not a directory); uses {spare}"


def test_where_nothing_can_be_written_nothing_is_kept(base, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernel_cache, "_write_file", full)
    folder = KernelFolder("kernels-1")
    folder.write("one.nbc", b"code")
    assert not folder.is_writable()
    assert folder.read("one.nbc") is None
    assert [line.rpartition("; ")[2] for line in warnings_of(caplog)][-1] == "kernels are compiled at each start"


def test_without_a_home_the_temporary_folder_serves(base, monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    KernelFolder("kernels-1").write("one.nbc", b"code")
    assert KernelFolder("kernels-1").read("one.nbc") == b"code"


def test_nothing_is_ever_written_among_the_sources(base, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "relative")  # to where a run is started, which may be the sources
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    monkeypatch.setattr("tempfile.tempdir", str(ROOT))
    assert [str(folder) for folder in KernelFolder("kernels-1")._folders] == [f"{base}/gennaker/kernels-1"]


# ---- sources


def test_all_sources_that_compiled_code_takes_constants_and_functions_from_are_its_sources():
    names = {path.relative_to(ROOT).as_posix() for path in sources_of(ROOT / "pe" / "socket_loop.py")}
    assert {"pe/socket_loop.py", "pe/tick.py", "noc/zmtp.py", "noc/packet.py"} <= names
    assert {"models/numerics.py", "models/compute/bound_calls.py"} <= names
    assert "models/compute/lowpass.py" in {path.relative_to(ROOT).as_posix() for path in sources_of(ROOT / "models/formats/csr.py")}


def test_libraries_beside_the_project_are_none_of_its_sources_and_relative_imports_are(tmp_path, monkeypatch):
    """Installed, the project lies among all other libraries."""
    files = {
        "models/one.py": "import library\nfrom models.two import A\nfrom . import four\nfrom .three import B\n",
        "models/__init__.py": "", "models/two.py": "A = 1\n", "models/three.py": "B = 2\n", "models/four.py": "",
        "library/__init__.py": "from . import part\n", "library/part.py": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kernel_cache, "ROOT", tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in sources_of(tmp_path / "models" / "one.py")}
    assert names == {name for name in files if name.startswith("models/")}


_PROBE = """
from models.compute.compiling import compiled, compiled_now
from models.constant import NUMBER
@compiled
def add(a):
    return a + NUMBER
print(add(1), compiled_now())
"""


@pytest.mark.slow
def test_an_edited_source_is_compiled_anew_whatever_its_time_stamp_and_a_damaged_cache_is_one_line(tmp_path):
    """In a copy of what compiles, with a user's own NUMBA_CACHE_DIR."""
    shutil.copytree(ROOT / "models" / "compute", tmp_path / "models" / "compute", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("network.py", "families.py"):
        shutil.copy(ROOT / "models" / name, tmp_path / "models")
    (tmp_path / "models" / "probe.py").write_text(_PROBE)
    constant, cache = tmp_path / "models" / "constant.py", tmp_path / "cache"
    constant.write_text("NUMBER = 7\n")

    def probe(**variables):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1", **variables}
        command = [sys.executable, "-c", "import models.probe"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split(), done.stderr

    assert probe() == (["8", "1"], "")
    assert probe() == (["8", "0"], "")
    about = constant.stat()
    constant.write_text("NUMBER = 9\n")
    os.utime(constant, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert probe() == (["10", "1"], "")
    for file in cache.rglob("*.nbc"):
        os.truncate(file, 100)
    answer, said = probe()
    assert answer == ["10", "1"]
    assert re.fullmatch(r"gennaker: kernel cache \S+: \S+ is damaged or of another origin; compiled anew\n", said)
    assert probe(NUMBA_OPT="1") == (["10", "1"], "")
    assert not [*tmp_path.rglob("*.nbi")]


def test_sources_of_the_same_names_elsewhere_are_others(tmp_path):
    files = []
    for number in (1, 2):
        files.append(tmp_path / str(number) / "one.py")
        files[-1].parent.mkdir()
        files[-1].write_text(f"N = {number}\n")
    assert sources_digest(files[0]) != sources_digest(files[1])


def test_modules_that_compile_are_listed_once_the_longest_first():
    """By the list two processes share the work of a first compile."""
    importlib.import_module("pe.router_loop")
    importlib.import_module("pe.socket_loop")
    modules = compiling.modules_to_compile()
    assert len(modules) == len(set(modules)) <= 256  # a number has one byte
    assert {"pe.tick", "pe.bundle_calls", "pe.column_calls", "pe.router_loop", "pe.socket_loop"} <= set(modules)
    assert set(modules) == {callback._pyfunc.__module__ for callback in compiling._callbacks}
    sizes = [Path(sys.modules[module].__file__).stat().st_size for module in modules]
    assert sizes == sorted(sizes, reverse=True)


# ---- settings


@pytest.mark.wide
@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("NUMBA_DISABLE_JIT=1", "NUMBA_DISABLE_JIT is set: kernels need the compiler; unset it"),
        ("NUMBA_NUM_THREADS=0", "numba, cannot be loaded with NUMBA_NUM_THREADS=0 .*Number of threads specified must be > 0"),
        pytest.param("NUMBA_OPT=fast", "numba, cannot be loaded with NUMBA_OPT=fast .*could not be parsed", marks=pytest.mark.slow),
        ("NUMBA_CPU_NAME=bogus", "NUMBA_CPU_NAME=bogus: kernels run on the processor that compiles them; unset it"),
        pytest.param(
            "NUMBA_CPU_FEATURES=+sse2",
            "NUMBA_CPU_FEATURES=.sse2: kernels run on the processor that compiles them; unset it",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_settings_that_cannot_work_are_one_line(setting, line, tmp_path):
    name, _, value = setting.partition("=")
    command = [sys.executable, "launch.py", "info", "models/shipped/tiny.safetensors"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, name: value}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(rf"gennaker: .*{line}.*\n", done.stderr)


def test_a_failure_of_the_compiler_names_the_settings_and_is_a_bug_without_any(monkeypatch):
    from models.compute.compiler_settings import explain

    for name in [name for name in os.environ if name.startswith("NUMBA_")]:
        monkeypatch.delenv(name)
    assert explain(ValueError("why")) is None
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somewhere")
    assert explain(ValueError("why")) is None
    monkeypatch.setenv("NUMBA_DEBUG_NRT", "1")
    assert isinstance(explain(ValueError("why")), ModelError)
    assert "NUMBA_DEBUG_NRT=1" in str(explain(ValueError("why")))
