"""The cut: which package may import which, where each outside library lives, and how long a file may be."""

import ast
import functools
import graphlib
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "noc", "pe", "host", "gennaker")
MAY_IMPORT = {
    "models": set(), "noc": set(), "pe": {"models", "noc"}, "host": {"pe", "models", "noc"},
    "gennaker": {"host", "pe", "models", "noc"}, "launch.py": {"gennaker"},
}  # fmt: skip
ONE_FILE_EACH = {
    "zmq": "noc/transports/zmq.py",
    "msgpack": "noc/wire.py",
    "rich": "host/show/monitor.py",
    "multiprocessing": "host/processes/fork_server_link.py",
    "psutil": "host/processes/machine_state.py",
    "distributed": "host/cluster/dask_client.py",
    "dask_jobqueue": "host/cluster/dask_client.py",
    "yaml": "models/foreign/config.py",
    "pickletools": "models/foreign/unpickle.py",  # cuts a pickle into opcodes; it builds and calls nothing
    "h5py": "models/foreign/hdf5.py",
    "matplotlib": "host/show/canvas.py",
}
# The charts of the paper and of sweeps, and the trainer's log, which knows no host.
ELSEWHERE = {
    "matplotlib": {"host/show/sweep_plots.py", "models/training/common/log_plot.py"},
    "zmq": {"noc/transport_tcp.py"},  # between machines
    "distributed": {  # what runs in the engine's workers, and such of our own
        "host/cluster/dask_worker.py",
        "host/cluster/private_cluster.py",
    },
}
# host/ from top to bottom: a room imports from itself and from lower floors. Rooms of one floor import each other one way at most.
FLOORS = (
    ("cli",),
    ("commands",),
    ("experiments",),
    ("launch", "cluster"),
    ("processes",),
    ("run",),
    ("workloads",),
    ("show",),
    ("cost", "mapping"),
    ("options", "run_folder", "provenance", "flags", "faults"),
    ("errors",),
)
FLAT_FILES = 8  # of host/, at most
LONGEST = 310  # lines of code
IMPORTING = (ast.Import, ast.ImportFrom, ast.Call)
BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

FILES = {path.relative_to(ROOT).as_posix(): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
FILES["launch.py"] = ROOT / "launch.py"


@functools.cache
def nodes(path):
    """Return every node of a file's syntax tree by which something may be imported."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    walk = ast.walk if "import_module" in text or "__import__" in text else statements  # most of a tree are expressions
    return [node for node in walk(tree) if isinstance(node, IMPORTING)]


def statements(node):
    """Yield every statement under a node, without expressions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.expr, ast.arguments)):
            yield child
            yield from statements(child)


def imported(path):
    """Return the top-level names that a file imports, wherever in it, by statement or by name."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and name_called(node) in ("import_module", "__import__"):
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.Constant):
                    found.add(str(part.value).split(".")[0])
    return found


def name_called(call):
    """Return the name of what is called, without what it belongs to."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


@functools.cache
def imports():
    """Return `imported` of every file; when asked, because each worker that runs tests imports this file."""
    return {name: imported(path) for name, path in FILES.items()}


def test_every_package_is_there():
    assert {name.split("/")[0] for name in FILES} == set(MAY_IMPORT)
    assert len(FILES) > 40


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(part):
    ours = {*PACKAGES, "launch", "tests", "bench", "experiments"}
    for name, names in imports().items():
        if name.split("/")[0] == part:
            assert names & ours - {part} <= MAY_IMPORT[part], name


@pytest.mark.slow
def test_benchmarks_take_nothing_of_tests_but_their_tools():
    for path in (ROOT / "bench").rglob("*.py"):
        assert not [name for name in modules(path) if name.split(".")[0] == "tests" and not name.startswith("tests.tools.")], path


@pytest.mark.parametrize("library", ONE_FILE_EACH)
def test_a_library_lives_in_one_file(library):
    at = {name for name, names in imports().items() if library in names}
    assert at == {ONE_FILE_EACH[library]} | ELSEWHERE.get(library, set())


