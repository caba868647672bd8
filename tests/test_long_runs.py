"""Long runs: the ledger goes to disk as it grows and is read in parts, to the same figures; nothing in memory grows with a run."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from host.cost.cost_table import apply_settings, load_table
from host.cost.ledger import Ledger, RunLedger
from host.cost.ledger_columns import Columns, column_names
from host.cost.ledger_file import LedgerFile, load_ledger, open_ledger
from host.cost.ledger_frames import ledger_dataset, ledger_frame
from host.cost.ledger_writer import FILE, save_ledger
from host.cost.link_traffic import machine_for
from host.cost.machine_traffic import machine_traffic
from host.cost.neurobench import neurobench_metrics
from host.cost.price import price, price_positions
from host.cost.priced import price_block
from host.cost.windows import windows
from host.mapping.placement import place
from host.run.recorder import Recorder
from host.show.perfetto import write_trace
from host.show.sections.events import mean_events
from models.seeded import seeded_egru
from noc.chip import load_chip
from tests.tools.grids import pairs
from tests.tools.ledgers import invented, section

CHIP, TABLE = load_chip(), load_table()
SETTINGS = (
    (), ("schedule=pipelined",), ("schedule=pipelined", "dram=prefetched", "messages=multicast"), ("payload=events",),
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return seeded_egru(10, (12, 9), density=0.5, seed=3)


@pytest.fixture(scope="module", params=[1, 3])
def ledger(request, network):
    """Of 23 positions and two sequences, on one chip and on three."""
    return invented(place(network, CHIP, "uniform", "csr", 3 * request.param, 2, request.param), 23)


def cut(run: RunLedger, at_once: int) -> RunLedger:
    """Return the ledger of a run that is read so many positions at a time."""
    other = replace(run)
    vars(other)["at_once"] = at_once
    return other


def same(one, other, path=()):
    """Compare prices: integers exactly, sums of seconds and joules up to the order in which they are rounded."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            same(one[key], other[key], (*path, key))
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-12), path
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for n, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, (*path, n))
    else:
        assert one == other, path


# -- parts and whole


@pytest.mark.few(1)
@pytest.mark.parametrize(("sets", "at_once"), pairs(SETTINGS, [4, 22]))
def test_a_price_in_parts_is_that_of_the_whole(ledger, sets, at_once):
    table = apply_settings(TABLE, sets)[0]
    whole, parts = (price(one, CHIP, table) for one in (ledger, cut(ledger, at_once)))
    same(price_block(parts, ledger), price_block(whole, ledger))
    assert {name: values.tolist() for name, values in parts.pe_work.items()} == {
        name: values.tolist() for name, values in whole.pe_work.items()
    }
    np.testing.assert_allclose(parts.busy_s, whole.busy_s, rtol=1e-12)
    assert (parts.mesh.links, parts.mesh.flits.tolist()) == (whole.mesh.links, whole.mesh.flits.tolist())
    assert parts.link_loads.packets.tolist() == whole.link_loads.packets.tolist()


@pytest.mark.few(1)
def test_a_ledger_from_disk_has_the_price_of_the_one_in_memory_to_the_last_bit(ledger, tmp_path):
    save_ledger(ledger, tmp_path)
    from_disk = cut(open_ledger(tmp_path), 5)
    assert isinstance(from_disk, LedgerFile)
    assert price_block(price(from_disk, CHIP, TABLE), from_disk) == price_block(price(cut(ledger, 5), CHIP, TABLE), ledger)
    assert from_disk.executions == ledger.executions


