"""Prices: hand arithmetic, closed forms against brute force, the published set R, and what must hold for any constants."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.cost import twins
from host.cost.cost_table import apply_settings, load_table
from host.cost.cycles import stages_of
from host.cost.formats import packed as packed_cost
from host.cost.price import price_positions as price
from host.cost.timeline import timeline, timer
from host.errors import HostError
from models import formats, kernels
from models.formats import packed
from models.shard import PortShape
from noc.chip import load_chip
from noc.mesh_routes import load_table as load_routes
from noc.mesh_routes import path
from tests.tools.ledgers import R, W, by_port, changed, cut, destinations, invented, paper_dvs, paper_lm, placed, three_units
from tests.tools.tiny import tiny_network

CHIP, TABLE = load_chip(), load_table()
NAMES = tuple(TABLE.constants)
ROOT = Path(__file__).resolve().parents[1]


def priced(ledger, *sets):
    table, preset, numbers = apply_settings(TABLE, sets)
    return price(ledger, load_chip(preset or "spinnaker2", None, numbers), table)


@pytest.fixture(scope="module")
def tiny():
    """Seven positions of three small layers on 30 PEs, in every format."""
    return {form: invented(placed(tiny_network(), 30, form), 7, 0.3) for form in ("csr", "packed", "dense")}


@pytest.fixture(scope="module")
def shared():
    """Three layers on two PEs: one PE holds two of them."""
    return invented(placed(tiny_network(), 2), 6, 0.3)


# ---- three units, by hand; one position, whose counts are those of tests/test_ledger.py at position 1


def three(form="csr", pes=1):
    """One position: input events 0 and 1, events of units 0 and 2 before it and in it."""
    ledger = invented(placed(three_units(), pes, form), 2, 0.0)
    if pes == 1:
        visited = {"csr": (8, 8), "packed": (8, 5), "dense": (18, 18)}[form]
        ledger.events[:, 0] = 2
        ledger.port_counts[:] = list(zip((8, 5), visited, strict=True))
    ledger.input_events[:] = 2
    return ledger


FROM_DRAM = sum(5 * min(len(path(name, dram, (1, 1))) for dram in ((7, 3), (7, 4))) for name in ("balanced", "nearest")) / 2
"""NoC cycles from the nearer DRAM to the first QPE, half-way between the two route tables."""
FIFOS = 1 + 2 / 16
"""How much longer a mesh is busy because FIFOs of 16 flits fill up."""


def test_one_pe_by_hand():
    """12 cycles a nonzero (11 and the branch's refill) and 16 a row; 582 a unit; nobody to send to; 8 bytes from DRAM."""
    p = priced(cut(three(), [0]))
    assert p.shard_cycles[0, 0].tolist() == [12 * 8 + 16 * 9, 12 * 8 + 16 * 9, 3 * 582, 0]
    # A flit of each DRAM through its port, two cycles each, takes longer than the DRAM; and the way of the last.
    seconds = (240 + 240 + 1746) / 150e6 + (FIFOS * 2 * 2 + FROM_DRAM) / 300e6
    assert p.time_s == pytest.approx(seconds, rel=1e-12)
    # 75.2 mW for the chip, 152 PEs asleep, one that computes or polls: 8.30 pJ a cycle of 150 MHz above sleep.
    sleep, active = (0.2354 - 0.0752) / 152, (0.4246 - 0.2354) / 152
    assert p.power_w == pytest.approx(0.0752 + 152 * sleep + active)
    assert p.energy_j == pytest.approx(seconds * p.power_w)
    assert p.power_band_w[0] < 0.0752 + 152 * sleep + 0.86 * active < p.power_w < p.power_band_w[1]
    # Low: 0.86 of the cycles, 15 a row and 538 a unit, and the raw rate of the DRAM; high: a refill of 2, and 2.4 GB/s.
    low, high = (2226 * 0.14 + 0.86 * (18 + 3 * 44)) / 150e6, (16 + 3 * 30) / 150e6
    assert p.time_band_s[0] < p.time_s - 0.99 * low  # beside the way through the mesh
    assert p.time_band_s[1] > p.time_s + 0.99 * high


def test_three_pes_by_hand():
    """Unit 0's PE: 4 + 2 weights in 3 + 3 rows, and 12 + (2 + 25) / 2 cycles for each of two messages of one flit."""
    p = priced(cut(three(pes=3), [0]))
    assert p.shard_cycles[0, 0].tolist() == [12 * 4 + 16 * 3, 12 * 2 + 16 * 3, 582, 2 * 25.5]
    # One QPE: no link is crossed; a PE's port passes two flits, two cycles each, of which a hundredth is not hidden. Three PEs get
    # a flit of each DRAM over one link: to each port goes a third of them, so of two flits two thirds of one follow another.
    assert p.time_s == pytest.approx(801 / 150e6 + (FIFOS * (0.01 * 4 + 6 + 3 * 2 / 3) + FROM_DRAM) / 300e6, rel=1e-12)
    assert p.stages_s["units"]["broadcast"] == pytest.approx(51 / 150e6 + FIFOS * 0.01 * 4 / 300e6)
    assert (p.work["messages_sent"], p.work["flits_sent"], p.work["link_flits"]) == (6, 6, 0)


@pytest.mark.few(6)
@pytest.mark.parametrize(
    ("form", "sets", "cycles"),
    [
        ("csr", ("zero_skip=yes",), (17 * 8 + 16 * 9, 17 * 5 + 14 * 3 + 16 * 9)),
        ("dense", (), (8 * 18 + 12 * 9, 8 * 27 + 12 * 9)),
        ("dense", ("dense_loop=event", "payload=events"), (13 * 18 + 14 * 2, 13 * 18 + 14 * 2)),
        ("dense", ("dense_loop=event",), (13 * 18 + 14 * 2, 13 * 18 + 14 * 2 + 10)),  # finds one of three units silent
        ("packed", ("payload=events",), (16 * 8 + 18 * 2, 16 * 5 + 18 * 2)),
        ("packed", ("messages=multicast",), (16 * 8 + 18 * 2, 16 * 5 + 18 * 2)),
        ("csr", ("branch_refill_cycles=3",), (14 * 8 + 16 * 9, 14 * 8 + 16 * 9)),
        ("csr", ("chip.sram_wait_states=1",), (15 * 8 + 16 * 9, 15 * 8 + 16 * 9)),
        ("dense", ("chip.sram_wait_states=1",), (10 * 18 + 12 * 9, 10 * 27 + 12 * 9)),
        ("packed", ("payload=events", "chip.sram_wait_states=1"), (19 * 8 + 18 * 2, 19 * 5 + 18 * 2)),
    ],
)
def test_products_by_hand(form, sets, cycles):
    assert priced(three(form), *sets).shard_cycles[1, 0, :2].tolist() == list(cycles)


def test_units_by_hand():
    assert priced(three(), "exponential=unit").shard_cycles[1, 0, 2] == 3 * (127 + 3 * 22)
    assert priced(three(), "branch_refill_cycles=2").shard_cycles[1, 0, 2] == 3 * 612


@pytest.mark.parametrize(
    ("sets", "sends", "cycles"),
    [
        ((), 2, 2 * (12 + 27 / 2)),
        (("messages=packets",), 2, 2 * (7 + 18)),
        (("messages=qpe",), 1, 7 + 18),
        (("messages=multicast",), 1, 7 + 18 * 2),  # the event, and "nothing more"
        (("payload=events",), 2, 2 * (12 + 27 / 2)),
        (("clock=300MHz",), 2, 2 * (12 + 26)),
    ],
)
def test_messages_by_hand(sets, sends, cycles):
    ledger = three(pes=3)
    ledger.events[:, 0] = 1
    p = priced(ledger, *sets)
    assert p.traffic.sends.tolist() == [sends] * 3
    assert p.shard_cycles[1, 0, 3] == cycles


def test_events_are_heard_from_the_layer_before_at_once_and_from_the_own_layer_one_position_later(tiny):
    ledger = tiny["packed"]
    for shard, layer in enumerate(ledger.shards["population"].tolist()):
        for position in range(ledger.positions):
            of_layer = ledger.shard_events[:, ledger.shards["population"] == layer].sum(axis=1).tolist()
            below = ledger.shard_events[:, ledger.shards["population"] == layer - 1].sum(axis=1).tolist()
            source = ledger.input_events[:, 0].tolist() if layer == 1 else below
            # Two ports a shard: its input, then its recurrent one.
            assert ledger.port_work.heard[position, 2 * shard] == source[position]
            assert ledger.port_work.heard[position, 2 * shard + 1] == (of_layer[position - 1] if position else 0)


# ---- SRAM bytes: a walk through the loops, word by word


def walked(form, dot=False, zero_skip=False):
    """Return bytes (read, written) of the two products at one position, walking the weights of the three-unit network."""
    found = []
    for rows, active in ((W, {0, 1}), (R, {0, 2})):
        read = written = 0
        width = 2 if rows is W else 3
        if form == "csr":
            read += 4  # the first extent
            for row in rows:
                read += 4
                for column in row:
                    read += 4 + 4  # index, event
                    read += 4 if column in active or not zero_skip else 0
                written += 4
        elif dot:
            for _row in rows:
                read += 8 * width
                written += 4
        else:
            written += 4 * len(rows)  # cleared
            sizes = packed.fields(PortShape(len(rows), 3, width, sum(map(len, rows)), 1))
            itemsize = {field.name: np.dtype(field.dtype).itemsize for field in sizes}
            for column in active:
                read += 8 + (2 * itemsize["extents"] if form == "packed" else 0)
                for row in rows:
                    if form == "dense" or column in row:
                        read += 4 + 4 + (itemsize["rows"] if form == "packed" else 0)
                        written += 4
        found.append((read, written))
    return found


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("form", "sets", "options"),
    [
        ("csr", (), {}),
        ("csr", ("zero_skip=yes",), {"zero_skip": True}),
        ("dense", (), {"dot": True}),
        ("dense", ("dense_loop=event",), {}),
        ("packed", (), {}),
    ],
)
def test_sram_bytes_of_products_word_by_word(form, sets, options):
    both, first = (priced(cut(three(form), list(range(n))), *sets).work for n in (2, 1))
    found = [
        tuple(both[f"sram_{kind}_bytes.{stage}"] - first[f"sram_{kind}_bytes.{stage}"] for kind in ("read", "written"))
        for stage in ("egru_input", "egru_internal")
    ]
    assert found == walked(form, **options)


