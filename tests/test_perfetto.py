"""The timeline for Perfetto: it loads, its slices nest on every thread, its arrows bind, and its numbers are the price's."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from host.cost.cost_table import load_table
from host.cost.price import price_positions as price
from host.mapping.placement import place
from host.options import TRACE_POSITIONS
from host.show.perfetto import power_w, write_trace
from models.seeded import seeded_egru
from noc.chip import load_chip
from tests.tools.ledgers import invented, placed

CHIP = load_chip()
LAYERS = (24, 24, 20)
# (PEs, mapping, schedule, messages): one PE, several layers on a PE, several PEs a layer, every PE of the chip.
CASES = [
    (1, "balanced", "sequential", "dma"),
    (1, "balanced", "pipelined", "dma"),
    (5, "balanced", "sequential", "dma"),
    (5, "balanced", "pipelined", "packets"),
    (9, "uniform", "sequential", "multicast"),
    (60, "uniform", "pipelined", "qpe"),
]


def traced(path, pes, mapping="uniform", schedule="sequential", messages="dma", run=12, positions=12, pes_in_use=None, **changes):
    ledger = replace(invented(placed(seeded_egru(20, LAYERS, density=0.3, seed=7), pes, mapping=mapping), run), **changes)
    ledger = replace(ledger, pes=ledger.pes[:pes_in_use])
    table = load_table()
    table = replace(table, settings={**table.settings, "schedule": schedule, "messages": messages})
    priced = price(ledger, CHIP, table)
    write_trace(path, ledger, priced, CHIP, table, positions, {"run_s": 1.5})
    return json.loads(gzip.decompress(path.read_bytes())), ledger, priced, table


@pytest.fixture(params=CASES, ids=["-".join(map(str, case)) for case in CASES])
def case(request, tmp_path):
    return traced(tmp_path / "trace.json.gz", *request.param)


def slices(trace):
    """Return {(pid, tid): [(start, end, event)]} in exact eighths of a microsecond, in the file's order."""
    threads = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            start, length = Fraction(event["ts"]), Fraction(event["dur"])
            threads[event["pid"], event["tid"]].append((start, start + length, event))
    return threads


def nested(spans):
    """Return for each of one thread's slices the one that encloses it, or None; AssertionError where two overlap in part."""
    open_ones, parents = [], []
    for start, end, event in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_ones and open_ones[-1][1] <= start:
            open_ones.pop()
        assert not open_ones or end <= open_ones[-1][1], (event, open_ones[-1][2])
        parents.append((event, open_ones[-1][2] if open_ones else None))
        open_ones.append((start, end, event))
    return parents


def assert_counts_down(event):
    """The paper's 1 MHz timer began at 2**32 - 1 and shows, at each edge of a stage, the whole microseconds gone."""
    gone = [2**32 - 1 - shown for shown in event["args"]["timer"]]
    assert len(gone) == 6
    assert gone == sorted(gone)
    assert abs(gone[0] - event["ts"]) <= 1
    assert gone[-1] <= event["ts"] + event["dur"]


@pytest.mark.few(2)
def test_slices_nest_strictly_stages_within_positions(case):
    trace, ledger, _, _ = case
    threads = slices(trace)
    assert len(threads) == len(ledger.pes)
    for spans in threads.values():
        for event, parent in nested(spans):
            if parent is None:
                assert event["name"] in ledger.layer_names
                assert set(event["args"]) == {"position", "events", "macs", "timer"}
                assert_counts_down(event)
            else:
                assert event["name"] in ("wait", "egru_input", "egru_internal", "pointwise", "broadcast")
                assert parent["name"] in ledger.layer_names


@pytest.mark.parametrize("schedule", ["sequential", "pipelined"])
def test_slices_of_two_layers_on_one_pe_do_not_overlap(tmp_path, schedule):
    """A PE begins with its next layer while the messages of its last one are still under way."""
    _, ledger, *_ = traced(tmp_path / "a.gz", 5, "balanced")
    assert ledger.shards["population"].tolist() == [1, 1, 2, 2, 3]
    shared = {**ledger.shards, "pe": np.array([0, 1, 1, 2, 0])}
    trace, _, _, _ = traced(tmp_path / "b.gz", 5, "balanced", schedule, shards=shared, pes_in_use=3)
    threads = slices(trace)
    assert len(threads) == 3
    for spans in threads.values():
        positions = [event for event, parent in nested(spans) if parent is None]
        assert len(positions) == 12 * {2: 2, 1: 1}[len({event["name"] for event in positions})]


@pytest.mark.few(2)
def test_every_event_has_what_the_format_asks_for(case):
    trace, ledger, _, _ = case
    assert set(trace) == {"displayTimeUnit", "otherData", "traceEvents"}
    need = {
        "X": {"ts", "dur", "tid"},
        "M": {"args", "tid"},
        "C": {"ts", "args"},
        "s": {"ts", "id", "tid"},
        "f": {"ts", "id", "bp", "tid"},
    }
    for event in trace["traceEvents"]:
        assert need[event["ph"]] | {"name", "pid"} <= set(event)
        for key in ("pid", "tid", "id"):
            assert 0 <= event.get(key, 0) < 2**31
            assert type(event.get(key, 0)) is int
        assert event["pid"] > 0
        for key in ("ts", "dur"):
            # Exact in binary and in nanoseconds: no reader's rounding moves an edge.
            assert event.get(key, 0) >= 0
            assert float(event.get(key, 0) * 8).is_integer()
        assert event.get("dur", 1) > 0
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert set(named) == set(slices(trace))
    assert [name.split()[0] for _, name in sorted(named.items())] == [str(pe) for pe in ledger.pes]


