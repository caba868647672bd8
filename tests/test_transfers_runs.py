"""Runs whose PEs exchange transfers: on processes as in one, on one chip and two, with what the host has put into DRAMs; accounts
of transfers balance; and where all PEs, routers and DRAMs are lost the run goes on from a snapshot.
"""

from __future__ import annotations

import multiprocessing.forkserver
from dataclasses import replace

import numpy as np
import pytest

from host.errors import Exit, HostError
from host.launch.launcher import Launcher
from host.mapping.placement import place
from host.run.run import Run
from models.checkpoint import Model, load, save
from models.checkpoint.graph import facts_of, graph_of, parse
from models.network import ModelError
from noc.chip import load_chip
from noc.columns import Columns
from noc.packet import PROBE
from pe.compiled_columns import CompiledColumns
from tests.tools.couriers_path import with_couriers
from tests.tools.losses import run_with_losses

pytestmark = pytest.mark.timeout(240)
STEPS = 30


@pytest.fixture(scope="module", autouse=True)
def _couriers():
    with with_couriers():
        multiprocessing.forkserver._forkserver._stop()  # one from a test before knows of no couriers
        yield
        multiprocessing.forkserver._forkserver._stop()


def options(**chosen):
    from host.workloads.couriers.options import Options

    made = Options(**{"pes": 6, "steps": STEPS} | chosen)
    made.check()
    return made


def launched(**chosen):
    return Launcher(options(**chosen), lambda _: None, lambda _: None).run()


def read_so_far(position):
    """What a reader has added up at a position: it reads a block at each tick, and has it two ticks later."""
    from host.workloads.couriers.prepare import CONTENT
    from models.kernels.reader import BLOCK, BLOCKS

    return sum(sum(CONTENT[BLOCK * (k % BLOCKS) :][:BLOCK]) for k in range(max(position - 1, 0)))


@pytest.mark.wide
@pytest.mark.slow_but("1")
@pytest.mark.parametrize("chips", [1, 2])
def test_a_workload_that_moves_bytes_runs_on_processes_as_in_one(chips):
    alone = launched(transport="mem", chips=1)
    outcomes = [launched(transport="zmq", chips=chips), launched(transport="mem", chips=chips)]
    for outcome in [alone, *outcomes]:
        assert (outcome.code, outcome.problem) == (0, None)
        report = outcome.report
        assert report["events"] == alone.report["events"]
        assert report["result"]["sums"] == [float(read_so_far(position)) for position in range(STEPS)]
        accounts = report["conservation"]
        assert accounts["wrong"] == []
        sent, delivered = (np.sum(list(accounts["transfers"][what].values()), axis=0) for what in ("sent", "delivered"))
        assert (sent == delivered).all()
        assert (sent[:PROBE] > 0).all()
        assert sent[PROBE] == 0
        assert accounts["transfers"]["delivered"]["host"] == [0, 0, 0, 2 * STEPS, 0]
        stores = accounts["transfers"]["dram"]
        assert len(stores) == report["mapping"]["chips"]
        assert report["modelled"]["time_s"] > 0
        assert any(map(any, accounts["transfers"]["links"].values())) == (report["mapping"]["chips"] > 1)


@pytest.mark.wide
def test_its_report_fits_the_schema(tmp_path):
    from test_report_schema import report_of, validate

    report = report_of(tmp_path / "run", {"workload": "couriers", "pes": 6, "chips": 2, "steps": 12, "transport": "mem"})
    validate(report)
    assert report["modelled"]["work"]["dram_written_bytes"] > 0
    assert report["counters"]["additions"] > 0


def test_a_dram_that_no_pe_asks_is_refused_before_anything_starts():
    outcome = launched(chips=2, transport="mem", stores=2)
    assert outcome.code is Exit.USAGE
    assert outcome.problem == "DRAM@2: cannot be filled; DRAMs that PEs exchange transfers with: DRAM@0, DRAM@1"


