"""The ledger: exact counts by shard and position, the same whatever carried them, small, and refused when damaged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from host.cost.cost_table import load_table
from host.cost.ledger import Ledger, PopulationFacts
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import FILE, checksum, save_ledger
from host.cost.link_traffic import machine_for
from host.cost.price import price_positions as price
from host.errors import HostError
from host.mapping.placement import place
from noc.chip import load_chip
from tests.tools.ledgers import Fixed, by_port, changed, cut, invented, placed, ran, recorder_weights, three_units
from tests.tools.tiny import tiny_network

EVENTS_IN = [(0,), (0, 1), ()]  # of the three-unit network's two inputs, at three positions

# By hand from the rows W and R in tests/tools/ledgers.py. Input 0 has weights in 4 rows, input 1 in 4; unit 0 in 2 rows, unit 2 in
# 3; units 0 and 2 have an event at each position, and what they emit at one position is heard at the next.
BY_HAND = {
    "events": [2, 2, 2],
    "macs_input": [4, 8, 0],
    "macs_recurrent": [0, 2 + 3, 2 + 3],
}
# Input, recurrent: csr looks at all 8 stored weights of each matrix, packed at those of events, dense at 9 rows an event.
VISITED = {
    "csr": ([8, 8, 8], [8, 8, 8]),
    "packed": ([4, 8, 0], [0, 5, 5]),
    "dense": ([9, 18, 0], [0, 18, 18]),
}


def hand_run(form="csr", pes=1, **options):
    return ran(placed(three_units(), pes, form), Fixed(EVENTS_IN), **options).recorder.ledger()


@pytest.mark.parametrize("form", VISITED)
@pytest.mark.parametrize("pes", [1, 2, 3])
def test_three_units_by_hand(form, pes):
    ledger = hand_run(form, pes)
    assert (ledger.positions, len(ledger.pes)) == (3, pes)
    for name, expected in BY_HAND.items():
        assert count_of(ledger, name).sum(axis=1).tolist() == expected
    for port, expected in zip(("input", "recurrent"), VISITED[form], strict=True):
        assert by_port(ledger, "visited", port).sum(axis=1).tolist() == expected
    assert ledger.input_events.tolist() == [[1], [2], [0]]
    assert ledger.stepped.tolist() == [[1]] * 3
    assert ledger.shards["units"].sum() == ledger.per_lane["units"].sum() == 3
    assert ledger.per_lane["exponentials"].sum() == 9
    for port, width, delay in (("input", 2, 0), ("recurrent", 3, 1)):
        assert (by_port(ledger, "rows", port).sum(), by_port(ledger, "weights", port).sum()) == (9, 8)
        assert set(by_port(ledger, "width", port)) == {width}
        assert set(by_port(ledger, "delay", port)) == {delay}
        assert set(by_port(ledger, "source", port)) == {delay}  # the input, or the layer itself
    assert set(ledger.ports["weight_bytes"]) == {4}
    assert not ledger.ports["trace"].any()
    assert not ledger.ports["adds"].any()


def test_one_shard_of_three_units_by_hand():
    """Unit 0 has most weights, so it comes first: rows z0, r0, g0 with 1 + 1 + 2 input and 1 + 0 + 1 recurrent weights."""
    ledger = hand_run("csr", 3)
    assert ledger.port_counts[0, :2].tolist() == [[1 + 0 + 1, 4], [0, 2]]  # input 0 is in z0 and g0
    assert ledger.port_counts[1, :2].tolist() == [[1 + 1 + 2, 4], [1, 2]]  # unit 2 is in g0
    assert ledger.events[:2, 0].tolist() == [1, 1]
    assert ledger.ports["weights"][:2].tolist() == [4, 2]
    assert (ledger.ports["rows"][0], ledger.shards["units"][0]) == (3, 1)


TINY_EVENTS = [tuple(range(0, 20, 1 + position % 3)) for position in range(9)]


def tiny_run(form="csr", pes=5, mapping="uniform", lanes=1, **options):
    return ran(placed(tiny_network(), pes, form, lanes, mapping), Fixed(TINY_EVENTS), **options).recorder.ledger()


def count_of(ledger: Ledger, name: str):
    """Return events, or "macs_PORT" or "visited_PORT", (positions, shards)."""
    what, _, port = name.partition("_")
    return by_port(ledger, what, port) if port else ledger.shard_events


def by_layer(ledger: Ledger, name: str) -> list[list[int]]:
    """Sum a count over each layer's shards: what no sharding may change."""
    return [count_of(ledger, name)[:, ledger.shards["population"] == n].sum(axis=1).tolist() for n in (1, 2, 3)]


