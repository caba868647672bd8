"""More that goes wrong on several machines, and takes its time to: `tests/test_cluster_failures.py` has the rest."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time

import psutil
import pytest

from host.errors import Exit
from host.faults import Faults
from noc.bad_links import LinkFaults
from noc.transport_tcp import new_keys
from tests.tools.processes import SLOW, answer, children, gone
from tests.tools.work import crowding
from tests.tools.workers import struck, workers

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three machines with a chip each; the tests take away the last of them."""
    with workers(tmp_path_factory.mktemp("dask"), a=1, b=1, c=1) as started:
        started.wait(3)
        yield started


def test_a_process_on_another_machine_that_dies_is_named(run, cluster):
    def strike():
        next(process for process in cluster.family("b") if process.name() == "PE(1,1,0)@1").kill()

    outcome, seconds = struck(run, strike, chips=2, cluster=cluster.address)
    assert outcome.code is Exit.DIED
    assert re.fullmatch(r"PE\(1,1,0\)@1 died \(SIGKILL\) while RUNNING, at tick \d+; with .*", outcome.problem), outcome.problem
    assert seconds < 10 * crowding()
    assert outcome.report["partial"] is True
    assert gone(cluster.families)


def test_who_does_not_belong_to_the_run_is_refused_and_counted(run, reference, cluster, tmp_path):
    """Peers in plain text, with the keys of another run, with ours but without being one of us; and what is not even ZeroMQ."""
    import zmq

    where = tmp_path / "cluster.toml"
    where.write_text(f'address = "{cluster.address}"\n[transport]\ninterface = "127.0.0.0/8"\nports = [41500, 41599]\n')
    quiet: list[zmq.Context] = []
    stale, peers = new_keys(), []

    def strike():
        router = next(process for process in cluster.family("b") if process.name() == "router@1")
        (port,) = {c.laddr.port for c in router.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        assert 41500 <= port <= 41599
        context = zmq.Context()
        quiet.append(context)
        for server_key in (None, stale.public):
            peer = context.socket(zmq.DEALER)
            peer.setsockopt(zmq.ROUTING_ID, b"host")
            if server_key:
                peer.curve_publickey, peer.curve_secretkey = stale.public.encode(), stale.secret.encode()
                peer.curve_serverkey = server_key.encode()
            peers.append(peer)  # one that is collected would be closed
            peer.connect(f"tcp://127.0.0.1:{port}")
            peer.send(b"let me in")
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: router\r\n\r\n" + bytes(200))
            time.sleep(0.3)

    try:
        outcome, _ = struck(run, strike, chips=2, cluster=str(where))
    finally:
        for context in quiet:
            context.destroy(linger=0)
    assert outcome.code is Exit.OK, outcome.problem
    refused = outcome.report["machines"]["refused"]
    assert refused["plain_text"] + refused["broken_off"] >= 1  # who speaks plain text may be the first to hang up
    assert refused["stale_key"] >= 1
    assert outcome.report["conservation"]["wrong"] == []
    assert outcome.report["counters"]["malformed"] == {"host": 0}  # nobody heard them
    assert all(41500 <= port <= 41599 for m in outcome.report["machines"]["machines"] for port in m["ports"])


def test_a_lost_workers_chips_start_again_elsewhere_with_the_same_answer(run, cluster, reference):
    """Other networks, mappings and moments: `tests/test_recovery.py`."""
    cluster.add("spare", 1)
    cluster.wait(4)
    outcome, _ = struck(run, lambda: cluster.remove("c"), cluster=cluster.address, tokens=24, restart=True)
    assert answer(outcome) == reference
    (restart,) = outcome.report["machines"]["restarts"]
    assert "worker c" in restart["problem"]
    assert restart["position"] in (7, 14, 21)  # a segment has seven positions
    assert [m["name"] for m in outcome.report["machines"]["machines"]] == ["a", "b", "c", "a", "b", "spare"]
    assert gone(cluster.families)


def worker_processes() -> dict[str, psutil.Process]:
    """Return a worker of this program's own cluster, its agent, and the fork server of that one, by kind."""
    everyone = psutil.Process().children(recursive=True)
    agent = [process for process in everyone if "host.cluster.agent" in process.cmdline()][-1]
    worker = next(process for process in everyone if process.pid == agent.ppid())
    return {"agent": agent, "worker": worker, "fork server": agent.children()[0]}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("kind", ["worker", "agent"])
def test_a_worker_or_agent_that_dies_or_stands_still_under_restart_costs_no_answer(run, reference, kind, number):
    slow = Faults({"PE(1,1,1)@0": 0.6 if number == signal.SIGSTOP else 0.02})  # nothing stands on who is stopped: ticks go on
    outcome, _ = struck(
        run, lambda: worker_processes()[kind].send_signal(number), chips=2, cluster="local:2", tokens=24, faults=slow,
        restart=True, stall_s=3.0,
    )  # fmt: skip
    assert answer(outcome) == reference
    (restart,) = outcome.report["recovery"]["restarts"]
    assert restart["part"] == "a machine"
    assert re.match(r"worker \d on \S+ \(\S+\) with chip \d is lost: ", restart["problem"])
    assert outcome.report["recovery"]["counts_of_set"] == 2
    assert outcome.report["machines"]["restarts"] == [
        {key: restart[key] for key in ("problem", "tick", "position") if key in restart}
    ]
    assert gone(children, within_s=15)


@pytest.mark.parametrize("restart", [False, True])
def test_the_fork_server_of_an_agent_that_dies_is_named_and_no_pe(run, reference, restart):
    outcome, _ = struck(
        run, lambda: worker_processes()["fork server"].kill(), chips=2, cluster="local:2", tokens=24, faults=SLOW, restart=restart
    )
    line = (
        r"the fork server of worker \d on \S+ \(\S+\) died \(SIGKILL\), and every process there with it, while RUNNING, at tick \d+"
    )
    if restart:
        assert answer(outcome) == reference
        (one,) = outcome.report["recovery"]["restarts"]
        assert re.fullmatch(line, one["problem"]), one
    else:
        assert outcome.code is Exit.DIED
        assert re.fullmatch(line + "; with --restart a run goes on", outcome.problem), outcome.problem
    assert gone(children, within_s=15)


def test_machines_that_are_lost_again_and_again_end_the_run(run):
    """Each time the agent: its worker lives, and another agent runs there."""
    struck_pids = set[int]()

    def observe(status):
        if status["phase"] == "running" and status.get("tick", 0) > 3:
            with contextlib.suppress(IndexError, psutil.Error):  # it is dead already, and not yet replaced
                agent = worker_processes()["agent"]
                if agent.pid not in struck_pids:
                    agent.kill()
                    struck_pids.add(agent.pid)

    outcome = run(observe=observe, pes=6, chips=2, tokens=150, faults=SLOW, cluster="local:2", restart=True)
    assert outcome.code is Exit.DIED
    line = r"worker .* is lost: its agent ended \(exit code -9\), at tick \d+; it was replaced 3 times before"
    assert re.fullmatch(line, outcome.problem), outcome.problem
    assert [restart["part"] for restart in outcome.report["recovery"]["restarts"]] == ["a machine"] * 3
    assert len(struck_pids) == 4
    assert gone(children, within_s=15)


def test_bad_links_between_machines_and_within_them_are_mended(run, reference):
    outcome = run(chips=2, cluster="local:2", faults=Faults(links=LinkFaults(0.01, 0.01, 0.01, 0.01, 7)))
    assert answer(outcome) == reference
    counted = outcome.report["counters"]["links"]
    assert counted.keys() >= {"lost", "repeated", "damaged"}


def test_a_scheduler_that_dies_during_a_run_is_named(run, cluster):
    outcome, seconds = struck(run, lambda: cluster.kill("scheduler"), cluster=cluster.address, pes=4, chips=2, tokens=300)
    assert outcome.code is Exit.DIED
    assert re.fullmatch(r"the scheduler at tcp://\S+ is gone, at tick \d+; with --restart .*", outcome.problem), outcome.problem
    assert seconds < 12 * crowding()
    assert outcome.report["partial"] is True
    assert gone(cluster.families, within_s=15)  # agents that nobody can tell to end do so by themselves