@pytest.mark.parametrize(("rows", "nonzeros"), [(81, 200), (300, 70_000), (256, 256), (257, 65_535), (255, 65_536)])
def test_packed_widths_are_those_of_the_format(rows, nonzeros):
    widths = {field.name: np.dtype(field.dtype).itemsize for field in packed.fields(PortShape(rows, 1, 10, nonzeros, 1))}
    assert int(packed_cost.index_bytes(np.array(rows - 1))) == widths["rows"]
    assert int(packed_cost.index_bytes(np.array(max(nonzeros, 256)))) == widths["extents"]


def test_bytes_of_the_other_stages_by_hand():
    work = priced(cut(three(pes=3), [0])).work
    assert work["sram_read_bytes.pointwise"] == 3 * (3 + 3 + 3 + 3 + 1 + 1) * 4
    assert work["sram_written_bytes.pointwise"] == 3 * 2 * 4
    assert work["sram_read_bytes.broadcast"] == work["sram_written_bytes.broadcast"] == work["dma_bytes"] == 6 * 4
    assert work["message_bytes"] == 6 * 16  # whole flits
    assert work["sram_written_bytes.wait"] == work["dram_read_bytes"] == 3 * 2 * 4


# ---- closed forms against brute force

MODES = ["messages=dma", "messages=packets", "messages=qpe", "messages=multicast", "payload=events"]


