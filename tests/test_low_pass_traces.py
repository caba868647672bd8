"""A layer that hears the low-pass trace of the events before it: one answer, exact counts, a price, and refusals.

The events on the chip stay those of y; the receiving port keeps the trace (`models/compute/lowpass.py`, whose bits
`tests/test_formats.py` holds against a plain loop, format by format).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pe import LATE, ROUTER, Chip, bare, dense, events, feeds_of, load_of, only, outside, said_by_reference

from host.cost.cost_table import apply_settings, load_table
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.price import price_positions as price
from host.errors import Exit
from host.faults import Faults
from host.launch.launcher import Launcher
from host.mapping.placement import place
from host.workloads.arrays.options import Options
from host.workloads.arrays.read_arrays import save_features
from host.workloads.arrays.seeded_numbers import seeded_features
from models import formats
from models.checkpoint import save
from models.network import Network
from models.reference import Reference
from models.seeded import seeded_embedding, seeded_gesture
from models.tuned_activity import at_activity
from noc.chip import load_chip
from noc.packet import Fault
from pe.core import Pe
from tests.tools.grids import pairs
from tests.tools.ledgers import Fixed, by_port, invented, placed, ran, three_units
from tests.tools.tiny import tiny_network

NAMES = formats.names()
each = pytest.mark.parametrize("form", NAMES)
TRACED = seeded_gesture(features=8, layers=(7, 8), classes=3).network


def with_traces(network, traces):
    """The network with these decays at the inputs of its layers."""
    populations = [network.populations[0]]
    for layer, trace in zip(network.populations[1:], traces, strict=True):
        projections = tuple(replace(p, trace=trace if p.port == "input" else 0.0) for p in layer.projections)
        populations.append(replace(layer, projections=projections))
    return Network(tuple(populations))


# ---- the reference


def test_the_reference_hears_what_the_equation_says():
    """Each layer alone, fed with a trace made here, position by position; a segment begins at 3, a sequence at 5."""
    network = with_traces(TRACED, (0.5, 0.9))
    whole = Reference(network)
    singles = [
        Reference(Network((replace(network.populations[0], units=source.units), replace(layer, projections=ports))))
        for source, layer in zip(network.populations, network.populations[1:], strict=False)
        for ports in [tuple(replace(p, source=number, trace=0.0) for number, p in enumerate(layer.projections))]
    ]
    heard, keeps = [np.zeros(8, np.float32), np.zeros(7, np.float32)], np.array([0.5, 0.9], np.float32)
    said = 0
    for position, x in enumerate(seeded_embedding(8, 8)):
        begins = {"reset": position == 3, "fresh": position == 5}
        if position in (3, 5):
            heard = [np.zeros_like(trace) for trace in heard]
        outputs = [y for (y,) in whole.step({0: x}, **begins).values()]
        for n, (single, keep) in enumerate(zip(singles, keeps, strict=True)):
            said_before = x if not n else outputs[0]
            heard[n] = keep * heard[n] + (np.float32(1) - keep) * said_before
            assert single.step({0: heard[n]}, **begins)[1].tobytes() == outputs[n].tobytes()
            said += np.count_nonzero(outputs[n])
    assert said


# ---- one answer


@pytest.mark.few(6)
@each
@pytest.mark.parametrize(("pes", "mapping"), [(1, "uniform"), (2, "uniform"), (5, "balanced"), (15, "uniform")])
def test_any_number_of_pes_says_what_the_reference_says(form, pes, mapping):
    feeds = feeds_of(8, 8, segment=3)
    said = bare(Chip(TRACED, form, pes, mapping).run(feeds))
    assert said == said_by_reference(TRACED, feeds)
    plain = with_traces(TRACED, (0.0, 0.0))
    assert bare(Chip(plain, form, pes, mapping).run(feeds))[2] != said[2]


@pytest.mark.few(3)
@each
@given(late=LATE, pes=st.sampled_from([1, 2, 4]), quiet=st.lists(st.booleans(), min_size=6, max_size=6))
@settings(deadline=None, max_examples=12)
def test_a_trace_fades_once_a_position_whatever_bubbles_pass_and_however_few_events(form, late, pes, quiet):
    network = with_traces(TRACED, (0.5, 0.9))
    feeds = [f._replace(keys=b"", values=b"") if none else f for f, none in zip(feeds_of(8, 6, segment=4), quiet, strict=True)]
    with_gaps = [item for gap, feed in zip(late, feeds, strict=True) for item in (*[None] * gap, feed)]
    assert bare(Chip(network, form, pes).run(with_gaps)) == said_by_reference(network, feeds)


@each
def test_a_lane_says_what_its_sequence_says_alone(form):
    network, lanes, units = with_traces(TRACED, (0.3, 0.9)), 3, 8
    feeds = feeds_of(units, 6, lanes=lanes, segment=4)
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


@pytest.mark.few(3)
@each
def test_a_new_sequence_forgets_the_trace_of_the_last_one_and_nothing_lies_outside_the_arena(form):
    chip = Chip(TRACED, form, 2)
    feeds = feeds_of(8, 5)
    first, second = chip.run(feeds), chip.run(feeds)
    assert bare(first) == bare(second)
    assert all(outside(pe) == [] for pe in chip.pes)
    traces = {name for pe in chip.pes for name in pe.arena.views if name.endswith(".trace")}
    assert traces == {"2.input.trace"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ((0, 5, 1.0), "port 'input': trace 1.0 needs a number from 0 to below 1"),
        ((0, 5, float("nan")), "port 'input': trace nan"),
        ((1, 5, 0.5), "port 'recurrent' hears a trace late; needs delay 0"),
        ((0, 5, "much"), "not in the form of Shard.to_parts"),
    ],
)
def test_a_trace_that_cannot_be_is_a_fault_that_names_the_pe(change, line):
    placement = place(TRACED, load_chip(), "uniform", "dense", 2)
    message = load_of(placement, placement.pes[1])
    port, place_of, value = change
    message.shards[0][3][port][place_of] = value
    pe = Pe("PE(1,1,1)@0", ROUTER)
    pe.boot()
    fault = only(pe.handle(ROUTER, message))
    assert type(fault) is Fault
    assert fault.text.startswith("PE(1,1,1)@0: ")
    assert line in fault.text


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    save(folder / "gesture.safetensors", seeded_gesture())
    save_features(folder / "features.safetensors", seeded_features(3, 9, 24))
    return folder


def run(files, **options):
    chosen = {"checkpoint": str(files / "gesture.safetensors"), "features": str(files / "features.safetensors")}
    chosen = Options(**chosen | {"pes": 4, "format": "dense", "transport": "mem"} | options)
    chosen.check()
    done = Launcher(chosen, lambda _: None, lambda _: None).run()
    assert done.code is Exit.OK, done.problem
    return done


GOLDEN = "e012d59deb67710cc5a0f5f5f2120b9cf80dbbabc5859c7e5a685a1ad1d4dc70"  # must hold on any machine
COUNTERS = ("events", "macs", "units", "exponentials", "macs_by_layer")


@pytest.fixture(scope="module")
def counters(files):
    """The model counters of one PE that holds everything."""
    report = run(files, batch=3, pes=1).report
    assert min(report["events"]["by_layer"]) > 0
    return [report["counters"][name] for name in COUNTERS]


@pytest.mark.few(1)
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "options",
    [
        {"pes": 1},
        {"pes": 3, "format": "csr", "faults": Faults({}, shuffle=3)},
        {"pes": 8, "format": "packed", "mapping": "balanced", "faults": Faults({}, late=((2, 3),))},
        {"pes": 32},
        {"pes": 4, "transport": "zmq"},
        {"pes": 2, "verify": True},
    ],
    ids=lambda o: "-".join(f"{v}" for v in o.values() if not isinstance(v, Faults)),
)
def test_one_answer_for_any_mapping_format_order_transport_and_delay(files, counters, options):
    done = run(files, batch=3, **options)
    assert done.report["events"]["sha256"] == GOLDEN
    assert [done.report["counters"][name] for name in COUNTERS] == counters
    if options.get("verify"):
        assert done.mismatch == {"compared": 3 * 9 * 32, "difference": None}


# ---- counts and prices

EVENTS_IN = [(0,), (), (1,)]  # of the three-unit network's two inputs


@each
def test_macs_are_those_of_the_nonzero_elements_of_a_trace_by_hand(form):
    """Input 0 has weights in 4 rows, input 1 in 4; a trace keeps what has been."""
    network = with_traces(three_units(), (0.5,))
    for pes in (1, 3):
        ledger = ran(placed(network, pes, form), Fixed(EVENTS_IN)).recorder.ledger()
        assert by_port(ledger, "macs", "input").sum(axis=1).tolist() == [4, 4, 8]
        visited = {"csr": [8, 8, 8], "packed": [4, 4, 8], "conv": [4, 4, 8], "dense": [9, 9, 18], "array": [9, 9, 18]}
        visited["vectors"] = visited["csr"]  # a trace is no byte: for the core
        assert by_port(ledger, "visited", "input").sum(axis=1).tolist() == visited[form]
        assert by_port(ledger, "trace", "input").tolist() == [1] * pes


def test_who_keeps_a_trace_is_saved(tmp_path):
    ledger = invented(placed(TRACED, 4, "dense"), 3)
    assert by_port(ledger, "trace", "input").tolist() == [0, 0, 1, 1]
    save_ledger(ledger, tmp_path)
    assert by_port(load_ledger(tmp_path), "trace", "input").tolist() == [0, 0, 1, 1]


def with_port_traces(ledger, inputs):
    """Return the ledger with these traces at its input ports."""
    trace = ledger.ports["trace"].copy()
    trace[ledger.ports["name"] == ledger.port_names.index("input")] = inputs
    return replace(ledger, ports={**ledger.ports, "trace": trace})


def priced(ledger, *sets):
    table, _, numbers = apply_settings(load_table(), sets)
    return price(ledger, load_chip("spinnaker2", None, numbers), table)


def traced_three(form, visited):
    """One position of three units on one PE that heard 2 events, and 2 more, of two inputs and of itself."""
    ledger = invented(placed(with_traces(three_units(), (0.5,)), 1, form), 1, 0.0)
    ledger.events[:] = 2
    ledger.port_counts[:] = list(zip((8, 0), visited, strict=True))
    ledger.input_events[:] = 1
    return ledger


@pytest.mark.few(5)
@pytest.mark.parametrize(
    ("form", "visited", "sets", "cycles"),
    [
        # 14 an element of a trace where vectors are sent: 13 and the branch's refill.
        ("csr", (8, 8), (), 12 * 8 + 16 * 9 + 2 * 14),
        ("dense", (18, 0), (), 8 * 18 + 12 * 9 + 2 * 14),
        ("dense", (18, 0), ("branch_refill_cycles=3",), 10 * 18 + 12 * 9 + 2 * 16),
        ("dense", (18, 0), ("chip.sram_wait_states=1",), 10 * 18 + 12 * 9 + 2 * (14 + 2)),
        # Where events are sent, 9 an element and 16 an event; one event, two elements that are not zero.
        ("dense", (18, 0), ("payload=events",), 8 * 18 + 12 * 9 + 2 * 9 + 16),
        ("dense", (18, 0), ("messages=multicast",), 8 * 18 + 12 * 9 + 2 * 9 + 16),
        ("dense", (18, 0), ("payload=events", "chip.sram_wait_states=1"), 10 * 18 + 12 * 9 + 2 * (9 + 1) + 16 + 3),
        ("dense", (18, 0), ("dense_loop=event", "payload=events"), 13 * 18 + 14 * 2 + 2 * 9 + 16),
        ("dense", (9, 0), ("dense_loop=event", "payload=events"), 13 * 9 + 14 + 10 + 2 * 9 + 16),  # one element is zero
        ("packed", (8, 0), (), 16 * 8 + 18 * 2 + 2 * 14),
        ("packed", (4, 0), (), 16 * 4 + 18 + 10 + 2 * 14),
    ],
)
def test_the_upkeep_of_a_trace_by_hand(form, visited, sets, cycles):
    assert priced(traced_three(form, visited), *sets).shard_cycles[0, 0, 0] == cycles


@pytest.mark.parametrize(
    ("form", "visited", "sets", "read", "written"),
    [
        ("csr", (8, 8), (), 4 * (3 * 8 + 9 + 1) + 8 * 2, 4 * 9 + 4 * 2),
        ("dense", (18, 0), (), 8 * 18 + 8 * 2, 4 * 9 + 4 * 2),
        ("dense", (18, 0), ("payload=events",), 8 * 18 + 4 * 2 + 12, 4 * 9 + 4 * 2 + 4),
        # The loop over a trace reads each element; a weight and its sum where it is not zero.
        ("dense", (18, 0), ("dense_loop=event",), 8 * 18 + 4 * 2 + 8 * 2, 4 * 18 + 4 * 9 + 4 * 2),
        # Indices of one byte, extents of two: three extents lie around two columns.
        ("packed", (8, 0), (), 9 * 8 + 4 * 2 + 2 * 3 + 8 * 2, 4 * 8 + 4 * 9 + 4 * 2),
    ],
)
def test_bytes_of_a_trace_word_by_word(form, visited, sets, read, written):
    work = priced(traced_three(form, visited), *sets).work
    assert (work["sram_read_bytes.egru_input"], work["sram_written_bytes.egru_input"]) == (read, written)


@pytest.mark.few(3)
@pytest.mark.parametrize(("form", "sets"), pairs(NAMES, [(), ("payload=events",), ("messages=multicast",), ("dense_loop=event",)]))
def test_only_the_shards_that_keep_a_trace_pay_for_it(form, sets):
    with_one = invented(placed(TRACED, 4, form), 5, 0.3)
    without = with_port_traces(with_one, 0)
    a, b = priced(with_one, *sets), priced(without, *sets)
    more = a.shard_cycles - b.shard_cycles
    assert (more[:, :2] == 0).all()
    assert (more[:, 2:, 0] > 0).all()
    assert (more[:, 2:, 1:] == 0).all()
    assert a.time_s > b.time_s


def test_a_trace_costs_a_band_and_a_run_without_one_nothing():
    ledger = invented(placed(TRACED, 4, "dense"), 5, 0.3)
    plain = with_port_traces(ledger, 0)
    low, high = (price(ledger, load_chip(), load_table().at(end, "low")).time_s for end in ("low", "high"))
    assert low < priced(ledger).time_s < high
    free = [f"trace_{name}=0" for name in ("element_cycles", "decay_cycles", "event_cycles")]
    assert priced(plain, *free).time_s == priced(plain).time_s
    assert "trace_element_cycles" not in priced(plain).assumed


def test_a_shard_keeps_one_trace_or_none(tmp_path):
    ledger = with_port_traces(invented(placed(TRACED, 2, "dense"), 2), [0, 2])
    save_ledger(ledger, tmp_path)
    with pytest.raises(ValueError, match=r"ports\.trace needs 0 to 1, has 2"):
        load_ledger(tmp_path)


def test_activity_is_set_behind_a_trace_too():
    """The experiment over activity drives a layer with the trace that it will hear."""
    network = with_traces(tiny_network(), (0.0, 0.5, 0.5))
    inputs = seeded_embedding(14, network.populations[0].units)
    driven = at_activity(network, 0.4, inputs)
    assert [layer.projections[0].trace for layer in driven.populations[1:]] == [0.0, 0.5, 0.5]
    reference = Reference(driven)
    shares = np.mean([[np.count_nonzero(y) / len(y) for (y,) in reference.step({0: x}).values()] for x in inputs][3:], axis=0)
    assert np.abs(shares - 0.4).max() < 0.15
