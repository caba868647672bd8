"""What the event stream's fingerprint promises: it follows from the events alone, each bit of them, and from no schedule."""

import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.run.event_hash import EventStream
from host.workloads.lane_sets import pack_lanes
from models.seeded import seeded_egru
from noc.packet import PHASE, VALID, Section
from tests.tools.graphs import Layer, graph, with_members

NETWORK = seeded_egru(5, (6, 4), density=0.5)
WIDTHS = {n: NETWORK.populations[n].units for n in NETWORK.layers}
patient = settings(deadline=None, max_examples=60)


def section(population, position, events):
    """Return a section with events [(lane, unit, float32 bits)]."""
    keys = [(lane * WIDTHS[population] + unit, bits) for lane, unit, bits in sorted(events)]
    raw = [struct.pack(f"<{len(keys)}I", *column) for column in (zip(*keys, strict=True) if keys else ((), ()))]
    return Section(population, VALID, position, *raw, b"")


@st.composite
def streams(draw, lanes=None, positions=None):
    """Draw (lanes, {(population, position): events})."""
    lanes = draw(st.integers(1, 3)) if lanes is None else lanes
    positions = draw(st.integers(1, 4)) if positions is None else positions
    content = {}
    for population, width in WIDTHS.items():
        for position in range(positions):
            slots = st.tuples(st.integers(0, lanes - 1), st.integers(0, width - 1))
            chosen = draw(st.sets(slots, max_size=8))
            content[population, position] = [(lane, unit, draw(st.integers(0, 2**32 - 1))) for lane, unit in sorted(chosen)]
    return lanes, content


def record(lanes, content, order=None):
    stream = EventStream(NETWORK, lanes)
    for population, position in order or sorted(content, key=lambda slot: (slot[1], slot[0])):
        stream.add(section(population, position, content[population, position]))
    return stream


# --- sequences one after another ---------------------------------------------------------------------------------------


def in_rounds(length, sequences, lanes):
    """Sequences of `length` positions, `lanes` side by side, round after round."""

    def at(lane, position):
        number = position // length * lanes + lane
        return (number, position % length) if number < sequences else None

    return at