def walk(a, b):
    """Step from one QPE to another by the nearest table, the one that is drawn."""
    x, y, steps = a.x, a.y, []
    while (x, y) != (b.x, b.y):
        nx, ny = load_routes("nearest")[x, y][b.x, b.y]
        steps.append((x, y, nx, ny))
        x, y = nx, ny
    return steps


def branches(pe, packet):
    """Return the links that the copies of a packet cross, one a branch: a copy is for what goes on together."""
    ways = {tuple(way[: n + 1]) for way in (walk(pe, other) for other in packet) for n in range(len(way))}
    return [way[-1] for way in ways]


@pytest.mark.few(3)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", ["spread", "shared"])
def test_traffic_copy_by_copy(tiny, shared, mode, which):
    """Every flit of every copy, walked link by link."""
    ledger = tiny["csr"] if which == "spread" else shared
    p = priced(ledger, mode)
    copies, sent, received = 0, Counter(), Counter()
    for position in range(ledger.positions):
        for layer in (1, 2, 3):
            loads, out, into = Counter(), Counter(), Counter()
            for shard in np.flatnonzero(ledger.shards["population"] == layer):
                pe, events = ledger.pes[ledger.shards["pe"][shard]], int(ledger.shard_events[position, shard])
                to = destinations(ledger, shard)
                size = 8 * events if mode == "payload=events" else 4 * int(ledger.shards["units"][shard])
                flits = events + 1 if mode == "messages=multicast" else max(1, -(-size // 16))
                copies += events * len(to)
                if mode == "messages=multicast":
                    packets = [to]
                elif mode == "messages=qpe":
                    packets = [tuple(o for o in to if (o.x, o.y) == site) for site in {(o.x, o.y) for o in to}]
                else:
                    packets = [(other,) for other in to]
                for packet in packets:
                    out[pe] += flits
                    for link in branches(pe, packet):
                        loads[link] += flits
                for other in to:
                    into[other] += flits
            have = {tuple(link): load for link, load in zip(p.traffic.links, p.traffic.loads[position, layer - 1], strict=True)}
            assert {link: load for link, load in have.items() if load} == loads
            assert p.traffic.ports[position, layer - 1] == max([*into.values(), 0])
            sent += out
            received += into
    assert p.work["event_copies"] == copies
    for name, counter in (("flits_sent", sent), ("flits_received", received)):
        assert p.pe_work[name].tolist() == [counter[pe] for pe in ledger.pes]
    assert p.work["link_flits"] == int(p.traffic.loads.sum())


def test_totals_are_the_sums_of_the_pes(tiny):
    for form, ledger in tiny.items():
        p = priced(ledger)
        assert all(p.work[name] == values.sum() for name, values in p.pe_work.items())
        assert p.work["macs"] == int(ledger.port_counts[:, :, 0].sum())
        assert p.work["weights_visited"] == int(ledger.port_counts[:, :, 1].sum())
        assert p.work["rows"] == 7 * 2 * 3 * 68, form
        assert (p.work["units"], p.work["exponentials"]) == (7 * 68, 7 * 3 * 68)


def test_side_by_side_layers_share_the_links(tiny):
    """In tick t layer l sends what it did at position t - l."""
    traffic = priced(tiny["csr"]).traffic
    busiest = traffic.peak_flits(pipelined=True)
    for position in range(7):
        for layer in range(3):
            tick = position + layer
            on_links, ports = np.zeros(len(traffic.links), np.int64), 0
            for other in range(3):
                if 0 <= tick - other < 7:
                    on_links += traffic.loads[tick - other, other]
                    ports += traffic.ports[tick - other, other]
            assert busiest[position, layer] == max(on_links.max(), ports)


# ---- set R of the reference (costmodel.md, section 2)


@pytest.fixture(scope="module")
def models():
    """The two models of the paper at the reference's step counts, with the reference's imbalance in the language model.

    Our own mapping deals units out so evenly that the busiest PE has 0.1 % more weights than the mean; the reference
    takes 1.024, 1.021 and 1.032 times the mean. With our own placement R comes to 162.6 ms, 1.1 ms of it NoC transit.
    """
    lm = paper_lm(70)
    counts = lm.port_counts.copy()
    for n, factor in ((1, 1.024), (2, 1.021), (3, 1.032)):
        mine = np.flatnonzero(lm.shards["population"] == n)
        for place, port in enumerate(("input", "recurrent")):
            counts[:, 2 * mine[0] + place, 1] = round(by_port(lm, "weights", port)[mine].mean() * factor)
    return replace(lm, port_counts=counts), paper_dvs(68), paper_dvs(68, lanes=6)


# The reference counts next to no transit (about 5 us a step of the language model against 16 here, with naive
# placement), so it is left out of both sides. What is read from DRAM takes it the DRAM alone: so it does here by the balanced
# routes, with FIFOs without a limit.
COUNTS_R = (
    "csr_row_cycles=15", "dense_row_cycles=13", "unit_soft_cycles=526", "unit_hard_cycles=140", "packet_cycles=20",
    "csr_test_active_cycles=15", "csr_test_silent_cycles=14", "chip.dma_setup_cycles=14",
    "nearest_routes_share=0", "chip.noc_fifo_flits=1000000",
)  # fmt: skip
"""What the reference counted, with another scoreboard for sums of floats."""
SET_R = [
    ((), (164.8, 61.8, 59.9)),
    (("dram=prefetched",), (163.2, 60.4, 58.5)),
    (("messages=packets",), (177.1, 61.8, 61.3)),
    (("exponential=unit",), (153.3, 60.5, 58.6)),
    (("branch_refill_cycles=2",), (177.3, 68.8, 66.9)),
]
# These rows come from an older variant: 40 cycles a message instead of 30 (27), and cycles as timed (12.2, 14.2 or 15.2 a
# nonzero), not the closed form's whole ones.
OLDER = [
    (("branch_refill_cycles=3",), (192.9, 77.3), 0.020),
    (("csr_weight_cycles=14", "dense_weight_cycles=10"), (202.5, 84.0), 0.017),  # store every MAC
    (("zero_skip=yes",), (203.2,), 0.010),
    (("schedule=pipelined",), (75.6, 39.0), 0.045),
    (("clock=300MHz",), (85.7, 32.4), 0.022),
]


def compared(models, sets):
    for ledger, lanes in zip(models, (1, 1, 6), strict=True):
        p = priced(ledger, *COUNTS_R, *sets)
        transit = p.transit_s.max(axis=1).sum() if "schedule=pipelined" in sets else p.transit_s.sum()
        yield 1e3 * (p.time_s - transit) / lanes


@pytest.mark.wide_but("R")
@pytest.mark.parametrize(("sets", "expected"), SET_R, ids=[" ".join(row[0]) or "R" for row in SET_R])
def test_set_r(models, sets, expected):
    assert list(compared(models, sets)) == pytest.approx(expected, abs=0.5)


@pytest.mark.few(1)
@pytest.mark.parametrize(("sets", "expected", "within"), OLDER, ids=[row[0][0] for row in OLDER])
def test_older_rows_of_the_reference(models, sets, expected, within):
    assert list(compared(models, sets))[: len(expected)] == pytest.approx(expected, rel=within)


def test_power_of_the_reference(models):
    """Section 3: 422 mW where waiting PEs poll; 297 and 313 mW where they sleep, which take 395 and 395 mW polling."""
    for ledger, asleep, polling in zip(models, (0.297, 0.313, 0.313), (0.422, 0.395, 0.395), strict=True):
        p = priced(ledger)
        assert p.power_w == pytest.approx(polling, abs=0.001)
        assert priced(ledger, "waiting_power_share=0").power_w == pytest.approx(asleep, abs=0.003)  # less: transit is time asleep


def test_a_clock_brings_its_supply_and_power_states(tiny):
    p = priced(tiny["csr"], "clock=300MHz")
    assert (p.settings["clock_hz"], p.settings["supply_v"]) == (300_000_000, 0.8)
    slow = priced(tiny["csr"])
    assert np.array_equal(p.shard_cycles[:, :, :3], slow.shard_cycles[:, :, :3])
    assert p.power_w > 2 * slow.power_w


# ---- what must hold for any constants


def snapshot(ledger):
    return copy.deepcopy([ledger.events, ledger.port_counts, ledger.input_events, dict(ledger.shards), dict(ledger.ports)])


def test_a_price_is_a_pure_function(tiny):
    for ledger in tiny.values():
        before = snapshot(ledger)
        first, second = priced(ledger), priced(ledger)
        assert first.work == second.work
        assert (first.time_s, first.energy_j, first.stages_s) == (second.time_s, second.energy_j, second.stages_s)
        after = snapshot(ledger)
        assert all(map(np.array_equal, before[:3], after[:3]))
        assert all(np.array_equal(was[name], now[name]) for was, now in zip(before[3:], after[3:], strict=True) for name in was)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "schedule": st.sampled_from(["sequential", "pipelined"]),
        "messages": st.sampled_from(["dma", "packets", "qpe", "multicast"]),
        "payload": st.sampled_from(["vector", "events"]),
        "exponential": st.sampled_from(["soft", "unit"]),
        "zero_skip": st.sampled_from(["no", "yes"]),
        "dense_loop": st.sampled_from(["dot", "event"]),
        "dram": st.sampled_from(["waited", "prefetched"]),
        "clock": st.sampled_from(["150MHz", "300MHz"]),
    },
)


