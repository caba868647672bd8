"""A live PE, message by message: everything it keeps lies in its arena, a tick allocates nothing that grows, and every
refusal names the PE. The cores are those of the real mode; only the joining of batches is done by hand here.
"""

import gc
import mmap
import subprocess
import sys
import tracemalloc
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.mapping.placement import place
from host.mapping.sharding import cut
from models import formats
from models.compute.working_room import WorkingRoom
from models.kernels import egru
from models.reference import Reference
from models.schedule import schedule
from models.seeded import seeded_egru
from noc.chip import load_chip
from noc.packet import FRESH, RESET, VALID, Batch, Bundle, Fault, Load, Loaded, Read, Reading, Section, Start, Stop, Stopped
from pe.core import Pe
from pe.layout import FIFO_EVENTS
from pe.lifecycle import LIFECYCLE, State
from pe.sram import PROGRAM

ROOT = Path(__file__).resolve().parent.parent
CHIP = load_chip()
ROUTER = "router@0"
NEW = VALID | FRESH | RESET
NAMES = formats.names()
each = pytest.mark.parametrize("form", NAMES)


def load_of(placement, placed):
    """What the host sends a PE (`host.run.run.Run._load`)."""
    shards = [shard.to_parts() for shard in cut(placement.network, placement.request, placed.share)]
    return Load(shards, placement.copies(placed), dict(vars(placement.request.size)), {})


def only(outgoing):
    """The one message that went to the router."""
    ((destinations, message),) = outgoing
    assert destinations == (ROUTER,)
    return message


def events(keys, values):
    return np.asarray(keys, "<u4").tobytes(), np.asarray(values, "<f4").tobytes()


def bubble(population):
    return Section(population, 0, 0, b"", b"", b"")


class Chip:
    """The PEs of a placement and, by hand, what their router does: it joins a tick's batches into bundles."""

    def __init__(self, network, form="packed", pes=None, mapping="uniform", lanes=1):
        self.placement = place(network, CHIP, mapping, form, pes, lanes)
        self.waits = self.placement.connectivity.waits
        self.pes = [Pe(placed.name, ROUTER) for placed in self.placement.pes]
        self.tick = 0
        self.batches = []
        for pe, placed in zip(self.pes, self.placement.pes, strict=True):
            pe.boot()
            assert type(only(pe.handle(ROUTER, load_of(self.placement, placed)))) is Loaded
            self.batches.append(only(pe.handle(ROUTER, Start())))

    def bundles(self, section):
        """Each PE's bundle, when the host's batch holds `section`."""
        joined = {0: section}
        for number in self.placement.network.layers:
            parts = [s for batch in self.batches for s in batch.sections if s.population == number]
            keys = np.concatenate([np.frombuffer(s.keys, "<u4") for s in parts])
            values = np.concatenate([np.frombuffer(s.values, "<f4") for s in parts])
            order = np.argsort(keys)
            raw_keys, raw_values = events(keys[order], values[order])
            joined[number] = parts[0]._replace(keys=raw_keys, values=raw_values, ledger=b"")
        self.joined = joined
        return [Bundle(self.tick, tuple(joined[n] for n in self.waits[pe.name])) for pe in self.pes]

    def step(self, section):
        """One tick; what the layers emit comes into `joined` at the next one."""
        bundles = self.bundles(section)
        self.batches = [only(pe.handle(ROUTER, bundle)) for pe, bundle in zip(self.pes, bundles, strict=True)]
        self.tick += 1
        assert all(batch.tick == self.tick for batch in self.batches)

    def run(self, feeds):
        """Feed the sections (None: a bubble), then drain; return each layer's valid sections in order."""
        said = {number: [] for number in self.placement.network.layers}
        for feed in [*feeds, *[None] * (schedule(self.placement.network).depth + 1)]:
            self.step(bubble(0) if feed is None else feed)
            for number, sections in said.items():
                if self.joined[number].flags & VALID:
                    sections.append(self.joined[number])
        return said


def feeds_of(units, positions, seed=0, lanes=1, segment=0, active=0.7):
    """Input sections with random events; a sequence begins at 0, a segment every `segment` positions."""
    rng = np.random.default_rng(seed)
    feeds = []
    for position in range(positions):
        keys = np.flatnonzero(rng.random(lanes * units) < active)
        flags = NEW if position == 0 else VALID | (RESET if segment and position % segment == 0 else 0)
        feeds.append(Section(0, flags, position, *events(keys, rng.normal(0, 0.3, len(keys))), b""))
    return feeds