@pytest.mark.parametrize("library", ["pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"])
def test_nothing_is_pickled(library):
    assert not [name for name, names in imports().items() if library in names]


def test_no_array_is_loaded_from_pickle():
    assert not [name for name, path in FILES.items() if "allow_pickle" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("clock", ["time", "socket", "threading", "subprocess", "asyncio", "random", "secrets"])
@pytest.mark.parametrize(
    "core",
    [
        "pe/core.py", "pe/link.py", "noc/router.py", "noc/router_links.py", "noc/link_end.py", "noc/resumable_line.py",
        "host/run/run.py", "host/run/feeding.py", "host/run/recovery.py", "host/launch/course.py", "host/launch/restarts.py",
        "host/launch/failures.py", "host/launch/obituary.py",
    ],
)  # fmt: skip
def test_a_core_owns_no_clock_socket_process_or_randomness(core, clock):
    assert clock not in imports()[core]


@pytest.mark.wide
def test_no_file_has_more_than_about_300_lines_of_code():
    """Without blanks, comments and docstrings, which are welcome."""
    sources = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
    lengths = {name: code_lines(source) for name, source in sources.items() if source.count("\n") > LONGEST}  # no others can
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def code_lines(source: str) -> int:
    """Return how many lines hold code."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    lines = {token.start[0] for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in BLANK}
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def modules(path):
    """Return the dotted names that a file may import, wherever in it, `a.b` for `from a import b` too."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            if any(f"{node.module}.{alias.name}" not in MODULES for alias in node.names):
                found.add(node.module)
    return found


MODULES = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in FILES}


@functools.cache
def arrows():
    """Return the project's own files that each file imports."""
    return {name: {MODULES[m] for m in modules(path) if m in MODULES} - {name} for name, path in FILES.items()}


def room(name):
    """Return the room of a file of host/: its folder, or itself where it lies flat."""
    return name.split("/")[1].removesuffix(".py")


def upwards(edges):
    """Return the (importer, imported) pairs of host/ that do not lead to a lower floor or stay in a room."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    inside = {(a, b) for a, others in edges.items() for b in others if a.startswith("host/") and b.startswith("host/")}
    between = {(room(a), room(b)) for a, b in inside}
    return {
        (a, b)
        for a, b in inside
        if floor[room(a)] > floor[room(b)]
        or (floor[room(a)] == floor[room(b)] and room(a) != room(b) and (room(b), room(a)) in between)
    }


def test_every_room_of_host_has_a_floor():
    rooms = {room(name) for name in FILES if name.startswith("host/") and name != "host/__init__.py"}
    assert rooms - {name for names in FLOORS for name in names} == set()
    assert len([name for name in FILES if name.startswith("host/") and name.count("/") == 1]) <= FLAT_FILES


def test_arrows_of_host_lead_downwards():
    """Late imports and those for types alone included."""
    assert upwards(arrows()) == set()


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(arrows()).prepare()  # CycleError names the files


def test_an_arrow_upwards_and_a_circle_would_be_noticed():
    up = {
        "host/run/run.py": {"host/launch/launcher.py"},
        "host/cost/a.py": {"host/mapping/b.py"},
        "host/mapping/c.py": {"host/cost/d.py"},
    }
    assert upwards(up) == {(a, b) for a, others in up.items() for b in others}
    assert not upwards({b: {a} for a, (b,) in list(up.items())[:2]})
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_the_cut_would_be_noticed(tmp_path):
    """The reader of imports finds every way to import."""
    path = tmp_path / "sample.py"
    path.write_text(
        "import a.b\nfrom c.d import e\ndef f():\n    import g as h\n    if h:\n        from i import j\n"
        "importlib.import_module('k.l')\n__import__('m')\nimport_module(f'n.{f}')\n",
        encoding="utf-8",
    )
    assert imported(path) == {"a", "c", "g", "i", "k", "m", "n"}