def job_of(**chosen):
    from host.workloads.registry import prepare

    return prepare(options(**chosen))


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([(0x400, b"ab"), (0x400, b"c")], "two regions to fill hold byte 0x400"),
        ([(0, b"a")], "bytes 0x0 to 0x1; has 2 x"),
        ([(0x408, b"a")], "needs a start aligned to 16 B"),
    ],
)
def test_fills_that_cannot_be_are_refused_by_address(regions, words):
    job = job_of()
    with pytest.raises(HostError) as caught:
        Run(job.placement, job.source, job.readout, fills={0: regions})
    assert words in str(caught.value)
    assert str(caught.value).startswith("DRAM@0: ")


def answer(*losses, chips=2, snapshot=5, shuffle=3, columns=CompiledColumns):
    job = job_of(chips=chips)
    run = Run(job.placement, job.source, job.readout, repeatable=True, snapshot_positions=snapshot, fills=job.fills)
    went_on = run_with_losses(run, losses, shuffle, make_columns=columns)
    assert run.conservation()["wrong"] == []
    counts = [run.counts.events(n) for n in job.placement.network.layers]
    return (run.events.report(), counts, job.readout.result(), run.recorder.ledger().events.tobytes()), went_on


@pytest.mark.few(1)
@pytest.mark.parametrize("chips", [1, 2])
@pytest.mark.parametrize("snapshot", [0, 5])
def test_what_pes_and_drams_hold_is_the_same_wherever_they_were_lost(chips, snapshot):
    whole, _ = answer(chips=chips, columns=Columns)
    again = [answer(*losses, chips=chips, snapshot=snapshot) for losses in ((25,), (55, 60), (70, 40, 48))]
    assert all(same == whole for same, _ in again)
    assert any(position for _, went_on in again for position in went_on) == bool(snapshot)


def test_peers_are_in_a_checkpoint(tmp_path):
    from host.workloads.couriers.prepare import ANSWERER, network

    save(tmp_path / "couriers.safetensors", Model(network()))
    again = load(tmp_path / "couriers.safetensors").network
    assert [population.peers for population in again.populations] == [(), (ANSWERER,), (1,), ()]
    one = place(again, load_chip(), "uniform", "csr", 6, chips=2)
    other = place(network(), load_chip(), "uniform", "csr", 6, chips=2)
    assert [one.peers(placed) for placed in one.pes] == [other.peers(placed) for placed in other.pes]


def test_a_checkpoint_with_peers_that_cannot_be_is_refused(tmp_path):
    from host.workloads.couriers.prepare import ASKER, network

    whole = network()
    asker = replace(whole.populations[ASKER], peers=(9,))
    populations = [*whole.populations[:ASKER], asker, *whole.populations[ASKER + 1 :]]
    with pytest.raises(ModelError, match="asker: may send transfers to population 9, which takes none"):
        save(tmp_path / "wrong.safetensors", Model(replace(whole, populations=tuple(populations))))


@pytest.mark.parametrize(
    ("number", "peers", "words"),
    [
        (1, [9], "peers [9] of 4 populations cannot be"),
        (1, [2, 2], "peers need numbers of populations, each once"),
        (1, ["2"], "peers need numbers of populations, each once"),
        (1, 2, "peers need numbers of populations, each once"),
        (0, [1], "an input has no projections and no peers"),
    ],
)
def test_peers_that_a_file_may_not_have_are_refused_by_name(number, peers, words):
    from host.workloads.couriers.prepare import network

    about = facts_of(graph_of(network()))
    about["populations"][number]["peers"] = peers
    with pytest.raises(ModelError) as caught:
        parse("file", about)
    assert words in str(caught.value)
    assert str(caught.value).startswith("file: ")


def test_a_network_without_peers_says_nothing_of_them():
    from host.workloads.couriers.prepare import network

    plain = replace(network(), populations=tuple(replace(population, peers=()) for population in network().populations))
    assert all("peers" not in facts for facts in facts_of(graph_of(plain))["populations"])
    assert parse("file", facts_of(graph_of(network()))) == graph_of(network())