def dense(section, units):
    x = np.zeros(units, np.float32)
    x[np.frombuffer(section.keys, "<u4")] = np.frombuffer(section.values, "<f4")
    return x


def said_by_reference(network, feeds):
    reference = Reference(network)
    said = {number: [] for number in network.layers}
    for feed in feeds:
        begins = {"fresh": bool(feed.flags & FRESH), "reset": bool(feed.flags & RESET)}
        for number, (y,) in reference.step({0: dense(feed, network.populations[0].units)}, **begins).items():
            said[number].append((feed.position, *events(np.flatnonzero(y), y[np.flatnonzero(y)])))
    return said


def bare(said):
    """Positions, keys and values alone."""
    return {number: [(s.position, s.keys, s.values) for s in sections] for number, sections in said.items()}


SMALL = seeded_egru(8, (7, 8), 0.6, seed=5, threshold=0.1)


# ---- one answer


@pytest.mark.few(5)
@each
@pytest.mark.parametrize(("pes", "mapping"), [(1, "uniform"), (2, "uniform"), (5, "balanced"), (14, "uniform")])
def test_any_number_of_pes_says_what_the_reference_says(form, pes, mapping):
    feeds = feeds_of(8, 7, segment=3)
    said = bare(Chip(SMALL, form, pes, mapping).run(feeds))
    assert said == said_by_reference(SMALL, feeds)
    assert sum(len(keys) for _, keys, _ in said[1] + said[2]) > 0


LATE = st.lists(st.integers(0, 3), min_size=6, max_size=6)


@pytest.mark.few(3)
@each
@given(late=LATE, pes=st.sampled_from([1, 2, 4]))
@settings(deadline=None, max_examples=12)
def test_an_input_that_is_late_by_any_number_of_ticks_changes_no_event(form, late, pes):
    """Bubbles keep what a layer heard of itself until it steps."""
    feeds = feeds_of(8, 6, segment=4)
    with_gaps = [item for gap, feed in zip(late, feeds, strict=True) for item in (*[None] * gap, feed)]
    assert bare(Chip(SMALL, form, pes).run(with_gaps)) == said_by_reference(SMALL, feeds)


@each
def test_a_lane_says_what_its_sequence_says_alone(form):
    network, lanes, units = SMALL, 3, 8
    feeds = feeds_of(units, 5, lanes=lanes, segment=2)
    together = Chip(network, form, 4, lanes=lanes).run(feeds)
    for lane in range(lanes):
        alone = []
        for feed in feeds:
            x = dense(feed, lanes * units)[lane * units : (lane + 1) * units]
            alone.append(feed._replace(**dict(zip(("keys", "values"), events(np.flatnonzero(x), x[x != 0]), strict=True))))
        want = said_by_reference(network, alone)
        for number in network.layers:
            width = network.populations[number].units
            for section, (position, keys, values) in zip(together[number], want[number], strict=True):
                y = dense(section, lanes * width)[lane * width : (lane + 1) * width]
                assert (section.position, *events(np.flatnonzero(y), y[y != 0])) == (position, keys, values)


@each
def test_a_new_sequence_forgets_what_the_last_one_said(form):
    feeds = feeds_of(8, 4)
    chip = Chip(SMALL, form, 2)
    first, second = chip.run(feeds), chip.run(feeds)
    assert bare(first) == bare(second)


@each
def test_all_units_at_once_pass_through_a_fifo_of_fewer_events(form):
    """It works at 100 % activity, with more events a tick than the FIFO holds."""
    units = 2 * FIFO_EVENTS + 44
    network = seeded_egru(units, (6,), 0.02, seed=3, threshold=0.0)
    feed = Section(0, NEW, 0, *events(np.arange(units), np.linspace(0.1, 0.5, units)), b"")
    assert bare(Chip(network, form, 1).run([feed])) == said_by_reference(network, [feed])


def test_a_network_of_many_layers_fits_one_pe():
    """A bundle of 18 sections, which no longer has the shortest form."""
    network = seeded_egru(8, (6,) * 17, 0.6, seed=5, threshold=0.0)
    feeds = feeds_of(8, 3)
    said = bare(Chip(network, pes=1).run(feeds))
    assert said == said_by_reference(network, feeds)
    assert sum(len(keys) for _, keys, _ in said[17]) > 0


