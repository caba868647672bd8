"""Whatever environment a run is started in: it runs, or there is one line and the right exit code."""

import errno
import json
import multiprocessing.forkserver
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
from array import array
from pathlib import Path
from types import SimpleNamespace

import pytest

from host.cluster.cluster_config import parse_cluster
from host.commands._run_workload import _read_config
from host.cost.cost_table import load_table
from host.errors import Exit, HostError
from host.launch.obituary import cause_of_death
from host.processes import control_groups, fork_server_link, room
from host.processes.backend import LocalBackend
from host.processes.child import Child
from host.processes.fork_environment import LACKS, MEMBERS_VARIABLE, NO_MEMORY, NO_ROUTER, NO_TASK, PRELOAD_VARIABLE, code_for_lack
from host.processes.parent_death import FOLDER_VARIABLE, LAUNCHER_VARIABLE
from host.processes.pe_starts import PeStarts
from host.processes.process_group import End, ProcessGroup
from host.provenance import input_record
from host.run.clock import SYSTEM_CLOCK
from host.run_folder import SCHEMA, printable, read_report, write_run
from host.workloads.lm.options import Options as LmOptions
from host.workloads.registry import workloads
from noc.chip import load_chip
from noc.wire import pack_status, unpack_status
from tests.tools.command_lines import without_compiling
from tests.tools.grids import some
from tests.tools.processes import SLOW, children, gone

ROOT = Path(__file__).resolve().parents[1]
LATIN = "caf\udce9"  # a name with a byte that is no UTF-8


def launch(*arguments, folder=ROOT, inside=(), **variables):
    """Run the command line as a user does; a variable that is None is not set."""
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    command = [*inside, sys.executable, str(ROOT / "launch.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def one_line(done, pattern, code=2):
    """Tell whether a command ended with this exit code and one line that has `pattern`."""
    return done.returncode == code and re.fullmatch(rf"gennaker: [^\n]*{pattern}[^\n]*\n", done.stderr)


# ---- all at once


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_run_in_an_environment_made_for_other_work_has_its_answer_and_its_page(folder, tmp_path, run):
    """A long TMPDIR, no HOME, a notebook's backend, LaTeX for all plots, a safe path, and names that are no UTF-8."""
    expected = run()
    long = tmp_path / "scratch_of_a_job_with_a_long_name" / ("x" * 80)
    long.mkdir(parents=True)
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nno such key\nfont.size: \xe9\n")
    text = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    text.write_bytes((folder / "text.txt").read_bytes())
    out = tmp_path / LATIN
    done = launch(
        "lm", "--checkpoint", folder / "tiny.safetensors", "--text", text, "--tokens", 24, "--pes", 5, "--no-monitor", "--out", out,
        TMPDIR=str(long), HOME=None, MPLBACKEND="module://matplotlib_inline.backend_inline", MPLCONFIGDIR=str(tmp_path),
        PYTHONSAFEPATH="1", LC_ALL="C", PYTHONIOENCODING="ascii",
        XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert expected.report["events"]["sha256"] in done.stdout
    assert (out / "report.html").stat().st_size > 10_000
    report = (out / "report.json").read_text()
    assert not re.search(r"(?<!\\)\\udc", report)  # half a surrogate pair, which other readers of JSON refuse
    assert json.loads((out / "config.json").read_text())["text"] == str(text)
    assert not [*long.iterdir()]  # nothing is left


# ---- folders and files


@pytest.mark.wide
def test_a_current_folder_that_is_gone_is_said(tmp_path):
    gone = ["bash", "-c", f'mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec "$@"', "--"]
    assert one_line(launch("info", ROOT / "models/shipped/tiny.safetensors", inside=gone), "the current folder is gone")


def test_the_socket_of_the_fork_server_has_a_short_name_in_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 100)))
    folder = Path(fork_server_link._make_short_folder())
    assert len(str(folder / "listener-12345678")) <= 107
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Path(fork_server_link._make_short_folder()).parent == tmp_path