@pytest.fixture(scope="module")
def one_pe():
    return tiny_run(pes=1)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("form", "pes", "mapping", "options"),
    [
        ("csr", 3, "uniform", {}),
        ("csr", 68, "uniform", {"shuffle": 3}),
        ("packed", 7, "balanced", {}),
        ("dense", 2, "uniform", {}),
        ("csr", 5, "uniform", {"late": lambda tick: tick in (2, 3, 7)}),  # the wavefront stumbles
    ],
)
def test_model_counters_do_not_depend_on_how_the_network_is_spread(one_pe, form, pes, mapping, options):
    ledger = tiny_run(form, pes, mapping, **options)
    for name in ("events", "macs_input", "macs_recurrent"):
        assert by_layer(ledger, name) == by_layer(one_pe, name)
    assert ledger.input_events.tolist() == one_pe.input_events.tolist() == [[len(events)] for events in TINY_EVENTS]
    assert ledger.per_lane["exponentials"].sum() == 3 * ledger.shards["units"].sum() == 3 * 68


@pytest.mark.parametrize("pes", [1, 5])
def test_work_counters_are_the_networks_nonzeros(pes):
    """`csr` visits every stored weight at every position: the row lengths of the matrices, added up one by one."""
    placement = placed(tiny_network(), pes)
    ledger = tiny_run(pes=pes)
    stored = [counts for n in placement.network.layers for counts in recorder_weights(placement)[n]]
    for port, which in (("input", 0), ("recurrent", 1)):
        expected = [counts[which] for counts in stored]
        assert by_port(ledger, "weights", port).tolist() == expected
        assert (by_port(ledger, "visited", port) == np.array(expected)).all()
    assert ledger.port_counts[:, :, 1].sum() == 9 * placement.network.nonzeros


def test_what_the_wavefront_recorded_can_be_priced_as_the_sequential_schedule():
    """Late input shifts ticks, not positions: the ledgers are the same to the last integer, so every price is."""
    straight, late = tiny_run(), tiny_run(late=lambda tick: tick % 3 == 1)
    assert np.array_equal(straight.events, late.events)
    assert np.array_equal(straight.port_counts, late.port_counts)
    table = load_table()
    assert price(straight, load_chip(), table).time_s == price(late, load_chip(), table).time_s


def test_a_run_that_ends_early_keeps_the_positions_that_every_layer_finished():
    placement = placed(tiny_network(), 5)
    recorder = ran(placement, Fixed(TINY_EVENTS)).recorder
    recorder._parts[3] = recorder._parts[3][:4]
    assert recorder.ledger().positions == 4


def test_a_ledger_comes_back_as_it_was(tmp_path):
    ledger = replace(tiny_run(), chip={"preset": "spinnaker2", "facts": {"hop_cycles": 4.0}})
    save_ledger(ledger, tmp_path)
    again = load_ledger(tmp_path)
    for name in ("events", "input_events", "port_counts", "stepped"):
        assert np.array_equal(getattr(again, name), getattr(ledger, name))
        assert getattr(again, name).dtype == np.uint32
    for table in ("shards", "ports", "per_lane", "by_turn"):
        assert getattr(again, table).keys() == getattr(ledger, table).keys()
        assert all(np.array_equal(getattr(again, table)[name], column) for name, column in getattr(ledger, table).items())
    for name in ("populations", "outputs", "interval", "port_names", "pes", "lanes", "format", "chip"):
        assert getattr(again, name) == getattr(ledger, name)


