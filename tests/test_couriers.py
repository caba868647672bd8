"""What PEs that exchange transfers promise: kernels of a user's own folder move bytes between PEs, DRAMs and over links, to the
byte, on any number of chips and in any order of arrival; everything is counted by kind; and boxes have the size that the arena
says.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.errors import HostError
from host.mapping.placement import place
from host.run.conservation import balance_transfers
from models import kernels
from models.families import VARIABLE, family_path
from models.graph_check import check_network
from models.network import ModelError, Network, Population, Projection, SparseRows
from noc import packet as p
from noc.chip import load_chip
from tests.tools.driver import Driver

COURIERS = Path(__file__).parent / "tools" / "couriers"
TICKS = 24
ASKER, ANSWERER = 1, 2


@pytest.fixture(autouse=True)
def _couriers(monkeypatch):
    monkeypatch.setenv(VARIABLE, str(COURIERS))
    monkeypatch.setattr(kernels, "__path__", family_path(kernels.__path__, "models.kernels"))
    kernels.named.cache_clear()
    yield
    kernels.named.cache_clear()


def network_of(units: int = 4) -> Network:
    ones = SparseRows.from_dense(np.ones((units, 3), np.float32))

    def layer(name, peers):
        return Population(name, units, name, (Projection(0, "input", ones),), peers=peers)

    return Network((Population("input", 3), layer("asker", (ANSWERER,)), layer("answerer", (ASKER,))), outputs=(ASKER,))


def sections(tick):
    return [p.Section(0, p.VALID | (p.FRESH | p.RESET) * (not tick), tick, b"", b"", b"")]


def drive(pes=4, chips=1, seed=None, network=None):
    placement = place(network or network_of(), load_chip(), "uniform", "csr", pes, chips=chips)
    driver = Driver(placement, TICKS, sections, seed)
    assert not driver.faults
    return driver


def answers(driver):
    """What each unit of the asker sent at each position."""
    out = {}
    for bundle in driver.bundles:
        for part in bundle.sections:
            if part.population == ASKER and part.flags & p.VALID:
                out[part.position] = np.frombuffer(part.values, "<f4").tolist()
    return out


def sum_at(turn, answerers):
    """The sum that a PE has after its exchange of a tick: five ticks after a WRITE its bytes are back, one more each."""
    rounds = range(0, max(turn - 4, 0), 3)
    return answerers * sum(((k + j) % 256 + 1) % 256 for k in rounds for j in range(16))


@pytest.mark.parametrize(("pes", "chips", "seed"), [(2, 1, None), (4, 1, 1), (2, 2, 2), (4, 2, 3), (8, 4, 4)])
def test_bytes_go_to_the_dram_and_back_to_every_peer_and_back_on_any_chips_in_any_order(pes, chips, seed):
    driver = drive(pes, chips, seed)
    answerers = sum(any(part.population == ANSWERER for part in placed.share) for placed in driver.placement.pes)
    have = answers(driver)
    assert have == {turn: [float(sum_at(turn, answerers))] * 4 for turn in range(len(have))}
    assert len(have) == TICKS
    assert have[TICKS - 2][0] > 0


@pytest.mark.parametrize(("pes", "chips", "seed"), [(4, 1, 5), (4, 2, 6), (8, 4, 7)])
def test_transfers_balance_by_kind_at_every_endpoint_and_on_every_link(pes, chips, seed):
    driver = drive(pes, chips, seed)
    accounts = balance_transfers(driver.placement.machine, *driver.accounts(), [0] * len(p.KINDS))
    assert accounts["wrong"] == []
    total = np.sum(list(accounts["sent"].values()), axis=0)
    assert (total[: p.PROBE] > 0).all()
    assert total[p.DATA] <= total[p.READ]
    assert any(map(any, accounts["links"].values())) == (chips > 1)
    assert sum(store["written_bytes"] for store in accounts["dram"].values()) == 16 * total[p.WRITE]
    pes_read, routers_read = driver.accounts()
    name = next(iter(pes_read))
    broken = {**pes_read, name: pes_read[name] | {"transfers_sent": [0, 0, 0, 99, 0]}}
    (line,) = balance_transfers(driver.placement.machine, broken, routers_read, [0] * len(p.KINDS))["wrong"]
    assert line.startswith(f"{name} sent 99 SIGNAL, its router counted ")


def test_boxes_are_regions_of_the_arena():
    regions = {r.name: r.size_bytes for placed in drive(2).placement.pes for r in placed.regions}
    assert regions["1.inbox"] == 16 * 24
    assert regions["1.inbox_data"] == 512
    assert regions["2.outbox_data"] == 64
    assert regions["2.peers"] == 64


def test_more_peers_than_a_kernel_has_room_for_are_refused_before_a_process_starts():
    with pytest.raises(HostError, match=r"asker.*18 peers; its neuron model has room for 16"):
        place(network_of(20), load_chip(), "uniform", "csr", 32).configure(1)


def test_an_inbox_that_runs_over_is_a_fault_that_names_the_pe_and_what_came(monkeypatch):
    answerer = kernels.named("answerer")
    monkeypatch.setattr(answerer, "TRANSFERS", answerer.TRANSFERS._replace(bytes_in=8))
    placement = place(network_of(), load_chip(), "uniform", "csr", 2)
    driver = Driver(placement, TICKS, sections)
    (fault,) = driver.faults
    assert "1 transfers of 16 B; its inbox has room for 4 of 8 B" in fault
    assert fault.startswith("PE(")


def test_peers_that_exchange_nothing_are_refused_by_name():
    network = network_of()
    asker = replace(network.populations[ASKER], peers=(0,))
    with pytest.raises(ModelError, match="asker: may send transfers to population 0, which takes none"):
        check_network(Network((network.populations[0], asker, network.populations[2]), outputs=(ASKER,)))
    egru = replace(network.populations[ASKER], kernel="egru")
    with pytest.raises(ModelError):
        check_network(Network((network.populations[0], egru, network.populations[2]), outputs=(ASKER,)))