def test_a_byte_order_mark_before_a_file_of_settings_is_dropped(tmp_path):
    mark = b"\xef\xbb\xbf"
    for name, content in (
        ("chip.toml", b"down_cores = []\r\n"),
        ("costs.toml", b"[settings]\r\n"),
        ("c.toml", b'kind = "local"\r\nworkers = 2\r\n'),
    ):
        (tmp_path / name).write_bytes(mark + content)
    (tmp_path / "config.json").write_bytes(mark + b'{"workload": "lm", "tokens": 7}')
    assert load_chip("spinnaker2", tmp_path / "chip.toml").down_cores == load_chip("spinnaker2", None).down_cores
    assert load_table(tmp_path / "costs.toml") == load_table()
    assert parse_cluster(str(tmp_path / "c.toml")).workers == 2
    assert _read_config(tmp_path / "config.json", workloads()["lm"], "lm").tokens == 7


def test_names_that_are_no_text_go_everywhere_and_are_printable_in_records(tmp_path):
    assert unpack_status(pack_status({"text": LATIN, "half": "\ud800"})) == {"text": LATIN, "half": "\ud800"}
    assert printable({LATIN: [LATIN, 1, None, ("é",)]}) == {"caf\\udce9": ["caf\\udce9", 1, None, ["é"]]}
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    place.mkdir()
    (place / os.fsdecode(b"\xff.aedat")).write_bytes(b"x")
    assert input_record({"data": place})[0]["covers"] == "names and content"
    write_run(place, {"text": LATIN}, {"schema": SCHEMA, "title": LATIN})
    assert json.loads((place / "config.json").read_text())["text"] == LATIN
    assert read_report(place)["title"] == "caf\\udce9"


@pytest.mark.wide
@pytest.mark.parametrize("content", some(["distributed: [oops", "- a\n- b\n"], "- a\n- b\n".__eq__))
def test_a_broken_configuration_of_dask_is_one_line(tmp_path, content):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    (tmp_path / "a.yaml").write_text(content)
    arguments = ("--tokens", 5, "--chips", 2, "--cluster", "local:2", "--no-pictures", "--no-monitor", "--out", tmp_path / "out")
    done = launch("lm", "--checkpoint", ROOT / "models/shipped/tiny.safetensors", *arguments, DASK_CONFIG=str(tmp_path))
    assert one_line(done, "--cluster: Dask cannot be loaded .*DASK_CONFIG"), done.stderr


# ---- limits


def fake_groups(tmp_path, monkeypatch, own, files):
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.setattr(control_groups, "_OWN", tmp_path / "own")
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "groups")


def test_limits_of_control_groups_of_version_2_count_those_around(tmp_path, monkeypatch):
    files = {
        "job/pids.max": "100\n", "job/pids.current": "40\n", "job/step/pids.max": "max\n", "job/step/pids.current": "9\n",
        "job/memory.max": "1000\n", "job/memory.current": "900\n", "job/memory.stat": "anon 100\ninactive_file 300\n",
        "job/step/memory.events": "oom 1\noom_kill 3\n",
    }  # fmt: skip
    fake_groups(tmp_path, monkeypatch, "0::/job/step\n", files)
    assert control_groups.task_headroom() == 60
    assert control_groups.memory_headroom_bytes() == 400
    assert control_groups.out_of_memory_kills() == 3


def test_limits_of_control_groups_of_version_1_are_found_from_within_a_container(tmp_path, monkeypatch):
    own = "8:pids:/docker/0123\n4:memory:/docker/0123\n0::/\n"
    files = {
        "pids/pids.max": "50\n", "pids/pids.current": "20\n", "memory/memory.limit_in_bytes": "1000\n",
        "memory/memory.usage_in_bytes": "700\n", "memory/memory.stat": "inactive_file 9\ntotal_inactive_file 100\n",
        "memory/memory.oom_control": "under_oom 0\noom_kill 2\n",
    }  # fmt: skip
    fake_groups(tmp_path, monkeypatch, own, files)
    assert control_groups.task_headroom() == 30
    assert control_groups.memory_headroom_bytes() == 400
    assert control_groups.out_of_memory_kills() == 2


def test_without_control_groups_nothing_is_limited(tmp_path, monkeypatch):
    fake_groups(tmp_path, monkeypatch, "0::/\n", {})
    assert control_groups.task_headroom() == control_groups.memory_headroom_bytes() == control_groups.UNLIMITED
    assert control_groups.out_of_memory_kills() == 0