def test_a_ledger_knows_its_machine(tmp_path):
    file = tmp_path / "chip.toml"
    file.write_text("down_chips = [2, 9]\ndown_links = [[0, 1], [30, 2]]")  # the machine has neither a chip 9 nor a chip 30
    placement = place(tiny_network(), load_chip("spinnaker2", file), "uniform", "csr", 60, 1, 4)
    ledger = invented(placement, 2)
    assert (ledger.chips, ledger.down_chips, ledger.down_links) == (4, (2,), ((0, 1),))
    save_ledger(ledger, tmp_path)
    again = load_ledger(tmp_path)
    assert (again.chips, again.down_chips, again.down_links, again.pes) == (4, (2,), ((0, 1),), ledger.pes)
    assert {pe.chip for pe in again.pes} == {0, 1, 3}
    assert np.array_equal(machine_for(again, load_chip()).neighbours, placement.machine.neighbours)
    assert again.representative_of.tolist() == [0, 1, -1, 3]
    assert again.multiplicity.tolist() == [1] * 60


# -- earlier schemas: five counts a shard and a column a port


def save_as_schema(ledger: Ledger, folder, schema: int, machine: bool = True) -> None:
    """Write a chain's ledger in the form of schema 2 or 3; the first files of schema 2 named no `machine`."""
    counts = [ledger.events, *(by_port(ledger, what, port) for what in ("macs", "visited") for port in ("input", "recurrent"))]
    tensors = {"counts": np.ascontiguousarray(np.stack(counts, axis=2)), "input_events": ledger.input_events[:, 0].copy()}
    columns = {
        "pe": ledger.shards["pe"], "layer": ledger.shards["population"], "units": ledger.shards["units"],
        **{f"{name}_{port}": by_port(ledger, name, port) for name in ("rows", "weights", "width") for port in ledger.port_names},
        "exponentials": ledger.per_lane["exponentials"] * ledger.lanes,
    }  # fmt: skip
    if schema == 3:
        columns["trace_input"] = by_port(ledger, "trace", "input")
    tensors |= {f"table.{name}": np.ascontiguousarray(column) for name, column in columns.items()}
    about = {
        "schema": schema, "pes": [str(pe) for pe in ledger.pes], "layers": list(ledger.layer_names),
        "input_units": ledger.populations[0].units, "lanes": ledger.lanes, "format": ledger.format, "chip": dict(ledger.chip),
        "crc32": checksum(tensors),
    }  # fmt: skip
    if machine:
        about["machine"] = {"chips": ledger.chips, "down_chips": [], "down_links": []}
    save_file(tensors, folder / FILE, {"gennaker-ledger": json.dumps(about)})


@pytest.mark.few(2)
@pytest.mark.parametrize("schema", [2, 3])
@pytest.mark.parametrize("form", ["csr", "packed", "dense"])
def test_older_ledgers_price_to_the_same_figures(tmp_path, schema, form):
    ledger = invented(place(tiny_network(), load_chip(), "uniform", form, 40, 3, 2), 4)
    save_as_schema(ledger, tmp_path, schema)
    again = load_ledger(tmp_path)
    for name in ("shards", "ports", "per_lane"):
        assert all(np.array_equal(getattr(again, name)[key], column) for key, column in getattr(ledger, name).items())
    assert [one._replace(name="") for one in again.populations] == [one._replace(name="") for one in ledger.populations]
    old, new = (price(one, load_chip(), load_table()) for one in (again, ledger))
    assert (old.time_s, old.energy_j, old.stages_s, old.work) == (new.time_s, new.energy_j, new.stages_s, new.work)


def test_an_older_ledger_is_of_one_chip(tmp_path):
    save_as_schema(hand_run(pes=3), tmp_path, 2, machine=False)
    again = load_ledger(tmp_path)
    assert (again.chips, again.down_chips, again.down_links, again.representatives) == (1, (), (), None)