def as_sets(choices):
    return [f"{name}={value}" for name, value in choices.items()]


def raised(name, factor):
    if name == "powered_pes":
        return None  # bounded by the chip's PEs
    value = TABLE[name]
    if name == "waiting_power_share":
        return value
    if TABLE.constants[name].unit == "share":
        return 1.0
    more = value * factor + 1
    return float(round(more)) if TABLE.constants[name].unit in ("byte", "load", "branch", "call") else more


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_higher_constant_never_lowers_time_or_energy(tiny, shared, data):
    ledger = data.draw(st.sampled_from([*tiny.values(), shared]))
    sets = as_sets(data.draw(SETTINGS))
    name = data.draw(st.sampled_from([name for name in NAMES if name not in ("powered_pes", "nearest_routes_share")]))
    factor = data.draw(st.floats(1, 5))
    lower = [*sets, "waiting_power_share=0.5"] if name == "waiting_power_share" else sets
    before, after = priced(ledger, *lower), priced(ledger, *sets, f"{name}={raised(name, factor)}")
    assert after.time_s >= before.time_s * (1 - 1e-12)
    assert after.energy_j >= before.energy_j * (1 - 1e-12)


@pytest.mark.wide
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_band_holds_its_default_and_every_mixture_of_the_uncertain_constants(tiny, shared, data):
    ledger = data.draw(st.sampled_from([*tiny.values(), shared]))
    sets = as_sets(data.draw(SETTINGS))
    p = priced(ledger, *sets)
    uncertain = {name: one for name, one in TABLE.constants.items() if one.low != one.high}
    mixed = [f"{name}={data.draw(st.floats(one.low, one.high))}" for name, one in uncertain.items()]
    other = priced(ledger, *sets, *mixed)
    for field in ("time_s", "energy_j"):
        low, high = getattr(p, field.replace("_", "_band_"))
        assert low <= getattr(p, field) <= high
        assert low * (1 - 1e-9) <= getattr(other, field) <= high * (1 + 1e-9)
    assert p.power_band_w[0] * (1 - 1e-9) <= p.power_w <= p.power_band_w[1]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_stages_layers_and_the_timeline_agree(tiny, shared, data):
    ledger = data.draw(st.sampled_from([*tiny.values(), shared]))
    choices = data.draw(SETTINGS)
    p = priced(ledger, *as_sets(choices))
    line = timeline(ledger, p)
    edges, table, eps = line.edges_s, ledger.shards, 1e-9 * p.time_s
    assert p.stages == stages_of(ledger) == ("egru_input", "egru_internal", "pointwise", "broadcast", "wait")
    assert line.stages == ("wait", *p.stages[:-1])
    assert edges.shape == (ledger.positions, len(table["pe"]), len(line.stages) + 1)
    assert (np.diff(edges, axis=2) >= -eps).all()
    assert edges.min() >= -eps
    assert max(edges.max(), line.arrived_s.max()) <= p.time_s + eps
    if choices.get("schedule") != "pipelined":
        assert line.arrived_s[-1, -1] == pytest.approx(p.time_s)
        assert sum(sum(stages.values()) for stages in p.stages_s.values()) == pytest.approx(p.time_s)
    # A stage lasts as long as its cycles, and before computing a shard has waited for DRAM.
    clock = p.settings["clock_hz"]
    for i, stage in enumerate(p.stages[:-1]):
        where = line.stages.index(stage)
        assert edges[:, :, where + 1] - edges[:, :, where] == pytest.approx(p.shard_cycles[:, :, i] / clock, abs=eps)
    assert edges[:, :, 1] - edges[:, :, 0] == pytest.approx(p.wait_s[:, table["population"] - 1], abs=eps)
    # A PE never does two things at once.
    for pe in range(len(ledger.pes)):
        spans = edges[:, table["pe"] == pe][:, :, [0, -1]].reshape(-1, 2)
        spans = spans[np.argsort(spans[:, 0], kind="stable")]
        assert (spans[1:, 0] >= spans[:-1, 1] - eps).all()
    # A layer's messages have arrived before the next layer, and its own next position, begins.
    assert (line.began_s[1:] >= line.arrived_s[:-1] - eps).all()
    assert (line.began_s[:, 1:] >= line.arrived_s[:, :-1] - eps).all()
    for n in range(3):
        assert line.arrived_s[:, n] == pytest.approx(edges[:, table["population"] == n + 1, -1].max(axis=1) + p.transit_s[:, n])