@pytest.mark.parametrize(
    ("lack", "line"),
    [
        ({"memory_bytes": 10**8}, "memory: needs 454 MB, has 100 MB; raise the container's limit, or the machine's memory"),
        ({"tasks": 60}, "processes and threads: needs 154, has 60; raise ulimit -u, or the container's pids limit"),
    ],
)
def test_what_pes_need_is_counted_before_they_start(monkeypatch, lack, line):
    plenty = {"memory_bytes": 10**12, "tasks": 10**6, "descriptors": 10**6}
    monkeypatch.setattr(room, "resources_available", lambda: plenty | lack)
    assert room.shortage_for(150, 1) == f"no room for 150 PEs: {line}"
    backend = LocalBackend(ProcessGroup(), LmOptions("seeded"))
    plan = {"layout": {"pes": [{"name": f"PE(1,1,{n})@0"} for n in range(150)]}, "queue": 1, "routers": [{"name": "router@0"}]}
    backend.start_routers(plan)
    (record,) = backend.take_records()
    assert record == {"kind": "failed", "problem": f"no room for 150 PEs: {line}"}


def test_a_run_that_cannot_even_start_is_refused_with_what_to_raise(monkeypatch, run):
    few = {"memory_bytes": 10**12, "tasks": 5, "descriptors": 10**6}
    monkeypatch.setattr(room, "resources_available", lambda: few)
    outcome = run()
    assert outcome.code is Exit.USAGE
    assert outcome.problem.startswith("this machine has no room for a run: processes and threads: needs 7, has 5; raise ulimit -u")


@pytest.mark.wide
@pytest.mark.parametrize(
    ("megabytes", "line"), [(300, "address space: needs 600 MB, has 315 MB; raise ulimit -v"), (60, "no memory to load")]
)
def test_an_address_space_that_is_too_small_is_one_line(tmp_path, megabytes, line):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    arguments = [
        "lm",
        "--checkpoint",
        "models/shipped/tiny.safetensors",
        "--no-monitor",
        "--no-pictures",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [sys.executable, "launch.py", *arguments], cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert one_line(done, line), done.stderr


def test_what_the_system_does_not_give_is_an_exit_code_with_words():
    assert code_for_lack(MemoryError()) == code_for_lack(OSError(errno.ENOMEM, "")) == NO_MEMORY
    assert code_for_lack(BlockingIOError(errno.EAGAIN, "")) == NO_TASK
    assert code_for_lack(ValueError()) is code_for_lack(OSError(errno.EPERM, "")) is None
    group = ProcessGroup()
    assert group._describe_code(NO_MEMORY) == LACKS[NO_MEMORY]
    assert group._describe_code(255) == "exit code 255"
    assert group._describe_code(-signal.SIGKILL) == "SIGKILL"
    group._kills_before = -1  # the kernel has ended one since
    assert group._describe_code(-signal.SIGKILL) == "SIGKILL: it ran past the container's memory limit"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
            "no more processes can be started here .*; raise ulimit -u",
        ),
        (OSError(errno.EMFILE, "Too many open files"), "no more processes can be started here .*; raise ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device"), "no more processes can be started here .*; make room where TMPDIR is"),
        (
            FileNotFoundError(errno.ENOENT, "No such file"),
            "/no/such/folder was removed while processes were started: nothing may empty TMPDIR",
        ),
    ],
)
def test_processes_that_cannot_be_started_are_one_line_that_says_why(monkeypatch, error, line):
    monkeypatch.setenv("GENNAKER_LAUNCHER_FOLDER", "/no/such/folder")
    group = ProcessGroup()

    def fail():
        raise error

    group._fork_server._context = SimpleNamespace(Process=lambda **_: SimpleNamespace(start=fail))
    with pytest.raises(HostError, match=line) as raised:
        group.start("PE(1,1,0)@0", lambda: None)
    assert raised.value.code is Exit.DIED


# ---- signals and deaths


@pytest.mark.wide
def test_a_signal_that_is_ignored_at_the_start_stays_so(run):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hung_up = []

    def hang_up(status):
        if status["phase"] == "running" and not hung_up:
            hung_up.append(os.kill(os.getpid(), signal.SIGHUP))

    try:
        outcome = run(observe=hang_up, tokens=60, faults=SLOW)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert hung_up
    assert outcome.code is Exit.OK


