"""Recordings: the same events as a run, and the same ledger for any placement, to the last integer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.errors import HostError
from host.mapping.placement import place
from host.run.offline import load_offline_run, load_or_record, network_sha256, record
from host.workloads.arrays.lane_plan import LanePlan
from host.workloads.arrays.seeded_numbers import seeded_features
from host.workloads.arrays.source import ArraySource
from host.workloads.rows_in_dram import RowsInDram
from models.network import Network
from models.reference import Reference
from noc.chip import load_chip
from noc.dram import Dram
from noc.packet import FRESH, RESET, VALID
from tests.tools.ledgers import Fixed, Ignored, placed, ran, three_units
from tests.tools.tiny import tiny_network

CHIP = load_chip()
NETWORK = tiny_network()
POSITIONS, UNITS = 9, 20


def features(lanes=1, positions=POSITIONS, seed=1):
    """Return a workload of seeded vectors, some elements of which are silent."""
    vectors = seeded_features(lanes, positions, UNITS, seed)
    vectors[:, :, ::3] = 0
    vectors[:, 4] = 0  # a position without any event
    rows = RowsInDram.of(Dram(1 << 20, 16), "features", vectors.reshape(-1, UNITS))
    return ArraySource({0: rows}, LanePlan([positions] * lanes, lanes))


@pytest.fixture(scope="module")
def recordings():
    return {lanes: record(placed(NETWORK, lanes=lanes), features(lanes), Ignored()) for lanes in (1, 3)}


def same(one, other):
    for name in ("events", "input_events", "port_counts", "stepped"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for table in ("shards", "ports", "per_lane", "by_turn"):
        assert list(getattr(one, table)) == list(getattr(other, table))
        assert all(np.array_equal(column, getattr(other, table)[name]) for name, column in getattr(one, table).items())
    for name in (
        "populations",
        "outputs",
        "interval",
        "port_names",
        "pes",
        "lanes",
        "format",
        "chip",
        "chips",
        "down_chips",
        "down_links",
    ):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.few(2)
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(
    ("form", "pes", "mapping"),
    [("csr", 5, "uniform"), ("csr", 2, "uniform"), ("packed", 7, "balanced"), ("dense", 3, "uniform"), ("dense", 68, "uniform")],
)
def test_the_ledger_is_that_of_a_run(recordings, lanes, form, pes, mapping):
    placement = placed(NETWORK, pes, form, lanes, mapping)
    run = ran(placement, features(lanes))
    same(recordings[lanes].ledger(placement), run.recorder.ledger())
    assert recordings[lanes].sha256 == run.events.sha256()


@pytest.mark.parametrize("activity", ["none", "all"])
def test_also_of_networks_where_nothing_or_everything_fires(activity):
    network = tiny_network(activity)
    placement = placed(network, 6, "packed")
    same(record(placement, features(), Ignored()).ledger(placement), ran(placement, features()).recorder.ledger())


def test_the_events_are_those_of_the_plain_reference(recordings):
    reference, workload = Reference(NETWORK), features()
    for position in range(POSITIONS):
        feed = workload.next()
        x = np.zeros(UNITS, np.float32)
        x[np.frombuffer(feed.events[0][0], "<u4")] = np.frombuffer(feed.events[0][1], "<f4")
        for n, (y,) in reference.step({0: x}).items():
            assert np.array_equal(recordings[1].layers[n].events[position, 0], y != 0)


def test_three_units_by_hand():
    """As in tests/test_ledger.py: what unit 0, with most weights, hears of inputs 0 and 1, and of units 0 and 2."""
    recording = record(placed(three_units()), Fixed([(0,), (0, 1), ()]), Ignored())
    layer = recording.layers[1]
    assert layer.events.tolist() == [[[1, 0, 1]]] * 3
    assert layer.heard[0].macs[:, 0].tolist() == [1 + 0 + 1, 1 + 1 + 2, 0]  # rows z0, r0 and g0
    assert layer.heard[1].elements.tolist() == [0, 2, 2]
    assert recording.input_events.tolist() == [[1], [2], [0]]


def test_the_number_of_chips_changes_no_event(recordings):
    """And the ledger knows the machine."""
    for chips, pes in ((1, 5), (2, 40), (4, 68)):
        ledger = recordings[1].ledger(place(NETWORK, CHIP, "uniform", "csr", pes, 1, chips))
        assert ledger.chips == chips
        assert ledger.shard_events.sum(axis=1).tolist() == [
            sum(int(layer.events[position].sum()) for layer in recordings[1].layers.values()) for position in range(POSITIONS)
        ]


def test_another_network_or_other_sequences_are_refused(recordings):
    with pytest.raises(HostError, match="another network"):
        recordings[1].ledger(placed(tiny_network("all"), 5))
    with pytest.raises(HostError, match="of other sequences"):
        recordings[1].ledger(placed(NETWORK, 5, lanes=3))


# -- kept on disk


@pytest.mark.wide
def test_a_recording_is_made_once_and_comes_back(tmp_path, recordings):
    calls = []

    def make():
        calls.append(1)
        return features(), Ignored()

    first = load_or_record(tmp_path / "here", placed(NETWORK), "seeded 1", make)
    again = load_or_record(tmp_path / "here", placed(NETWORK), "seeded 1", make)
    assert len(calls) == 1
    placement = placed(NETWORK, 7, "dense")
    for recording in (first, again):
        assert recording.sha256 == recordings[1].sha256
        same(recording.ledger(placement), recordings[1].ledger(placement))
    load_or_record(tmp_path / "here", placed(NETWORK), "seeded 2", make)
    load_or_record(tmp_path / "here", placed(tiny_network("all")), "seeded 1", make)
    assert len(calls) == 3


def test_a_weight_a_threshold_and_a_parameter_make_another_network():
    def changed(**fields):
        populations = (*NETWORK.populations[:-1], replace(NETWORK.populations[-1], **fields))
        return Network(populations)

    last = NETWORK.populations[-1]
    weights = last.projections[0].weights
    other = weights.values.copy()
    other[3] += 1
    hashes = {
        network_sha256(network)
        for network in (
            NETWORK,
            changed(projections=(replace(last.projections[0], weights=replace(weights, values=other)), last.projections[1])),
            changed(vectors={**last.vectors, "threshold": last.vectors["threshold"] + np.float32(0.5)}),
            changed(params={**last.params, "zoneout": 0.5}),
        )
    }
    assert len(hashes) == 4
    assert network_sha256(tiny_network()) == network_sha256(NETWORK)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no tensors"), lambda path: path.unlink()])
def test_a_file_that_cannot_be_read_gets_one_line(tmp_path, recordings, spoil):
    path = tmp_path / "r.safetensors"
    recordings[1].save(path)
    spoil(path)
    with pytest.raises(HostError, match=r"^recording .*: cannot be read \(") as caught:
        load_offline_run(path, NETWORK)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_network_gets_one_line(tmp_path, recordings):
    path = tmp_path / "r.safetensors"
    recordings[1].save(path)
    with pytest.raises(HostError, match=r"layer 1 needs .* counts, has"):
        populations = [replace(p, units=p.units + 1) for p in NETWORK.populations]
        load_offline_run(path, Network(tuple(populations)))


class Segments(Fixed):
    """The three-unit network's inputs, with a new segment at position 2 and a new sequence at position 4."""

    def next(self):
        feed = super().next()
        return feed._replace(flags={2: VALID | RESET, 4: VALID | RESET | FRESH}.get(feed.position, feed.flags))


@pytest.mark.parametrize("form", ["csr", "packed", "dense"])
def test_segments_and_sequences_begin_as_in_a_run(form):
    """At the start of a sequence nothing has been heard of the own layer."""
    network, events = tiny_network(), [tuple(range(0, UNITS, 1 + position % 3)) for position in range(7)]
    placement = placed(network, 6, form)
    run, recording = ran(placement, Segments(events)), record(placement, Segments(events), Ignored())
    same(recording.ledger(placement), run.recorder.ledger())
    assert recording.sha256 == run.events.sha256()
    assert recording.layers[2].heard[1].elements[[0, 4]].tolist() == [0, 0]
    assert recording.layers[2].heard[1].elements[[2, 5]].all()