def test_counts_of_an_older_ledger_that_contradict_each_other(tmp_path):
    ledger = hand_run(pes=3)
    save_as_schema(replace(ledger, events=ledger.events + np.uint32(1)), tmp_path, 3)
    assert "events of PE(1,1,0)@0 at position 0 is 2, its shard allows 1" in refused(tmp_path)


# -- bytes


def test_twenty_thousand_tokens_stay_under_200_mb(tmp_path):
    """Bytes a position at the paper's 150 PEs, from what two files of different lengths weigh."""
    ledger = invented(placed(three_units(), 3), 4)
    sizes = []
    for positions in (2, 4):
        save_ledger(cut(ledger, list(range(positions))), tmp_path)
        sizes.append((tmp_path / FILE).stat().st_size)
    # Two positions of three shards; beside them the input's events, and how many lanes the layer stepped.
    a_shard = (sizes[1] - sizes[0] - 2 * (4 + 4)) / 2 / 3
    assert a_shard == 4 * (1 + 2 * 2)
    assert 20_000 * (150 * a_shard + 4 + 3 * 4) + 20_000 < 61e6


# -- what is wrong with a ledger is said in one line --


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    save_ledger(hand_run(pes=3), folder)
    return (folder / FILE).read_bytes()


def refused(folder) -> str:
    with pytest.raises(HostError) as caught:
        load_ledger(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    assert str(folder) in text
    return text


def test_a_missing_ledger(tmp_path):
    assert "has no ledger.safetensors; needs a finished run" in refused(tmp_path)


def edited(saved, folder, change=lambda tensors: None, about=lambda about: None, checked=False):
    """Write a changed ledger; with `checked`, one whose checksum is right."""
    (folder / FILE).write_bytes(saved)
    tensors = load_file(folder / FILE)
    head = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    metadata = json.loads(head["__metadata__"]["gennaker-ledger"])
    change(tensors)
    if checked:
        metadata["crc32"] = checksum(tensors)
    about(metadata)
    save_file(tensors, folder / FILE, {"gennaker-ledger": json.dumps(metadata)})


INPUT = PopulationFacts("input", 2)._asdict()
LAYER = PopulationFacts("units", 3, kernel="egru", start=1, words=7)._asdict()


@pytest.mark.few(12)
@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"schema": 1}, "ledger of schema 1; needs 2, 3, 4 or 5"),
        ({"schema": 99}, "ledger of schema 99; needs 2, 3, 4 or 5"),
        ({"pes": ["PE(4,3,0)@0", "PE(1,1,1)@0", "PE(1,1,2)@0"]}, "traffic for PE(4,3,0)@0: not on the floor plan"),
        ({"pes": ["PE(9,9,9)@0", "PE(1,1,1)@0", "PE(1,1,2)@0"]}, "traffic for PE(9,9,9)@0: not on the floor plan"),
        ({"pes": ["PE(1,1,1)@0"] * 3}, "has a PE twice"),
        ({"pes": ["PE(1,1,1)@0"]}, "other pe numbers than 0 to 0"),
        ({"pes": ["somewhere"] * 3}, "damaged"),
        ({"populations": [INPUT, LAYER, {**LAYER, "name": "more"}]}, "other population numbers than 1 to 2"),
        ({"populations": [INPUT, {**LAYER, "name": "input"}]}, "has a population twice: input"),
        ({"populations": [INPUT]}, "has 1 inputs and 0 layers"),
        ({"populations": [{**INPUT, "start": 1}, LAYER]}, "input starts at 1; inputs start at 0"),
        ({"populations": [INPUT, {**LAYER, "payload": "colours"}]}, "damaged"),
        ({"outputs": [0]}, "has outputs [0]; needs some of its layers"),
        ({"interval": 0}, "a position each 0 ticks"),
        ({"lanes": 0}, "has 0 lanes"),
        ({"lanes": "many"}, "damaged"),
        ({"populations": [{**INPUT, "units": -1}, LAYER]}, "input has -1 units"),
        ({"chip": None}, "damaged"),
        ({"machine": {"chips": 0, "down_chips": [], "down_links": []}}, "has 0 chips; needs 1 to 34560"),
        ({"machine": {"chips": 2, "down_chips": [0], "down_links": []}}, "PE(1,1,0)@0: not on the 2 chips of its machine"),
        ({"machine": {"chips": 2}}, "damaged"),
        ({"pes": ["PE(1,1,0)@0", "PE(1,1,1)@0", "PE(1,1,2)@1"]}, "PE(1,1,2)@1: not on the 1 chips of its machine"),
        ({"crc32": 5}, "its checksum is another"),
    ],
)
def test_a_head_that_cannot_be(saved, tmp_path, about, line):
    edited(saved, tmp_path, about=lambda metadata: metadata.update(about))
    assert line in refused(tmp_path)


