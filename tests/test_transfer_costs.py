"""What transfers cost: the ledger has each sender's, target by target and position by position, as the routers counted them; and
their price is what one gets by hand.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_transfers_runs import answer, job_of

from host.cost.cost_table import load_table
from host.cost.ledger import BYTES, MESSAGES, READ_BYTES, READS, Ledger
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.price import price_at
from host.cost.price import price_positions as price
from host.cost.terms import terms_of
from host.errors import HostError
from host.run.offline import record
from host.run.run import Run
from noc import packet as p
from noc.chip import load_chip
from tests.tools.couriers_path import with_couriers
from tests.tools.losses import run_with_losses

CHIP, TABLE = load_chip(), load_table()
NONE = np.zeros((0, 0, 4), np.uint32)


@pytest.fixture(scope="module", autouse=True)
def _couriers():
    with with_couriers():
        yield


@pytest.fixture(scope="module")
def runs(_couriers):
    made = {}
    for chips in (1, 2):
        job = job_of(chips=chips)
        made[chips] = Run(job.placement, job.source, job.readout, fills=job.fills)
        run_with_losses(made[chips], shuffle=1)
    return made


def without(ledger: Ledger) -> Ledger:
    return replace(ledger, peers={name: column[:0] for name, column in ledger.peers.items()}, transfers=NONE)


@pytest.mark.parametrize("chips", [1, 2])
def test_the_ledger_has_what_the_routers_counted(runs, chips):
    """But for what was sent after the last step, which is a tick's at most."""
    run = runs[chips]
    ledger, sent = run.recorder.ledger(), run.conservation()["transfers"]["sent"]
    pes = ledger.shards["pe"][ledger.peers["shard"]]
    for number, pe in enumerate(ledger.pes):
        own = ledger.transfers[:, pes == number].sum(axis=(0, 1))
        read, write, _, signal, _ = sent[str(pe)]
        assert 0 <= read - own[READS] <= 1
        assert 0 <= write + signal - own[MESSAGES] <= 8
        assert own[READ_BYTES] == 16 * own[READS]
    assert (ledger.transfers[:5].sum(axis=(0, 1)) > 0).all()
    assert ledger.transfers.max() < 100  # each position has its own, and not all before it


@pytest.mark.wide
def test_a_run_that_was_lost_has_the_same_rows():
    """The totals go on where the PEs went on."""
    rows = []
    for losses in ((), (55, 60)):
        job = job_of(chips=2)
        run = Run(job.placement, job.source, job.readout, repeatable=True, snapshot_positions=5, fills=job.fills)
        run_with_losses(run, losses, shuffle=3)
        rows.append(run.recorder.ledger().transfers)
    assert rows[0].tobytes() == rows[1].tobytes()
    assert answer()[1] == []


def test_what_a_kernel_counts_in_its_exchange_is_in_the_ledger_and_its_twin_prices_it(runs):
    """An answerer adds one to each byte of each SIGNAL that an asker sends it."""
    ledger, run = runs[1].recorder.ledger(), runs[1]
    additions = ledger.by_turn["additions"].astype(np.int64)
    answerers = ledger.shards["population"] == 2
    assert (additions[:, ~answerers] == 0).all()
    to_answerers = answerers[ledger.shards["pe"][np.maximum(ledger.peers["pe"], 0)]] & (ledger.peers["pe"] >= 0)
    told = ledger.transfers[:, to_answerers, BYTES].astype(np.int64).sum(axis=1)
    assert additions[1:].sum(axis=1).tolist() == told[:-1].tolist()  # they hear it a tick later
    assert (
        0 < run.counts.of_kernels()["additions"] - additions.sum() <= 32 or additions.sum() == run.counts.of_kernels()["additions"]
    )
    priced = price(ledger, CHIP, TABLE)
    units = priced.shard_cycles[:, answerers, priced.stages.index("pointwise")]
    stepped = 5 * ledger.units_stepped[:, answerers]
    np.testing.assert_array_equal(units, stepped + 3 * additions[:, answerers])


@pytest.mark.few(1)
@pytest.mark.parametrize("chips", [1, 2])
def test_a_ledger_with_transfers_comes_back_and_one_with_wrong_peers_is_refused(runs, chips, tmp_path):
    ledger = runs[chips].recorder.ledger()
    save_ledger(ledger, tmp_path)
    again = load_ledger(tmp_path)
    assert again.transfers.tobytes() == ledger.transfers.tobytes()
    assert price_at(again).time_s == price_at(ledger).time_s
    for column, value, words in (("pe", 99, "peers.pe needs -1 to 5, has -1 to 99"), ("shard", -1, "peers.shard needs 0 to 5")):
        wrong = {name: numbers.copy() for name, numbers in ledger.peers.items()}
        wrong[column][0] = value
        save_ledger(replace(ledger, peers=wrong), tmp_path)
        with pytest.raises(HostError, match=words):
            load_ledger(tmp_path)