@pytest.mark.few(3)
def test_arrows_bind_to_a_broadcast_and_to_the_product_it_feeds(case):
    trace, ledger, priced, _ = case
    threads, ends = slices(trace), defaultdict(dict)
    for event in trace["traceEvents"]:
        if event["ph"] in "sf":
            within = [e for start, end, e in threads[event["pid"], event["tid"]] if start < event["ts"] < end]
            assert event["ph"] not in ends[event["id"]]
            ends[event["id"]][event["ph"]] = (event["ts"], within)
    expected = 0 if len(ledger.pes) == 1 else (len(ledger.layers) - 1) * ledger.positions
    assert len(ends) <= expected
    assert len(ends) == expected or len(ledger.pes) < 9  # where a PE runs both layers, no message leaves it
    assert (len(ends) > 0) == (expected > 0)
    for pair in ends.values():
        (sent, source), (heard, sink) = pair["s"], pair["f"]
        assert sent < heard
        assert [event["name"] for event in source][1:] == ["broadcast"]
        assert [event["name"] for event in sink][1:] == ["egru_input"]
        if priced.settings["schedule"] == "sequential":
            assert source[0]["args"]["position"] == sink[0]["args"]["position"]


def test_stages_last_as_long_as_priced(tmp_path):
    trace, ledger, priced, _ = traced(tmp_path / "t.gz", 9)
    by_stage = defaultdict(Fraction)
    for spans in slices(trace).values():
        for start, end, event in spans:
            by_stage[event["name"]] += end - start
    for i, name in enumerate(("egru_input", "egru_internal", "pointwise", "broadcast")):
        seconds = priced.shard_cycles[:, :, i].sum() / CHIP.pe_clock_hz
        assert float(by_stage[name]) == pytest.approx(1e6 * seconds, abs=0.125 * priced.shard_cycles[:, :, i].size)
    # A layer's slice covers its whole turn, on each of its PEs.
    for n, layer in enumerate(ledger.layer_names):
        pes = int((ledger.shards["population"] == n + 1).sum())
        assert float(by_stage[layer]) == pytest.approx(1e6 * pes * priced.layer_s[:, n].sum(), rel=1e-3)


@pytest.mark.parametrize("schedule", ["sequential", "pipelined"])
def test_power_adds_up_to_the_energy(tmp_path, schedule):
    _, ledger, priced, table = traced(tmp_path / "t.gz", 9, schedule=schedule)
    starts, power = power_w(ledger, priced, CHIP, table)
    assert float((power * np.diff(starts, append=priced.time_s)).sum()) == pytest.approx(priced.energy_j)


def test_counters_hold_events_flits_and_power(tmp_path):
    trace, ledger, priced, _ = traced(tmp_path / "t.gz", 9, positions=5)
    counters = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "C":
            counters[event["name"]].append(event)
    assert set(counters) == {"events egru1", "events egru2", "events egru3", "busiest link or port", "power"}
    for n in range(3):
        mine = ledger.shard_events[:5, ledger.shards["population"] == n + 1].sum(axis=1)
        assert [e["args"]["events"] for e in counters[f"events egru{n + 1}"]] == mine.tolist()
    flits = priced.traffic.peak_flits(False)[:5].ravel().tolist()
    assert [e["args"]["flits"] for e in counters["busiest link or port"]] == flits
    assert all(75 < e["args"]["mW"] < 450 for e in counters["power"])


def test_a_long_run_is_cut_and_says_so(tmp_path):
    trace, ledger, _, _ = traced(tmp_path / "t.gz", 3, run=20, positions=6)
    assert trace["otherData"]["positions"] == "6 of 20"
    assert {e["args"]["position"] for e in trace["traceEvents"] if e["name"] in ledger.layer_names} == set(range(6))
    assert TRACE_POSITIONS < 1000


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        traced(tmp_path / name, 9)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_layers_with_strange_names_do_no_harm(tmp_path):
    names = ('a"}],"x":[{', "</script>\\", "ü\n")
    populations = invented(placed(seeded_egru(20, LAYERS, density=0.3, seed=7), 9), 1).populations
    renamed = (populations[0], *(one._replace(name=name) for one, name in zip(populations[1:], names, strict=True)))
    trace, *_ = traced(tmp_path / "t.gz", 9, populations=renamed)
    assert {spans[0][2]["name"] for spans in slices(trace).values()} == set(names)


def test_pes_are_grouped_by_their_chip(tmp_path):
    placement = place(seeded_egru(20, LAYERS, density=0.3, seed=7), CHIP, "uniform", "csr", 12, 1, 4)
    ledger, table = invented(placement, 5), load_table()
    write_trace(tmp_path / "trace.json.gz", ledger, price(ledger, CHIP, table), CHIP, table, 5, {})
    trace = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    named = [event for event in trace["traceEvents"] if event["name"] in ("process_name", "thread_name")]
    chips = {event["pid"]: event["args"]["name"] for event in named if event["name"] == "process_name"}
    assert chips == {chip + 1: f"chip {chip} (modelled time)" for chip in range(4)}
    for event in named:
        if event["name"] == "thread_name":
            assert event["args"]["name"].split()[0].endswith(f"@{event['pid'] - 1}")
    assert {pid for pid, _ in slices(trace)} == set(chips)
    for spans in slices(trace).values():
        nested(spans)
    assert any(event["name"] == "links" for event in trace["traceEvents"])