def spoil(name, index, value):
    return lambda tensors: tensors[name].__setitem__(index, value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (spoil("counts", (1, 2), 2), "events of PE(1,1,0)@0 at position 1 is 2, its shard allows 1"),
        (spoil("counts", (0, 5 + 4), 10**6), "macs_input of PE(1,1,1)@0 at position 0 is 1000000"),
        (spoil("counts", (0, 5 + 11), 99), "visited_recurrent of PE(1,1,2)@0"),
        (spoil("counts", (0, 0), 3), "more input events than input units"),
        (spoil("counts", (0, 1), 2), "more lanes stepped than its 1 lanes"),
        (spoil("shards.units", 0, -1), "sizes outside of 0 to"),
        (spoil("shards.pe", 0, 2), "other pe numbers than 0 to 2"),
        (spoil("shards.population", 0, 2), "shards of other populations than its layers, which are 1"),
        (spoil("ports.shard", 0, 3), "ports.shard needs 0 to 2, has 3"),
        (spoil("ports.shard", 0, 1), "ports are not in the order of their shards"),
        (spoil("ports.source", 0, 7), "ports.source needs 0 to 1, has 7"),
        (spoil("ports.trace", 0, 2), "ports.trace needs 0 to 1, has 2"),
        (lambda tensors: tensors.update(counts=tensors["counts"][:, :2].copy()), "counts needs (3, 17) of uint32, has (3, 2)"),
        (lambda tensors: tensors.update(counts=tensors["counts"][:0].copy()), "has 0 positions of 3 shards"),
        (lambda tensors: tensors.update(counts=np.array(5)), "damaged"),
        (lambda tensors: tensors.update(counts=tensors["counts"].astype(np.int32)), "of uint32, has (3, 17) of I32"),
    ],
)
def test_counts_that_contradict_each_other(saved, tmp_path, change, line):
    edited(saved, tmp_path, change, checked=True)
    assert line in refused(tmp_path)


def test_a_missing_part(saved, tmp_path):
    (tmp_path / FILE).write_bytes(saved)
    tensors = load_file(tmp_path / FILE)
    head = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    tensors.pop("shards.units")
    save_file(tensors, tmp_path / FILE, head["__metadata__"])
    assert "damaged" in refused(tmp_path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_change_nothing(saved, tmp_path_factory, data):
    """Any cut or flipped byte is noticed, but for those of the file's own head that mean nothing."""
    folder = tmp_path_factory.mktemp("fuzz")
    raw = bytearray(saved)
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / FILE).write_bytes(bytes(raw))
    try:
        again = load_ledger(folder)
    except HostError as error:
        assert "\n" not in str(error)
    else:
        (folder / FILE).write_bytes(saved)
        assert np.array_equal(again.events, load_ledger(folder).events)
        assert np.array_equal(again.port_counts, load_ledger(folder).port_counts)


def test_a_population_twice_on_a_pe_is_refused(tmp_path):
    ledger = changed(hand_run(pes=3), pe=np.array([0, 0, 1]))
    save_ledger(replace(ledger, pes=ledger.pes[:2]), tmp_path)
    assert "a population twice on one PE" in refused(tmp_path)