@pytest.mark.wide
def test_a_killed_fork_server_is_named_and_no_pe_is_blamed(run):
    killed = []

    def kill(status):
        if status["phase"] == "running" and not killed:
            killed.append(os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL))

    outcome = run(observe=kill, tokens=60, faults=SLOW)
    assert outcome.code is Exit.DIED
    line = r"the fork server died \(SIGKILL\), and every process here with it, while RUNNING, at tick \d+; with --restart .*"
    assert re.fullmatch(line, outcome.problem), outcome.problem


@pytest.mark.wide
def test_a_killed_pe_server_is_named_and_no_pe_is_blamed(run):
    killed = []

    def kill(status):
        if status["phase"] == "running" and not killed:
            server = next(p.parent() for p in children() if p.name().startswith("PE("))
            assert server.name() == "PE server"
            killed.append(server.kill())

    outcome = run(observe=kill, tokens=60, faults=SLOW)
    assert outcome.code is Exit.DIED
    line = r"the PE server died \(SIGKILL\), and every PE here with it, while RUNNING, at tick \d+; with --restart .*"
    assert re.fullmatch(line, outcome.problem), outcome.problem
    assert gone(children)


def test_pes_are_started_one_by_one_where_processes_have_no_descriptors(run, monkeypatch):
    """As on Linux before 5.3."""

    def pidfd_open(pid, flags=0):
        raise OSError(errno.ENOSYS, "Function not implemented")

    with_descriptors = run(tokens=9)
    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    outcome = run(tokens=9)
    assert (outcome.code, outcome.report["events"]) == (Exit.OK, with_descriptors.report["events"])
    assert gone(children)