def test_a_ledger_without_transfers_has_no_stage_for_them_and_the_price_that_it_had(runs):
    ledger = without(runs[1].recorder.ledger())
    priced = price_at(ledger)
    assert "transfers" not in priced.stages
    assert "transfers" not in priced.work
    assert "chip.dma_setup_cycles" not in price_at(ledger, ["messages=multicast"]).assumed
    assert "chip.dma_setup_cycles" in price_at(runs[1].recorder.ledger(), ["messages=multicast"]).assumed


def test_transfers_within_a_chip_cost_a_dma_each_and_what_the_dram_moves(runs):
    """A reader asks for 16 bytes and tells the host 4 at each position: a DMA of a flit, and a packet that the core writes."""
    ledger = runs[1].recorder.ledger()
    priced = price(ledger, CHIP, TABLE)
    noc = CHIP.pe_clock_hz / CHIP.noc_clock_hz
    port = TABLE["port_flit_cycles"] / noc  # NoC cycles that a flit takes through its PE's port
    dma = CHIP.dma_setup_cycles + (port + TABLE["dma_wait_noc_cycles"]) * noc
    packet = TABLE["packet_setup_cycles"] + TABLE["packet_cycles"]
    column = priced.stages.index("transfers")
    reader = np.flatnonzero(ledger.shards["population"] == 3)
    np.testing.assert_allclose(priced.shard_cycles[:, reader, column], dma + packet)
    of_dram = ledger.peers["pe"] < 0
    of_dram &= ledger.peers["chip"] >= 0
    moved = ledger.transfers[:, of_dram].astype(np.int64)
    assert priced.work["dram_written_bytes"] == moved[:, :, BYTES].sum()
    read = price(without(ledger), CHIP, TABLE).work["dram_read_bytes"]
    assert priced.work["dram_read_bytes"] - read == moved[:, :, READ_BYTES].sum()
    # Few bytes come while a PE's DMA waits for its interrupt; a slow DRAM shows, but for what sending and the way hide or add.
    assert (priced.wait_s == price(without(ledger), CHIP, TABLE).wait_s).all()
    slow = load_chip(numbers={"dram_sustained_bytes_per_s": 1e6})
    waited = price(ledger, slow, TABLE).wait_s - price(without(ledger), slow, TABLE).wait_s
    by_layer = ledger.shards["population"][ledger.peers["shard"][of_dram]]
    for n, layer in enumerate(ledger.layers):
        size = moved[:, by_layer == layer][:, :, [BYTES, READ_BYTES]].sum(axis=(1, 2))
        np.testing.assert_allclose(waited[:, n], size / 1e6, atol=1e-6)


def test_what_crosses_links_is_packets_of_four_bytes_and_a_packet_a_read(runs):
    """The second chip's answerer sends 16 bytes to each asker and to the first chip's DRAM; the askers answer 16 to it."""
    ledger = runs[2].recorder.ledger()
    with_them, bare = price(ledger, CHIP, TABLE), price(without(ledger), CHIP, TABLE)
    peers, counts = ledger.peers, ledger.transfers.astype(np.int64)
    source = ledger.chip_of[ledger.shards["pe"][peers["shard"]]]
    for way, here, there in (("0>1", 0, 1), ("1>0", 1, 0)):
        to = np.where(peers["chip"] < 0, 0, peers["chip"])
        crossing = counts[:, (source == here) & (to == there)].sum(axis=(0, 1))
        answers = counts[:, (source == there) & (to == here)].sum(axis=(0, 1))
        expected = crossing[BYTES] // 4 + crossing[READS] + answers[READ_BYTES] // 4
        have, before = (
            dict(zip(map(str, one.link_traffic.links), one.link_traffic.packets.sum(axis=(0, 1)), strict=True))
            for one in (with_them, bare)
        )
        assert have.get(way, 0) - before.get(way, 0) == expected
    assert with_them.energy_parts_j["links"] > bare.energy_parts_j["links"]


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "settings", [(), ("schedule=pipelined",), ("messages=multicast",), ("dram=prefetched",), ("messages=packets",)]
)
@pytest.mark.parametrize("chips", [1, 2])
def test_stages_add_up_and_transfers_are_never_free(runs, chips, settings):
    ledger = runs[chips].recorder.ledger()
    priced, bare = (price(one, *terms_of(one, settings)) for one in (ledger, without(ledger)))
    assert priced.time_s > bare.time_s
    assert priced.energy_j > bare.energy_j
    assert priced.time_band_s[0] <= priced.time_s <= priced.time_band_s[1]
    assert priced.work["transfers"] == ledger.transfers[:, :, [MESSAGES, READS]].sum()
    whole = priced.layer_s.sum(axis=0)
    for n, name in enumerate(ledger.layer_names):
        assert sum(priced.stages_s[name].values()) == pytest.approx(whole[n])


def test_what_follows_from_pes_is_not_recorded_without_them():
    job = job_of(chips=1)
    with pytest.raises(HostError, match="recording: asker exchanges transfers, which follow from its PEs; run it"):
        record(job.placement, job.source, job.readout)


def test_words_of_the_host_and_of_the_pes_are_the_same():
    assert p.READ == 0
    assert (MESSAGES, BYTES, READS, READ_BYTES) == (0, 1, 2, 3)
