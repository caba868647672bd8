"""What goes wrong on several machines: each is named within ten seconds, everything is cleaned up everywhere, a partial report is
written; and with `restart` the run goes on elsewhere and gives the same answer.
"""

from __future__ import annotations

import re
import shutil
import signal
import threading
import time
import weakref
from multiprocessing import get_context
from types import SimpleNamespace

import pytest

from host.cluster.cluster_config import parse_cluster
from host.cluster.dask_client import DaskClient
from host.errors import Exit
from host.faults import Faults
from host.processes.fork_server_link import own_children
from tests.tools.processes import answer, children, gone
from tests.tools.work import crowding
from tests.tools.workers import ROOT, struck, workers

pytestmark = [pytest.mark.wide, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three machines with a chip each; the tests take away the last of them."""
    with workers(tmp_path_factory.mktemp("dask"), a=1, b=1, c=1) as started:
        started.wait(3)
        yield started


def test_the_end_of_a_cluster_of_our_own_has_a_bound_whatever_dask_waits_for(tmp_path):
    """Its workers are killed then, none is replaced, and nobody waits for it when this process ends."""
    private_cluster, over = pytest.importorskip("host.cluster.private_cluster"), threading.Event()

    class Slow:
        workers, _instances = {0: SimpleNamespace(auto_restart=True)}, weakref.WeakSet()
        abandon = private_cluster.PrivateCluster.abandon

        def close(self, timeout):
            over.wait(60)

    client, worker = DaskClient("run", parse_cluster("local:2"), 1, tmp_path), get_context("fork").Process(target=over.wait)
    client._client, client._cluster, client._others = Slow(), Slow(), own_children()
    Slow._instances.add(client._cluster)
    worker.start()
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 2 * 2.0 * crowding()  # one bound for both, which wait side by side
    over.set()
    worker.join(10)
    assert worker.exitcode == -signal.SIGKILL
    assert (client._cluster.workers[0].auto_restart, [*Slow._instances]) == (False, [])


@pytest.mark.slow
def test_a_process_and_an_agent_that_die_are_named_and_replaced_with_the_same_answer(run, cluster, reference):
    victims = ["PE(1,1,0)@1", "agent"]

    def observe(status):
        is_next = victims and len(victims) == 2 - status.get("restarts", 0)
        if status["phase"] == "running" and status.get("tick", 0) > 10 and is_next:
            name = victims.pop(0)
            next(process for process in cluster.family("b") if process.name() == name).kill()

    slow = Faults({"PE(1,1,1)@0": 0.06})  # so that it is seen that ticks run again
    outcome = run(observe=observe, pes=6, chips=3, tokens=24, faults=slow, cluster=cluster.address, restart=True)
    assert answer(outcome) == reference
    first, second = outcome.report["recovery"]["restarts"]
    assert (first["part"], second["part"]) == ("PE(1,1,0)@1", "a machine")
    assert first["problem"].startswith("PE(1,1,0)@1 died (SIGKILL) while RUNNING, at tick ")
    assert re.match(r"worker b on \S+ \(tcp://.*\) with chip 1 is lost: its agent ended \(exit code -9\)", second["problem"])
    assert min(first["back_s"], second["back_s"]) > 0
    assert [m["name"] for m in outcome.report["machines"]["machines"]] == ["a", "b", "c"] * 3
    assert gone(cluster.families)


def test_a_worker_that_dies_is_named_and_all_machines_are_left_clean(run, cluster):
    outcome, seconds = struck(run, lambda: cluster.kill("c"), cluster=cluster.address)
    assert outcome.code is Exit.DIED
    assert re.match(r"worker c on \S+ \(tcp://.*\) with chip 2 is lost: .*, at tick \d+; with --restart", outcome.problem), (
        outcome.problem
    )
    assert seconds < 10 * crowding()
    assert outcome.report["partial"] is True
    assert outcome.report["problem"] == outcome.problem
    assert gone(cluster.families)
    assert gone(children)


def test_too_few_chips_are_said_with_both_numbers(run, cluster):
    began = time.monotonic()
    outcome = run(pes=12, chips=6, cluster=cluster.address)
    assert outcome.code is Exit.DOES_NOT_FIT
    assert re.match(r"--cluster: 2 workers at tcp://\S+ have chips=2 in all .*; needs 6$", outcome.problem), outcome.problem
    assert time.monotonic() - began < 10 * crowding()


FORGET_THE_PROJECT = f"""import sys
sys.path[:] = [entry for entry in sys.path if entry != {str(ROOT)!r}]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
"""
"""Run by a worker's Python when it starts: an environment in which the project is installed for development has it anywhere."""


@pytest.mark.slow
def test_a_worker_without_the_project_or_with_another_package_of_its_name_is_named(run, tmp_path):
    bare, namesake = tmp_path / "bare", tmp_path / "elsewhere" / "host" / "__init__.py"
    for folder in (bare, namesake.parent):
        folder.mkdir(parents=True)
    namesake.touch()
    for folder in (bare, namesake.parents[1]):
        (folder / "sitecustomize.py").write_text(FORGET_THE_PROJECT)
    with workers(tmp_path) as cluster:
        for name, path, place in (("bare", bare, "nowhere"), ("namesake", namesake.parents[1], str(namesake))):
            cluster.add(name, 1, PYTHONPATH=str(path))
            cluster.wait(1)
            outcome = run(pes=4, cluster=cluster.address)
            assert outcome.code is Exit.USAGE
            why = rf"\(.*No module named.*; package host: {re.escape(place)}\); install the same one as here, \w{{12}}"
            line = rf"worker tcp://\S+: the project cannot be imported there, or is another version {why}"
            assert re.fullmatch(line, outcome.problem), outcome.problem
            cluster.remove(name)
            cluster.wait(0)


@pytest.mark.slow
def test_a_worker_without_room_and_one_of_another_version_are_named_before_anything_starts(run, cluster, tmp_path):
    cluster.remove("b")
    cluster.add("tight", 1, inside=("bash", "-c", 'ulimit -n 140 && exec "$@"', "--"))
    cluster.wait(2)
    outcome = run(pes=24, chips=2, cluster=cluster.address)
    assert outcome.code is Exit.DOES_NOT_FIT
    line = r"worker tight on \S+ \(.*\) has no room for 1 chips with 12 PEs: open files: needs 152, has 140"
    assert re.fullmatch(line, outcome.problem), outcome.problem
    cluster.remove("tight")
    for package in ("host", "noc", "pe", "models"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    source = tmp_path / "noc" / "mesh_routes.py"
    source.write_text(source.read_text() + "# newer\n")
    cluster.add("newer", 1, PYTHONPATH=str(tmp_path))
    cluster.wait(2)
    outcome = run(pes=4, chips=2, cluster=cluster.address)
    assert outcome.code is Exit.USAGE
    line = r"worker newer at tcp://\S+: has version \w{12} of the project; needs \w{12}, as here"
    assert re.fullmatch(line, outcome.problem), outcome.problem
    assert gone(cluster.families)


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(run):
    began = time.monotonic()
    outcome = run(cluster="tcp://127.0.0.1:9")
    assert outcome.code is Exit.DIED
    assert outcome.problem.startswith("no scheduler answers at tcp://127.0.0.1:9 (")
    assert time.monotonic() - began < 10 * crowding()