def test_a_pe_that_has_ended_and_is_gone_before_it_is_heard_of_is_one_that_ended():
    """Its number may be another process's by then: nobody is looked at, waited for or hit by it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    group = ProcessGroup()
    group._add(Child("PE(1,1,0)@0", ended.pid))
    assert (group.ended(), group.has_left("PE(1,1,0)@0")) == (["PE(1,1,0)@0"], False)
    assert group.end_of("PE(1,1,0)@0").who == "PE(1,1,0)@0"
    group.drop(["PE(1,1,0)@0"])
    assert group.ended() == []


def test_pes_are_being_started_as_long_as_the_pe_server_is_at_work_on_it():
    """A host is told so, and does not take PEs that are not there yet for some that stand still."""
    group, worked_s = ProcessGroup(), iter([0.1, 0.2, 0.2])
    group.worked_s = lambda name: next(worked_s)
    assert not group.starts_pes
    group._starts = PeStarts(None, ["PE(1,1,0)@0"])
    assert [group.starts_pes for _ in range(3)] == [True, True, False]


def test_a_pe_that_cannot_be_looked_at_is_not_taken_for_one_that_ended(monkeypatch):
    def pidfd_open(pid, flags=0):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    reading, writing = os.pipe()
    os.write(writing, array("q", [os.getpid()]))
    os.close(writing)
    line = r"Too many open files.; raise ulimit -n"
    with open(reading, "rb", buffering=0) as pipe, pytest.raises(HostError, match=line):  # noqa: PTH123 - a descriptor
        ProcessGroup()._take_starts(PeStarts(pipe, ["PE(1,1,0)@0"]))


def test_no_process_has_the_number_0():
    """Whoever sends a signal to it hits his whole group."""
    reading, writing = os.pipe()
    os.write(writing, array("q", [0]))
    os.close(writing)
    with open(reading, "rb", buffering=0) as pipe, pytest.raises(AssertionError):  # noqa: PTH123 - a descriptor
        list(PeStarts(pipe, ["PE(1,1,0)@0"]).take())


def test_a_pe_server_that_leaves_for_want_of_a_router_follows_that_one_and_counts_for_nobody():
    ends = {"the PE server": End("the PE server", LACKS[NO_ROUTER]), "router@0": End("router@0", "SIGKILL")}
    processes = SimpleNamespace(end_of=ends.__getitem__, has_left=lambda name: False)
    dead = iter([["the PE server"], ["router@0", "the PE server"]])
    end, more = cause_of_death(lambda: next(dead), {}, processes, within_s=1.0, clock=SYSTEM_CLOCK)
    assert (end, more) == (End("router@0", "SIGKILL"), 0)


@pytest.mark.parametrize(
    ("said", "taken", "left"),
    [([41, 42], [("a", 41), ("b", 42)], ["c"]), ([41, 42, 43], [("a", 41), ("b", 42), ("c", 43)], []), ([], [], [])],
    ids=["some", "all", "it ended"],
)
def test_what_a_pe_server_says_is_taken_as_it_comes(said, taken, left):
    reading, writing = os.pipe()
    os.write(writing, array("q", said))
    os.close(writing)
    with open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
        starts = PeStarts(pipe, "abc")
        assert list(starts.take()) == taken
        assert list(starts.names) == left


def test_a_pe_that_the_system_does_not_let_start_is_one_line_with_its_name():
    reading, writing = os.pipe()
    os.write(writing, array("q", [41, -errno.EAGAIN]))
    os.close(writing)
    group, added = ProcessGroup(), []
    group._add = lambda child: added.append(child.name)
    with open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
        line = "^no more processes can be started here .Resource temporarily unavailable.; raise ulimit -u"
        with pytest.raises(HostError, match=line):
            group._take_starts(PeStarts(pipe, ["PE(1,1,0)@0", "PE(1,1,1)@0"]))
    assert added == ["PE(1,1,0)@0"]


@pytest.mark.wide
@pytest.mark.parametrize("beginning", [b"", b"\x80\x05\x95"], ids=["nothing", "a part"])
def test_a_process_whose_launcher_dies_as_it_starts_it_leaves_without_a_word(beginning):
    """Its launcher was killed between asking the fork server for a process and sending what it should run."""
    text = f"""
        import os
        from multiprocessing import forkserver
        forkserver.set_forkserver_preload(["host.processes.fork_server"])
        sentinel, data = forkserver.connect_to_new_process([])
        forkserver.read_signed(sentinel)
        os.write(data, {beginning!r})
        os.close(data)
        print(forkserver.read_signed(sentinel))
    """
    own = {PRELOAD_VARIABLE, MEMBERS_VARIABLE, LAUNCHER_VARIABLE, FOLDER_VARIABLE}  # of a fork server that this process has
    env = {name: value for name, value in os.environ.items() if name not in own}
    command = [sys.executable, "-c", textwrap.dedent(text)]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, without_compiling(ended.stderr)) == ("1\n", "")


@pytest.mark.parametrize("code", [0, 255, -signal.SIGKILL])
def test_whoever_ends_with_the_fork_server_is_not_blamed(code):
    group = ProcessGroup()
    group._children["host"] = SimpleNamespace(exit_code=lambda within_s: code, is_of_pe_server=False)
    group.fork_server_end = lambda within_s=0.0: "SIGKILL"
    assert group.end_of("host") == ("the fork server", "SIGKILL")
    group.fork_server_end = lambda within_s=0.0: ""
    who, how = group.end_of("host")
    assert (who, bool(how)) == ("host", True)


def test_the_tracker_of_shared_memory_cleans_up_after_a_killed_process_without_a_word():
    text = """
        import multiprocessing, os, signal
        from host.processes.fork_server_link import start_tracker
        start_tracker()
        lock = multiprocessing.get_context("spawn").Lock()
        print("PYTHONWARNINGS" in os.environ, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(text)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGKILL, "False\n", "")


@pytest.mark.slow
def test_no_other_fork_server_takes_the_place_of_one_on_its_way_out():
    """Killed, it holds its children's ends back until the kernel is through with it; another would hide that, seconds later."""
    link = fork_server_link.ForkServerLink(3.0, str)
    link.start("", ())
    pid = multiprocessing.forkserver._forkserver._forkserver_pid
    os.kill(pid, signal.SIGKILL)
    real, looks = link.end, iter([""])
    link.end = lambda within_s=0.0: next(looks, None) or real(within_s)
    with pytest.raises(HostError, match=r"^the fork server died while processes were started"):
        link.fork("PE", print, (), {})
    assert multiprocessing.forkserver._forkserver._forkserver_pid == pid
    assert next(looks, "all used") == "all used"


@pytest.mark.wide
def test_packages_of_ones_own_in_the_working_folder_hide_none_of_ours(tmp_path):
    """`python -m launch` has the working folder first on the path, and every project has a `models`."""
    import subprocess

    for name in ("models", "host"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "launch", "list", "formats"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout[:7], done.stderr) == (0, "formats", "")