def test_a_part_of_a_timeline_is_that_part(tiny, shared):
    for ledger in (tiny["csr"], shared):
        for schedule in ("sequential", "pipelined"):
            p = priced(ledger, f"schedule={schedule}")
            whole, part = timeline(ledger, p), timeline(ledger, p, 2, 5)
            assert part.first == 2
            assert np.array_equal(part.edges_s, whole.edges_s[2:5])
            assert np.array_equal(part.arrived_s, whole.arrived_s[2:5])


def test_the_timer_counts_microseconds_down(tiny):
    p = priced(tiny["csr"])
    line = timeline(tiny["csr"], p)
    shown = timer(line, CHIP.facts["timer_hz"].value)
    assert shown.dtype == np.uint32
    assert shown[0, 0, 0] == 2**32 - 1
    assert (np.diff(shown.astype(np.int64), axis=2) <= 0).all()
    elapsed = (2**32 - 1) - shown.astype(np.int64)
    assert np.abs(elapsed - line.edges_s * 1e6).max() < 1.001
    late = timer(replace(line, edges_s=line.edges_s + 2**32 / 1e6), 1e6)  # after 71 minutes it has wrapped around
    assert (np.abs(late.astype(np.int64) - shown.astype(np.int64)) <= 1).all()


def test_pipelined_is_never_slower_than_its_slowest_layer_nor_slower_than_sequential(tiny):
    for ledger in tiny.values():
        one, side = priced(ledger, "dram=prefetched"), priced(ledger, "schedule=pipelined", "dram=prefetched")
        assert one.layer_s.sum(axis=0).max() <= side.time_s <= one.time_s + (side.transit_s - one.transit_s).sum()