def test_the_other_sums_over_a_run_are_the_same_in_parts(ledger, network):
    parts = cut(ledger, 5)
    assert neurobench_metrics(network, parts, 0) == neurobench_metrics(network, ledger, 0)
    blocks = [[chip] for chip in range(ledger.chips)]
    machine = machine_for(ledger, CHIP)
    assert machine_traffic(parts, machine, blocks) == machine_traffic(ledger, machine, blocks)
    for most in (4, 100):
        for one, other in zip(mean_events(parts, most), mean_events(ledger, most), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.few(1)
@pytest.mark.parametrize("sets", SETTINGS)
def test_positions_that_are_priced_some_at_a_time_are_when_they_are(ledger, sets):
    table = apply_settings(TABLE, sets)[0]
    whole, began = price_positions(ledger, CHIP, table), []
    for window in windows(cut(ledger, 4), CHIP, table):
        began.append(window.priced.began_s[window.own])
        np.testing.assert_allclose(
            window.priced.transit_s[window.own], whole.transit_s[window.first + window.own.start :][: len(began[-1])]
        )
    np.testing.assert_allclose(np.concatenate(began), whole.began_s, rtol=1e-12)


@pytest.mark.slow_but("3-sets1")
@pytest.mark.parametrize("sets", SETTINGS[:2])
def test_a_timeline_in_parts_has_the_entries_of_the_whole(ledger, sets, tmp_path):
    table = apply_settings(TABLE, sets)[0]
    entries = []
    for name, run in (("whole", ledger), ("parts", cut(ledger, 4))):
        write_trace(tmp_path / name, run, price(run, CHIP, table), CHIP, table, 19, {})
        events = json.loads(gzip.decompress((tmp_path / name).read_bytes()))["traceEvents"]
        key = lambda event: (event["ph"], event["pid"], event.get("tid", 0), event["name"], event.get("ts", 0), event.get("id", 0))  # noqa: E731
        entries.append(sorted(events, key=key))
    assert len(entries[0]) == len(entries[1])
    for one, other in zip(*entries, strict=True):
        timers = [event.get("args", {}).pop("timer", []) for event in (one, other)]
        np.testing.assert_allclose(*timers, atol=1)  # whole microseconds, rounded down
        same(one | {"ts": 0, "dur": 0}, other | {"ts": 0, "dur": 0})
        assert (one.get("ts", 0), one.get("dur", 0)) == pytest.approx((other.get("ts", 0), other.get("dur", 0)), abs=0.25)


# -- as it grows


def recorded(placement, positions, folder=None):
    """Return a recorder that has seen so many silent positions."""
    recorder = Recorder(placement, folder)
    for position in range(positions):
        add(recorder, placement, position)
    return recorder


def add(recorder, placement, position):
    recorder.add_input(placement.network.populations[0].units)
    for n in placement.network.layers:
        words = recorder._words[n]
        row = np.zeros((len(placement.senders(n)), words), "<u4")
        row[:, 0] = position % 3 == n
        recorder.add(section(n, position, row.tobytes()))


def test_what_a_run_writes_as_it_goes_is_what_it_would_have_kept(network, tmp_path):
    placement = place(network, CHIP, "uniform", "csr", 3, 1)
    on_disk, in_memory = recorded(placement, 20, tmp_path), recorded(placement, 20)
    on_disk.block = 6
    for position in range(20, 50):
        add(on_disk, placement, position)
        add(in_memory, placement, position)
    assert not (tmp_path / FILE).exists()  # whoever looks sees all of it or nothing
    on_disk.save()
    kept, written = in_memory.ledger(), load_ledger(tmp_path)
    for name in ("events", "input_events", "port_counts", "stepped"):
        np.testing.assert_array_equal(getattr(written, name), getattr(kept, name))
    assert written.populations == kept.populations
    add(on_disk, placement, 50)  # a run that goes on in new processes reports once more
    on_disk.save()
    assert load_ledger(tmp_path).positions == 51


@pytest.mark.wide
def test_the_memory_of_a_recorder_does_not_grow_with_the_run(network, tmp_path):
    """After N positions and after 4 N as much is in use, but for a block of sections, each a Python object."""
    placement = place(network, CHIP, "uniform", "csr", 3, 1)
    tracemalloc.start()
    try:
        recorder = recorded(placement, 2 * Recorder(placement).block, tmp_path)
        first = tracemalloc.get_traced_memory()[0]
        for position in range(2 * recorder.block, 8 * recorder.block):
            add(recorder, placement, position)
        last = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert recorder.block * 100 > 50_000
    assert last - first < 50_000
    assert recorder.save().positions == 8 * recorder.block


@pytest.mark.slow_but("price")
@pytest.mark.parametrize("draw", ["price", "timeline"])
def test_the_memory_of_a_price_and_of_a_timeline_does_not_grow_with_the_run(network, tmp_path, draw):
    """Four times as many positions, read as many at a time: the same peak, up to a tenth of what a part takes."""
    peaks = []
    for times in (2, 8):
        ledger = invented(place(network, CHIP, "uniform", "csr", 6, 1), 4)
        many = {name: np.tile(getattr(ledger, name), (50 * times, *[1] * (getattr(ledger, name).ndim - 1))) for name in COUNTED}
        save_ledger(replace(ledger, **many), tmp_path)
        run = cut(open_ledger(tmp_path), 100)
        one = price(run, CHIP, TABLE)
        tracemalloc.start()
        if draw == "price":
            price(run, CHIP, TABLE)
        else:
            write_trace(tmp_path / "trace", run, one, CHIP, TABLE, run.positions, {})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


COUNTED = ("events", "input_events", "port_counts", "stepped")


@pytest.mark.slow
def test_the_paper_s_model_is_priced_in_parts_that_fit_a_hundred_megabytes():
    """What a part takes is 70 bytes a count at most, of which there are five a shard of two ports; and a short run is one part."""
    run = invented(place(seeded_egru(), CHIP, "uniform", "csr", 150, 1), 2)
    assert 500 < run.at_once < 5000
    table, ledger = (
        TABLE,
        Ledger(
            **run.facts(), **{name: np.tile(getattr(run, name), (250, *[1] * (getattr(run, name).ndim - 1))) for name in COUNTED}
        ),
    )
    tracemalloc.start()
    price(ledger, CHIP, table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak * run.at_once / ledger.positions < 200 << 20


# -- for other programs


def test_every_column_has_a_name_in_the_file_itself(ledger, tmp_path):
    save_ledger(ledger, tmp_path)
    raw = (tmp_path / FILE).read_bytes()
    head = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    names = [tuple(name) for name in json.loads(head["__metadata__"]["columns"])]
    shape, (begin, end) = head["counts"]["shape"], head["counts"]["data_offsets"]
    counts = np.frombuffer(raw, "<u4", shape[0] * shape[1], 8 + int.from_bytes(raw[:8], "little") + begin).reshape(shape)
    assert end - begin == counts.nbytes
    assert len(names) == len(set(names)) == shape[1]
    for at, (what, pe, population, of) in enumerate(names):
        if what == "events":
            shard = next(
                n for n, (p, k) in enumerate(zip(ledger.shards["pe"], ledger.shards["population"], strict=True))
                if (str(ledger.pes[p]), ledger.populations[k].name) == (pe, population)
            )  # fmt: skip
            np.testing.assert_array_equal(counts[:, at], ledger.events[:, shard])
        if what in ("macs", "visited"):
            assert of in ("input: input", "input: egru1", "recurrent: egru1, 1 late", "recurrent: egru2, 1 late")
    assert json.loads(head["__metadata__"]["shards"])[0] == [str(ledger.pes[0]), "egru1"]


def test_a_ledger_is_a_frame_and_a_dataset(ledger):
    pytest.importorskip("pandas")
    frame = ledger_frame(ledger)
    assert frame.shape == (23, Columns(ledger, ()).width)
    assert frame.columns.tolist() == column_names(ledger, ())
    np.testing.assert_array_equal(frame["events"].to_numpy(), ledger.events)
    np.testing.assert_array_equal(frame["macs"].to_numpy(), ledger.port_counts[:, :, 0])
    assert ledger_frame(cut(ledger, 4), 5, 9).equals(frame.iloc[5:9])
    pytest.importorskip("xarray")
    data = ledger_dataset(ledger, 5, 9)
    assert data.sizes["position"] == 4
    np.testing.assert_array_equal(data["visited"], ledger.port_counts[5:9, :, 1])
    assert set(data["turn_pe"].to_numpy()) == set(map(str, ledger.pes))