@patient
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.data())
def test_sequences_have_the_same_hash_whether_they_run_side_by_side_or_one_after_another(length, sequences, lanes, data):
    """Whatever lanes without a sequence do in the last round."""
    events = {
        (number, n, position): data.draw(st.dictionaries(st.integers(0, WIDTHS[n] - 1), st.integers(0, 2**32 - 1), max_size=3))
        for number in range(sequences) for n in WIDTHS for position in range(length)
    }  # fmt: skip

    def stream(side_by_side):
        at = in_rounds(length, sequences, side_by_side)
        found = EventStream(NETWORK, side_by_side, at)
        for position in range(-(-sequences // side_by_side) * length):
            for n in WIDTHS:
                row = []
                for lane in range(side_by_side):
                    place = at(lane, position)
                    chosen = {0: 1, 3: 7} if place is None else events[place[0], n, place[1]]
                    row += [(lane, unit, bits) for unit, bits in chosen.items()]
                found.add(section(n, position, row))
        return found.report()

    alone, together = stream(1), stream(lanes)
    for key in ("sha256", "sequences", "count", "by_layer", "sparsity_by_layer"):
        assert together[key] == alone[key]
    assert together["positions"] == -(-sequences // lanes) * length
    assert len(alone["sequences"]) == sequences


# --- the hash ---------------------------------------------------------------------------------------------------------


@patient
@given(streams(), st.data())
def test_the_hash_does_not_depend_on_the_order_of_layers(stream, data):
    """Each layer comes in order of position; how the layers interleave is the schedule's business."""
    lanes, content = stream
    queues = {n: iter(sorted(slot for slot in content if slot[0] == n)) for n in WIDTHS}
    order = [next(queues[n]) for n in data.draw(st.permutations([population for population, _ in content]))]
    assert record(lanes, content, order).report() == record(lanes, content).report()


@patient
@given(streams(), st.data())
def test_any_changed_bit_changes_the_hash(stream, data):
    lanes, content = stream
    slots = [slot for slot, events in content.items() if events]
    assume(slots)
    slot = data.draw(st.sampled_from(slots))
    index = data.draw(st.integers(0, len(content[slot]) - 1))
    lane, unit, bits = content[slot][index]
    changed = list(content[slot])
    changed[index] = (lane, unit, bits ^ 1 << data.draw(st.integers(0, 31)))
    assert record(lanes, content).sha256() != record(lanes, {**content, slot: changed}).sha256()


@patient
@given(streams(), st.data())
def test_an_event_more_or_elsewhere_changes_the_hash(stream, data):
    """Any other unit, sequence, position or layer."""
    lanes, content = stream
    population, position = data.draw(st.sampled_from(sorted(content)))
    lane, unit = data.draw(st.integers(0, lanes - 1)), data.draw(st.integers(0, WIDTHS[population] - 1))
    events = content[population, position]
    assume((lane, unit) not in {(other, one) for other, one, _ in events})
    more = {**content, (population, position): sorted([*events, (lane, unit, 0)])}
    assert record(lanes, more).sha256() != record(lanes, content).sha256()


@pytest.mark.parametrize("other", [(1, 0, 0, 3, 7), (2, 1, 0, 3, 7), (2, 0, 1, 3, 7), (2, 0, 0, 2, 7), (2, 0, 0, 3, 8)])
def test_one_event_elsewhere_is_another_stream(other):
    """(population, position, sequence, unit, bits): each of the five counts."""

    def of(population, position, lane, unit, bits):
        return record(2, {(n, p): [(lane, unit, bits)] if (n, p) == (population, position) else [] for n in (1, 2) for p in (0, 1)})

    assert of(*other).sha256() != of(2, 0, 0, 3, 7).sha256()


def test_the_digest_is_what_the_documentation_says():
    """Of each layer in order, SHA-256 over (position, population, unit, bits), four little-endian words an event."""
    content = {(1, 0): [(0, 2, 9), (1, 0, 8)], (2, 0): [], (1, 1): [(1, 5, 0xFFFFFFFF)], (2, 1): [(1, 3, 1)]}
    stream = record(2, content)
    layers = [hashlib.sha256(struct.pack("<8I", 0, 1, 0, 8, 1, 1, 5, 0xFFFFFFFF)), hashlib.sha256(struct.pack("<4I", 1, 2, 3, 1))]
    second = hashlib.sha256(b"".join(layer.digest() for layer in layers))
    assert stream.sequence_sha256(1) == second.hexdigest()
    total = hashlib.sha256()
    for lane in (0, 1):
        total.update(struct.pack("<I", lane) + bytes.fromhex(stream.sequence_sha256(lane)))
    assert stream.sha256() == total.hexdigest()


def test_values_are_hashed_as_bits():
    """0.0 and -0.0 are equal numbers and different events; a NaN is equal to itself."""
    plus, minus, nan = 0, 1 << 31, 0x7FC00001
    assert record(1, {(1, 0): [(0, 0, plus)]}).sha256() != record(1, {(1, 0): [(0, 0, minus)]}).sha256()
    assert record(1, {(1, 0): [(0, 0, nan)]}).sha256() == record(1, {(1, 0): [(0, 0, nan)]}).sha256()


# --- sequences of a batch ---------------------------------------------------------------------------------------------


@patient
@given(streams())
def test_a_sequence_of_a_batch_has_the_digest_it_has_alone(stream):
    lanes, content = stream
    together = record(lanes, content)
    for lane in range(lanes):
        alone = {slot: [(0, unit, bits) for where, unit, bits in events if where == lane] for slot, events in content.items()}
        assert together.sequence_sha256(lane) == record(1, alone).sequence_sha256(0)
    assert together.report()["sequences"] == [together.sequence_sha256(lane) for lane in range(lanes)]


@patient
@given(streams(lanes=2), st.data())
def test_sequences_do_not_mix(stream, data):
    _, content = stream
    without = {slot: [event for event in events if event[0] == 0] for slot, events in content.items()}
    assert record(2, content).sequence_sha256(0) == record(2, without).sequence_sha256(0)


# --- counts -----------------------------------------------------------------------------------------------------------


@patient
@given(streams())
def test_events_are_counted_by_layer(stream):
    lanes, content = stream
    recorded = record(lanes, content)
    report = recorded.report()
    by_layer = [sum(len(events) for (n, _), events in content.items() if n == layer) for layer in WIDTHS]
    positions = len(content) // len(WIDTHS)
    assert report["by_layer"] == by_layer
    assert report["count"] == sum(by_layer)
    assert report["positions"] == positions
    slots = [positions * width * lanes for width in WIDTHS.values()]
    assert recorded.activity() == [events / units for events, units in zip(by_layer, slots, strict=True)]
    assert np.allclose(report["sparsity_by_layer"], 1 - np.array(by_layer) / slots)


@pytest.mark.parametrize("lanes", [1, 2])
def test_events_count_as_soon_as_they_are_asked_for_however_many_came_before(lanes):
    """Sections are hashed many at once: what is asked in between, and when, changes nothing."""
    rng = np.random.default_rng(lanes)
    drawn = [
        section(1, position, [(lane, int(unit), position) for lane in range(lanes) for unit in np.flatnonzero(rng.random(6) < 0.5)])
        for position in range(150)
    ]
    asked, plain, count = EventStream(NETWORK, lanes), EventStream(NETWORK, lanes), 0
    for position, one in enumerate(drawn):
        asked.add(one)
        plain.add(one)
        count += len(one.keys) // 4
        if position % 7 == 3:
            assert asked.report()["count"] == count
            assert asked.report()["positions"] == position + 1
    assert asked.report() == plain.report()


@pytest.mark.wide_but("1-1-1048576")
@pytest.mark.parametrize(("lanes", "events", "ledger_bytes"), [(1 << 10, 1 << 10, 0), (1, 1, 1 << 20), (1 << 10, 1, 0)])
def test_what_waits_to_be_hashed_needs_no_memory(lanes, events, ledger_bytes):
    """Large sections, large ledgers, or many lanes: less than a quarter of what came is held."""
    stream, one = EventStream(NETWORK, lanes), section(1, 0, [(lane, 0, 1) for lane in range(events)])
    tracemalloc.start()
    for position in range(20):
        stream.add(one._replace(position=position, keys=bytes(bytearray(one.keys)), ledger=bytes(ledger_bytes)))
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held_bytes < 20 * max(len(one.keys), ledger_bytes, 100 * lanes) / 4


def test_before_any_position_nothing_is_active():
    report = EventStream(NETWORK, 1).report()
    assert (report["count"], report["positions"], report["sparsity_by_layer"]) == (0, 0, [1.0, 1.0])


# --- other payloads, ticks of a position, idle lanes ---------------------------------------------------------------------


def digest_of(records):
    """The digest of a sequence of one layer with these records."""
    layer = hashlib.sha256(b"".join(struct.pack(f"<{len(record)}I", *record) for record in records)).digest()
    return hashlib.sha256(layer).hexdigest()


@pytest.mark.parametrize(
    ("kernel", "payload", "values", "bits"),
    [
        ("grader", "int8", struct.pack("<2b", -1, 5), (0xFFFFFFFF, 5)),
        ("grader", "int32", struct.pack("<2i", -2, 1 << 20), (0xFFFFFFFE, 1 << 20)),
        ("counter", "count", struct.pack("<2H", 65535, 1), (65535, 1)),
        ("integrator", "spike", b"", (1, 1)),
    ],
)
def test_a_whole_number_is_hashed_with_its_sign_and_a_spike_as_one(kernel, payload, values, bits):
    with with_members():
        stream = EventStream(graph({"in": Layer(1), "a": Layer(4, kernel, {}, payload=payload)}), 1)
        stream.add(Section(1, VALID, 0, struct.pack("<2I", 1, 3), values, b""))
    assert stream.sequence_sha256(0) == digest_of([(0, 1, 1, bits[0]), (0, 1, 3, bits[1])])


def test_where_a_position_takes_several_ticks_the_tick_is_hashed_too():
    with with_members():
        stream = EventStream(graph({"in": Layer(1), "a": Layer(4, "phaser", {}, {"ticks": 2})}), 1)
        for position, phase in ((0, 0), (0, 1), (1, 0)):
            flags = VALID | phase * PHASE
            stream.add(Section(1, flags, position, struct.pack("<I", 2), struct.pack("<I", 7 + position + phase), b""))
    assert stream.sequence_sha256(0) == digest_of([(0, 0, 1, 2, 7), (0, 1, 1, 2, 8), (1, 0, 1, 2, 8)])
    assert stream.report()["positions"] == 2
    assert stream.activity() == [3 / (3 * 4)]


def test_a_dense_section_has_a_record_for_each_unit_and_an_idle_lane_none():
    idle = pack_lanes(np.zeros(2, bool), np.zeros(2, bool), np.array([True, False]))[1]
    with with_members():
        stream = EventStream(graph({"in": Layer(1), "a": Layer(3, "sampler", {})}), 2)
        values = struct.pack("<6b", 0, 0, 0, 4, 0, -6)
        stream.add(Section(1, VALID, 0, b"", values, b"", idle))
    assert stream.sequence_sha256(1) == digest_of([(0, 1, 0, 4), (0, 1, 1, 0), (0, 1, 2, (1 << 32) - 6)])
    assert stream.sequence_sha256(0) == digest_of([])
    assert stream.activity() == [1.0]