# ---- many PEs


@pytest.mark.slow
def test_a_thousand_positions_on_1200_pes_take_a_few_times_the_work_of_two_and_little_memory():
    """On 8 chips, in a process of its own, whose memory is nobody else's; work in calls of functions."""
    code = (
        "from tests.tools.ledgers import cut, invented; from tests.tools.work import count_calls, highest_memory_bytes\n"
        "from models.seeded import seeded_egru; from host.mapping.placement import place\n"
        "from host.cost.price import price; from host.cost.cost_table import load_table; from noc.chip import load_chip\n"
        "ledger = invented(place(seeded_egru(), load_chip(), 'uniform', 'csr', 1200, 1, 8), 2)\n"
        "longer = cut(ledger, [position % 2 for position in range(1000)])\n"
        "price(ledger, load_chip(), load_table())  # what it keeps is there\n"
        "calls = [count_calls(lambda: price(each, load_chip(), load_table())) for each in (ledger, longer)]\n"
        "priced = price(longer, load_chip(), load_table())\n"
        "print(*calls, highest_memory_bytes() >> 20, len(priced.busy_s), int(priced.links['crossed']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    two, thousand, mebibytes, shards, crossed = map(int, done.stdout.split())
    assert (shards, crossed > 8) == (1200, True)
    assert thousand < 15 * two  # they are priced in some parts: 7 times
    assert mebibytes < 1000


# ---- what cannot be priced


def test_a_chip_without_a_pe_of_the_ledger(tiny, tmp_path):
    file = tmp_path / "chip.toml"
    file.write_text('down_cores = ["PE(1,1,2)@0"]')
    with pytest.raises(HostError, match=r"^traffic for PE\(1,1,2\)@0: chip spinnaker2 lacks it"):
        price(tiny["csr"], load_chip("spinnaker2", file), TABLE)


def test_a_chip_with_cores_down_has_a_price(tiny, tmp_path):
    file = tmp_path / "chip.toml"
    file.write_text('down_cores = ["PE(7,6,3)@0"]')
    assert price(tiny["csr"], load_chip("spinnaker2", file), TABLE).time_s == priced(tiny["csr"]).time_s


def test_every_weight_format_and_neuron_model_has_prices():
    assert twins.names("formats") == formats.names()
    assert twins.names("kernels") == kernels.names()
    for name in kernels.names():
        unpriced = {"egru_gate": {"own"}}.get(name, set())  # an identity: its own y lies in what it sent
        assert set(twins.twin("kernels", name).PORT_STAGES) | unpriced == set(kernels.named(name).PORTS), name


def test_what_has_no_price(tiny):
    with pytest.raises(HostError, match=r"^weight format 'bits': has no prices; have array, conv, csr, dense, packed, vectors$"):
        price(replace(tiny["csr"], format="bits"), CHIP, TABLE)
    for value in (29, 153):
        with pytest.raises(HostError, match=f"^powered_pes {value}: needs 30 .PEs in use. to 152 "):
            priced(tiny["csr"], f"powered_pes={value}")


def test_assumptions_are_those_in_use(tiny):
    ledger = tiny["csr"]
    default = priced(ledger).assumed
    assert {"dma_wait_noc_cycles", "chip.dma_setup_cycles", "chip.dram_sustained_bytes_per_s"} < set(default)
    packets = priced(ledger, "messages=packets", "dram=prefetched").assumed
    assert {"packet_cycles", "packet_setup_cycles"} < set(packets)
    assert not {"dma_wait_noc_cycles", "chip.dma_setup_cycles", "chip.dram_sustained_bytes_per_s"} & set(packets)
    assert "messages=multicast" in priced(ledger, "messages=multicast").assumed
    assert "branch_refill_cycles" not in priced(ledger, "branch_refill_cycles=1").assumed  # the user has said so


def test_changed_tables_are_copies():
    ledger = three()
    assert changed(ledger, units=np.array([5])).shards["units"].tolist() == [5]
    assert ledger.shards["units"].tolist() == [3]