def test_a_batch_carries_position_flags_and_a_ledger_and_a_bubble_nothing():
    chip = Chip(SMALL, pes=2)
    assert chip.batches == [Batch(0, (bubble(1),)), Batch(0, (bubble(2),))]
    feed = feeds_of(8, 1)[0]._replace(position=41, flags=VALID | RESET)
    chip.step(feed)
    (first,), (second,) = (batch.sections for batch in chip.batches)
    assert (first.population, first.flags, first.position) == (1, VALID | RESET, 41)
    counted, macs, visited, *rest = np.split(np.frombuffer(first.ledger, "<u4"), [3, 4, 5])
    assert egru.COUNTS == ("units", "exponentials")
    assert counted.tolist() == [len(first.keys) // 4, 7, 21]
    columns = SMALL.populations[1].projections[0].weights.to_dense() != 0  # of the input, the first of its projections
    assert [*macs, *visited] == [columns[:, np.frombuffer(feed.keys, "<u4")].sum()] * 2
    assert rest[0].tolist() == [0, 0]  # it has heard nothing of itself
    assert second == bubble(2)  # the wavefront: the second layer is a tick behind
    chip.step(bubble(0))
    assert chip.batches[0].sections == (bubble(1),)
    assert (chip.batches[1].sections[0].flags, chip.batches[1].sections[0].position) == (VALID | RESET, 41)


def test_packets_are_counted_after_fan_out_and_never_to_oneself():
    """Sent: events times the other listeners. Delivered: events heard of others."""
    chip = Chip(SMALL, pes=4)  # two PEs a layer
    feeds = feeds_of(8, 5)
    said = chip.run(feeds)
    events_of = {number: sum(len(s.keys) // 4 for s in sections) for number, sections in said.items()}
    sent = delivered = 0
    for pe in chip.pes:
        counters = only(pe.handle(ROUTER, Read())).counters
        sent += counters["packets_sent"]
        delivered += counters["packets_delivered"]
    # Layer 1 has three other listeners (its other PE and both of layer 2), layer 2 its other PE and the host.
    assert sent == 3 * events_of[1] + 2 * events_of[2]
    assert delivered == 2 * sum(len(f.keys) // 4 for f in feeds) + 3 * events_of[1] + events_of[2]


def test_a_network_on_one_pe_sends_nothing_to_another_pe():
    chip = Chip(SMALL, pes=1)
    said = chip.run(feeds_of(8, 5))
    counters = only(chip.pes[0].handle(ROUTER, Read())).counters
    assert counters["packets_sent"] == sum(len(s.keys) // 4 for s in said[2])  # to the host alone


# ---- everything lies in SRAM


def reach(root):
    """Every object that `root` keeps alive by itself: not types, functions and what modules hold anyway."""
    shared = {id(value) for module in list(sys.modules.values()) for value in getattr(module, "__dict__", {}).values()}
    seen, new = {}, [root]
    while new:
        item = new.pop()
        if id(item) in seen or id(item) in shared or isinstance(item, type | FunctionType | ModuleType):
            continue
        seen[id(item)] = item
        if isinstance(item, BuiltinFunctionType):  # a bound method such as `array.fill`
            new.append(item.__self__)
        elif isinstance(item, np.ndarray | memoryview):  # neither tells the collector what it lies on
            new.append(item.base if isinstance(item, np.ndarray) else item.obj)
        else:
            new += gc.get_referents(item)
    return list(seen.values())


def outside(pe):
    """What a PE keeps that is no register's worth: arrays and buffers outside the arena, and large bytes.

    Addresses, sizes and counters are registers, and so is a single parameter. A batch on its way lies in `reply`. Working room is
    the emulator's, and says again what the arena has.
    """

    def is_foreign(item):
        if isinstance(item, WorkingRoom):
            return False
        if isinstance(item, np.ndarray):
            register = (item.dtype.kind in "iV" and item.nbytes < 2048) or item.size <= 1
            return not (register or item is pe.tick.reply or pe.arena.holds(item))
        if isinstance(item, memoryview):
            return not (item.obj is pe.arena._memory or pe.arena.holds(np.asarray(item)))
        return isinstance(item, bytes | bytearray | str) and len(item) > 1024

    return [item for item in reach(pe) if is_foreign(item)]


@pytest.fixture(params=[(form, pes) for form in NAMES for pes in (1, 2)], ids=lambda p: f"{p[0]} on {p[1]}")
def live(request):
    return after_some_ticks(*request.param)


def after_some_ticks(form, pes):
    """Return PEs after some ticks, each with more than a kilobyte of events."""
    network = seeded_egru(300, (16, 12), 0.4, seed=1, threshold=0.1)
    chip = Chip(network, form, pes)
    for feed in feeds_of(300, 4, active=1.0):
        chip.step(feed)
    return chip


@pytest.mark.few(2)
def test_no_array_outside_the_arena_and_no_large_bytes_between_ticks(live):
    for pe in live.pes:
        assert outside(pe) == []


@pytest.mark.few(3)
def test_what_a_tick_goes_by_lies_together(live):
    """A tick asks once where a page is, not once for each of its arrays."""
    for pe in live.pes:
        arrays = [item for item in reach(pe) if isinstance(item, np.ndarray) and item.nbytes and not pe.arena.holds(item)]
        rooms = [item for item in arrays if isinstance(item, WorkingRoom)]
        small = {(item.ctypes.data, item.nbytes) for item in arrays if item.dtype.kind in "iV" and item.nbytes < 2048}
        pages = {address // mmap.PAGESIZE for address, _ in small}
        assert len(small) > 10
        assert len(pages) <= 3 + sum(size_bytes for _, size_bytes in small) // mmap.PAGESIZE + len(rooms)


@each
def test_nothing_is_kept_in_the_batch_that_was_sent(form):
    feeds = feeds_of(8, 6, lanes=2)
    untouched, overwritten = Chip(SMALL, form, 2, lanes=2), Chip(SMALL, form, 2, lanes=2)
    for feed in feeds:
        for pe in overwritten.pes:
            if pe.tick is not None:
                pe.tick.reply[:] = 0xA5
        untouched.step(feed), overwritten.step(feed)
        assert untouched.batches == overwritten.batches


@pytest.mark.few(3)
def test_the_scan_sees_the_arenas_own_views(live):
    """So that it cannot pass by seeing nothing."""
    pe = live.pes[0]
    arrays = {item.__array_interface__["data"][0] for item in reach(pe) if isinstance(item, np.ndarray)}
    assert arrays >= {view.__array_interface__["data"][0] for view in pe.arena.views.values()}


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "hidden",
    [
        lambda thing: thing,
        lambda thing: [{"deep": (thing,)}],
        lambda thing: partial(print, thing),
        lambda thing: thing.fill if isinstance(thing, np.ndarray) else memoryview(thing),
    ],
    ids=["attribute", "containers", "partial", "method or view"],
)
@pytest.mark.parametrize("thing", [np.zeros(2, np.float32), bytes(2000)], ids=["array", "bytes"])
def test_the_scan_finds_what_is_hidden(hidden, thing):
    pe = after_some_ticks("csr", 1).pes[0]
    pe.kept = hidden(thing)
    assert any(item is thing for item in outside(pe))


@pytest.mark.wide
@pytest.mark.slow_but("csr")
@each
def test_steady_ticks_keep_nothing_and_need_no_more_for_a_larger_model(form):
    """Ten times the sources and units, so a hundred times the weights, the same events: the same bytes of Python's own."""
    peaks = {}
    for scale in (1, 10):
        chip = Chip(seeded_egru(10 * scale, (4 * scale,), 0.5, seed=2, threshold=1.0), form, 1, lanes=8)
        (pe,) = chip.pes
        feeds = feeds_of(10, 100)
        chip.run(feeds[:5])
        assert chip.joined[1].keys == b""  # all silent: the same events at either scale
        bundles = [Bundle(chip.tick + i, (feed._replace(flags=VALID), bubble(1))) for i, feed in enumerate(feeds)]
        gc.collect()
        tracemalloc.start()
        try:
            # Window by window: the interpreter's own free lists fill for a while, and may grow once at any time.
            grown, peak_of = [], []
            for first in range(0, len(bundles), 20):
                before = tracemalloc.get_traced_memory()[0]
                tracemalloc.reset_peak()
                for bundle in bundles[first : first + 20]:
                    pe.handle(ROUTER, bundle)
                after, peak = tracemalloc.get_traced_memory()
                grown.append(after - before)
                peak_of.append(peak - before)
        finally:
            tracemalloc.stop()
        assert min(grown) < 128, grown
        peaks[scale] = min(peak_of)
    assert abs(peaks[10] - peaks[1]) < 128
    assert peaks[10] < 4096


def test_the_arena_is_all_of_the_data_and_the_regions_are_reported():
    placement = place(SMALL, CHIP, "uniform", "packed", 2)
    pe = Pe(placement.pes[0].name, ROUTER)
    pe.boot()
    loaded = only(pe.handle(ROUTER, load_of(placement, placement.pes[0])))
    assert [tuple(row) for row in loaded.regions] == [(r.name, r.offset, r.size_bytes, r.role) for r in placement.pes[0].regions]
    assert loaded.regions[0][0] == PROGRAM
    shard = cut(placement.network, placement.request, placement.pes[0].share)[0]
    for port in shard.ports:
        for name, array in port.arrays.items():
            assert np.array_equal(pe.arena.views[f"1.{port.name}.{name}"], array)


# ---- refusals


def booted(name="PE(1,1,0)@0"):
    pe = Pe(name, ROUTER)
    pe.boot()
    return pe


def test_a_shard_too_large_by_one_byte_is_refused_with_pe_region_need_and_free():
    """The PE asks again what the host has asked: a host that is wrong does no harm."""
    placement = place(SMALL, CHIP, "uniform", "csr", 2)
    placed = placement.pes[0]
    load = load_of(placement, placed)
    last = max(placed.regions, key=lambda r: r.offset)
    free = placement.request.size.sram_bytes - last.offset - last.size_bytes
    full = {**load.spec, "debug_bytes": load.spec["debug_bytes"] + free}
    assert type(only(booted(placed.name).handle(ROUTER, load._replace(spec=full)))) is Loaded
    pe = booted(placed.name)
    fault = only(pe.handle(ROUTER, load._replace(spec={**full, "debug_bytes": full["debug_bytes"] + 1})))
    assert type(fault) is Fault
    assert pe.state is State.FAULT
    need = last.size_bytes
    assert fault.text == f"{placed.name}: region {last.name!r} needs {need} B, {need - 4} B free of 98304 B"


def _spec(**changes):
    return lambda load: load._replace(spec={**load.spec, **changes})


def _shard(value, *places):
    def damage(load):
        part = load.shards[0]
        for number in places[:-1]:
            part = part[number]
        part[places[-1]] = value
        return load

    return damage


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (_spec(sram_bytes=38_000), "free"),
        (_spec(size=1), "size"),
        (_spec(sram_bytes="big"), ""),
        (lambda load: load._replace(shards=[[1, 2]]), "to_parts"),
        (lambda load: load._replace(shards=["text"]), "to_parts"),
        (_shard("lstm", 0, 1), "'lstm'"),
        (_shard("pakced", 0, 2), "'packed'"),
        (_shard([["units", "<u4", [2], bytes(4)]], 2), "to_parts"),
    ],
)
def test_a_load_that_cannot_be_is_a_fault_of_one_line_that_names_the_pe(damage, word):
    placement = place(SMALL, CHIP, "uniform", "packed", 2)
    pe = booted()
    fault = only(pe.handle(ROUTER, damage(load_of(placement, placement.pes[0]))))
    assert type(fault) is Fault
    assert fault.text.startswith("PE(1,1,0)@0: ")
    assert word in fault.text
    assert len(fault.text.splitlines()) == 1
    assert pe.state is State.FAULT


def test_a_shard_without_an_input_port_is_a_fault():
    placement = place(SMALL, CHIP, "uniform", "packed", 2)
    load = load_of(placement, placement.pes[0])
    del load.shards[0][3][0]
    assert type(only(booted().handle(ROUTER, load))) is Fault


def test_a_shard_without_its_vectors_is_a_fault():
    placement = place(SMALL, CHIP, "uniform", "packed", 2)
    load = load_of(placement, placement.pes[0])
    load.shards[0][4] = []
    assert type(only(booted().handle(ROUTER, load))) is Fault


def pe_in(state):
    """A PE that real messages have brought into `state`."""
    placement = place(SMALL, CHIP, "uniform", "packed", 2)
    pe = Pe("PE(1,1,0)@0", ROUTER)
    if state is not State.BOOT:
        pe.boot()
    if state in (State.LOADED, State.RUNNING, State.READ, State.WAITING):
        pe.handle(ROUTER, load_of(placement, placement.pes[0]))
    if state in (State.RUNNING, State.READ, State.WAITING):
        pe.handle(ROUTER, Start())
    if state is State.READ:
        pe.handle(ROUTER, Read(3))
    if state is State.WAITING:
        pe.handle(ROUTER, Read())
    if state is State.FAULT:
        pe.handle(ROUTER, Read())
    if state is State.STOPPED:
        pe.handle(ROUTER, Stop())
    assert pe.state is state
    return pe


RESTING = (State.BOOT, State.IDLE, State.LOADED, State.RUNNING, State.READ, State.WAITING)
MESSAGES = (Load([], {}, {}, {}), Start(), Read(), Bundle(0, ()), Reading({}), Batch(0, ()))


@pytest.mark.few(12)
@pytest.mark.parametrize("state", RESTING, ids=lambda s: s.value)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_that_the_state_does_not_allow_is_a_fault(state, message):
    if type(message) in LIFECYCLE[state]:
        return
    pe = pe_in(state)
    fault = only(pe.handle(ROUTER, message))
    assert type(fault) is Fault
    assert f"PE(1,1,0)@0: {type(message).__name__} in state {state.value}" in fault.text
    assert pe.state is State.FAULT


@pytest.mark.parametrize("state", [*RESTING, State.FAULT], ids=lambda s: s.value)
def test_stop_is_answered_and_ends_a_pe_from_anywhere(state):
    pe = pe_in(state)
    assert not pe.done
    assert only(pe.handle(ROUTER, Stop())) == Stopped()
    assert pe.done


def test_a_pe_that_has_left_says_nothing_more():
    pe = pe_in(State.STOPPED)
    for message in (*MESSAGES, Stop()):
        assert pe.handle(ROUTER, message) == []
        assert pe.done


def test_a_pe_in_fault_takes_a_bundle_and_says_nothing_more():
    """`Fault`: the sender does nothing more. The table lets bundles in flight arrive."""
    chip = Chip(SMALL, pes=2)
    pe = chip.pes[0]
    good, bad = chip.bundles(feeds_of(8, 1)[0])[0], Bundle(7, ())
    assert type(only(pe.handle(ROUTER, bad))) is Fault
    assert pe.handle(ROUTER, good) == []
    assert pe.state is State.FAULT


@pytest.mark.parametrize("tick", [1, 7, 2**40])
def test_a_bundle_of_another_tick_is_a_fault_that_names_both(tick):
    chip = Chip(SMALL, pes=2)
    fault = only(chip.pes[0].handle(ROUTER, Bundle(tick, ())))
    assert fault == Fault(f"{chip.pes[0].name}: bundle of tick {tick}; needs tick 0")


@pytest.mark.few(11)
@each
@pytest.mark.parametrize(("population", "keys"), [(0, [0, 8]), (0, [2**32 - 1]), (1, [7])])
def test_an_event_of_no_unit_is_a_fault_that_names_pe_and_tick(form, population, keys):
    """Population 0 has units 0 to 7, population 1 units 0 to 6; it touches no memory that is not its port's."""
    chip = Chip(SMALL, form, pes=2)
    for feed in feeds_of(8, 2):
        chip.step(feed)
    good = chip.bundles(bubble(0))[0]
    wrong = Section(population, VALID, 2, *events(keys, [1.0] * len(keys)), b"")
    bundle = good._replace(sections=tuple(wrong if s.population == population else s for s in good.sections))
    before = {name: view.copy() for name, view in chip.pes[0].arena.views.items()}
    fault = only(chip.pes[0].handle(ROUTER, bundle))
    assert fault == Fault(f"{chip.pes[0].name}: bundle of tick 2 has an event of no unit; populations heard: 0, 1")
    assert chip.pes[0].state is State.FAULT
    assert chip.pes[0].handle(ROUTER, good) == []
    port = "1.input" if population == 0 else "1.recurrent"
    changed = {name for name, view in chip.pes[0].arena.views.items() if view.tobytes() != before[name].tobytes()}
    assert changed <= {f"{port}.{array}" for array in ("sums", "counts", "vector")} | {"fifo.keys", "fifo.values"}


@pytest.mark.parametrize("populations", [[2], [0, 1, 2], [0, 0, 1]])
def test_a_bundle_of_a_population_that_nobody_hears_is_a_fault_that_names_pe_tick_and_populations(populations):
    chip = Chip(SMALL, pes=2)
    sections = tuple(Section(n, NEW, 0, b"", b"", b"") for n in populations)
    fault = only(chip.pes[0].handle(ROUTER, Bundle(0, sections)))
    have = ", ".join(map(str, populations))
    assert fault == Fault(f"{chip.pes[0].name}: bundle of tick 0 with populations {have}; needs each once, of 0, 1")


def test_a_pe_that_was_read_waits_and_goes_on_at_the_tick_where_it_waited():
    feeds = feeds_of(8, 6)
    chip, straight = Chip(SMALL, pes=2), Chip(SMALL, pes=2)
    for feed in feeds[:3]:
        chip.step(feed)
    for pe in chip.pes:
        assert type(only(pe.handle(ROUTER, Read()))) is Reading
        assert pe.state is State.WAITING
    chip.step(bubble(0))  # a last bundle may still come
    for pe in chip.pes:
        assert pe.handle(ROUTER, Start()) == []
        assert pe.state is State.RUNNING
    rest = chip.run(feeds[3:])
    whole = straight.run(feeds)
    assert bare(rest)[2][-3:] == bare(whole)[2][-3:]
    assert len(rest[1]) >= 3


@pytest.mark.parametrize("early", range(4))
def test_a_pe_asked_before_its_last_bundles_answers_only_after_them(early):
    """What it is asked may overtake what it is to count; its answer is that of one that was asked afterwards."""
    feeds = feeds_of(8, 6)
    chip, after = Chip(SMALL, pes=4), Chip(SMALL, pes=4)
    for feed in feeds:
        after.step(feed)
    counters = [only(pe.handle(ROUTER, Read(len(feeds)))).counters for pe in after.pes]
    assert any(counted["packets_delivered"] for counted in counters)
    for feed in feeds[: len(feeds) - early]:
        chip.step(feed)
    said = [pe.handle(ROUTER, Read(len(feeds))) for pe in chip.pes]
    for feed in feeds[len(feeds) - early :]:
        assert said == [[]] * len(chip.pes)
        assert all(pe.state is State.READ for pe in chip.pes)
        answers = [pe.handle(ROUTER, bundle) for pe, bundle in zip(chip.pes, chip.bundles(feed), strict=True)]
        chip.batches = [batch for ((_, batch), *_) in answers]
        assert [batch.tick for batch in chip.batches] == [chip.tick + 1] * len(chip.pes)  # it takes part in ticks as ever
        chip.tick += 1
        said = [out[1:] for out in answers]
    assert [only(out).counters for out in said] == counters
    assert all(pe.state is State.WAITING for pe in chip.pes)


def test_a_pe_that_has_been_asked_answers_once():
    chip = Chip(SMALL, pes=2)
    pe, bundle = chip.pes[0], chip.bundles(feeds_of(8, 1)[0])[0]
    assert pe.handle(ROUTER, Read(1)) == []
    assert [type(message) for _, message in pe.handle(ROUTER, bundle)] == [Batch, Reading]
    assert type(only(pe.handle(ROUTER, Bundle(1, ())))) is Batch
    assert type(only(pe.handle(ROUTER, Read(2)))) is Reading


def test_bytes_that_were_no_message_are_counted_and_nothing_else():
    pe = pe_in(State.RUNNING)
    for _ in range(3):
        assert pe.malformed("somebody", "17 B are not msgpack") == []
    assert pe.state is State.RUNNING
    assert only(pe.handle(ROUTER, Read())).counters == {"packets_sent": 0, "packets_delivered": 0, "malformed": 3}


# ---- nothing is compiled in a PE

_FORKED = """
import sys
sys.path.insert(0, "tests")
from models import formats, kernels
from models.heads import language
from models.compute.compiling import _dispatchers
for name in formats.names():
    formats.named(name)
for name in kernels.names():
    kernels.named(name)
before = {id(d): len(d.signatures) for d in _dispatchers}
from test_pe import SMALL, Chip, feeds_of
for form in formats.names():
    for lanes in (1, 2):
        Chip(SMALL, form, 2, lanes=lanes).run(feeds_of(8, 3, lanes=lanes))
grown = [d.py_func.__qualname__ for d in _dispatchers if len(d.signatures) > before.get(id(d), 0)]
print(grown)
"""


@pytest.mark.wide
def test_after_the_fork_servers_warm_up_a_run_compiles_nothing():
    """In a process of its own: this one has called the kernels with other arrays already."""
    done = subprocess.run([sys.executable, "-c", _FORKED], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
