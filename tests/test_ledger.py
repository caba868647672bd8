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
from host.cost.ledger import COUNTS, FILE, Ledger, load_ledger
from host.cost.link_traffic import machine_for
from host.cost.price import price
from host.errors import HostError
from host.mapping.placement import place
from noc.chip import load_chip
from tests.tools.ledgers import Fixed, changed, cut, invented, placed, ran, recorder_weights, three_units
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
        assert ledger.of(name).sum(axis=1).tolist() == expected
    for port, expected in zip(("input", "recurrent"), VISITED[form], strict=True):
        assert ledger.of(f"visited_{port}").sum(axis=1).tolist() == expected
    assert ledger.input_events.tolist() == [1, 2, 0]
    table = ledger.table
    assert (table["units"].sum(), table["rows_input"].sum(), table["rows_recurrent"].sum()) == (3, 9, 9)
    assert (table["weights_input"].sum(), table["weights_recurrent"].sum(), table["exponentials"].sum()) == (8, 8, 9)
    assert set(table["width_input"]) == {2}
    assert set(table["width_recurrent"]) == {3}


def test_one_shard_of_three_units_by_hand():
    """Unit 0 has most weights, so it comes first: rows z0, r0, g0 with 1 + 1 + 2 input and 1 + 0 + 1 recurrent weights."""
    ledger = hand_run("csr", 3)
    assert ledger.counts[0, 0].tolist() == [1, 1 + 0 + 1, 0, 4, 2]  # input 0 is in z0 and g0
    assert ledger.counts[1, 0].tolist() == [1, 1 + 1 + 2, 1, 4, 2]  # unit 2 is in g0
    assert [ledger.table[name][0] for name in ("weights_input", "weights_recurrent", "rows_input", "units")] == [4, 2, 3, 1]


TINY_EVENTS = [tuple(range(0, 20, 1 + position % 3)) for position in range(9)]


def tiny_run(form="csr", pes=5, mapping="uniform", lanes=1, **options):
    return ran(placed(tiny_network(), pes, form, lanes, mapping), Fixed(TINY_EVENTS), **options).recorder.ledger()


def by_layer(ledger: Ledger, name: str) -> list[list[int]]:
    """Sum a count over each layer's shards: what no sharding may change."""
    return [ledger.of(name)[:, ledger.table["layer"] == n].sum(axis=1).tolist() for n in (1, 2, 3)]


@pytest.fixture(scope="module")
def one_pe():
    return tiny_run(pes=1)


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
    assert ledger.input_events.tolist() == one_pe.input_events.tolist() == [len(events) for events in TINY_EVENTS]
    assert ledger.table["exponentials"].sum() == 3 * ledger.table["units"].sum() == 3 * 68


@pytest.mark.parametrize("pes", [1, 5])
def test_work_counters_are_the_networks_nonzeros(pes):
    """`csr` visits every stored weight at every position: the row lengths of the matrices, added up one by one."""
    placement = placed(tiny_network(), pes)
    ledger = tiny_run(pes=pes)
    stored = [counts for n in placement.network.layers for counts in recorder_weights(placement)[n]]
    for port, which in (("input", 0), ("recurrent", 1)):
        expected = [counts[which] for counts in stored]
        assert ledger.table[f"weights_{port}"].tolist() == expected
        assert (ledger.of(f"visited_{port}") == np.array(expected)).all()
    assert ledger.counts[:, :, 3:].sum() == 9 * placement.network.nonzeros


def test_what_the_wavefront_recorded_can_be_priced_as_the_sequential_schedule():
    """Late input shifts ticks, not positions: the ledgers are the same to the last integer, so every price is."""
    straight, late = tiny_run(), tiny_run(late=lambda tick: tick % 3 == 1)
    assert np.array_equal(straight.counts, late.counts)
    table = load_table()
    assert price(straight, load_chip(), table).time_s == price(late, load_chip(), table).time_s


def test_a_run_that_ends_early_keeps_the_positions_that_every_layer_finished():
    placement = placed(tiny_network(), 5)
    recorder = ran(placement, Fixed(TINY_EVENTS)).recorder
    recorder._parts[3] = recorder._parts[3][:4]
    assert recorder.ledger().positions == 4


def test_a_ledger_comes_back_as_it_was(tmp_path):
    ledger = replace(tiny_run(), chip={"preset": "spinnaker2", "facts": {"hop_cycles": 4.0}})
    ledger.save(tmp_path)
    again = load_ledger(tmp_path)
    assert np.array_equal(again.counts, ledger.counts)
    assert again.counts.dtype == np.uint32
    assert np.array_equal(again.input_events, ledger.input_events)
    assert all(np.array_equal(again.table[name], column) for name, column in ledger.table.items())
    for name in ("pes", "layers", "input_units", "lanes", "format", "chip"):
        assert getattr(again, name) == getattr(ledger, name)


def test_a_ledger_knows_its_machine(tmp_path):
    file = tmp_path / "chip.toml"
    file.write_text("down_chips = [2, 9]\ndown_links = [[0, 1], [30, 2]]")  # the machine has neither a chip 9 nor a chip 30
    placement = place(tiny_network(), load_chip("spinnaker2", file), "uniform", "csr", 60, 1, 4)
    ledger = invented(placement, 2)
    assert (ledger.chips, ledger.down_chips, ledger.down_links) == (4, (2,), ((0, 1),))
    ledger.save(tmp_path)
    again = load_ledger(tmp_path)
    assert (again.chips, again.down_chips, again.down_links, again.pes) == (4, (2,), ((0, 1),), ledger.pes)
    assert {pe.chip for pe in again.pes} == {0, 1, 3}
    assert np.array_equal(machine_for(again, load_chip()).neighbours, placement.machine.neighbours)
    assert again.representative_of.tolist() == [0, 1, -1, 3]
    assert again.multiplicity.tolist() == [1] * 60


def test_an_older_ledger_is_of_one_chip(saved, tmp_path):
    edited(saved, tmp_path, about=lambda metadata: metadata.pop("machine"))
    again = load_ledger(tmp_path)
    assert (again.chips, again.down_chips, again.down_links, again.representatives) == (1, (), (), None)


def test_twenty_thousand_tokens_stay_under_200_mb(tmp_path):
    """Bytes a position at the paper's 150 PEs, from what two files of different lengths weigh."""
    ledger = invented(placed(three_units(), 3), 4)
    sizes = []
    for positions in (2, 4):
        cut(ledger, list(range(positions))).save(tmp_path)
        sizes.append((tmp_path / FILE).stat().st_size)
    a_shard = (sizes[1] - sizes[0] - 2 * 4) / 2 / 3  # two positions, four bytes of input events each, three shards
    assert a_shard == 4 * len(COUNTS)
    assert 20_000 * (150 * a_shard + 4) + 20_000 < 61e6


# -- what is wrong with a ledger is said in one line --


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    hand_run(pes=3).save(folder)
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
        from host.cost.ledger import _crc

        metadata["crc32"] = _crc(tensors)
    about(metadata)
    save_file(tensors, folder / FILE, {"gennaker-ledger": json.dumps(metadata)})


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"schema": 1}, "ledger of schema 1; needs 2 or 3"),
        ({"schema": 99}, "ledger of schema 99; needs 2 or 3"),
        ({"pes": ["PE(4,3,0)@0", "PE(1,1,1)@0", "PE(1,1,2)@0"]}, "traffic for PE(4,3,0)@0: not on the floor plan"),
        ({"pes": ["PE(9,9,9)@0", "PE(1,1,1)@0", "PE(1,1,2)@0"]}, "traffic for PE(9,9,9)@0: not on the floor plan"),
        ({"pes": ["PE(1,1,1)@0"] * 3}, "has a PE twice"),
        ({"pes": ["PE(1,1,1)@0"]}, "other pe numbers than 0 to 0"),
        ({"pes": ["somewhere"] * 3}, "damaged"),
        ({"layers": ["a", "b"]}, "other layer numbers than 1 to 2"),
        ({"lanes": 0}, "has 0 lanes"),
        ({"lanes": "many"}, "damaged"),
        ({"input_units": -1}, "-1 input units"),
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
        (spoil("counts", (1, 0, 0), 2), "events of PE(1,1,0)@0 at position 1 is 2, its shard allows 1"),
        (spoil("counts", (0, 1, 1), 10**6), "macs_input of PE(1,1,1)@0 at position 0 is 1000000"),
        (spoil("counts", (0, 2, 4), 99), "visited_recurrent of PE(1,1,2)@0"),
        (spoil("input_events", 0, 3), "more input events than input units"),
        (spoil("table.units", 0, -1), "sizes outside of 0 to"),
        (spoil("table.pe", 0, 2), "other pe numbers than 0 to 2"),
        (spoil("table.layer", 0, 2), "other layer numbers than 1 to 1"),
        (lambda tensors: tensors.update(counts=tensors["counts"][:, :2].copy()), "counts needs (3, 3, 5) of uint32"),
        (lambda tensors: tensors.update(counts=tensors["counts"][:0].copy()), "input_events needs (0,)"),
        (lambda tensors: tensors.update(counts=np.array(5)), "damaged"),
        (lambda tensors: tensors.update(input_events=tensors["input_events"].astype(np.int32)), "of uint32, has (3,) of int32"),
    ],
)
def test_counts_that_contradict_each_other(saved, tmp_path, change, line):
    edited(saved, tmp_path, change, checked=True)
    assert line in refused(tmp_path)


def test_a_missing_part(saved, tmp_path):
    (tmp_path / FILE).write_bytes(saved)
    tensors = load_file(tmp_path / FILE)
    head = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    tensors.pop("table.units")
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
        assert np.array_equal(again.counts, load_ledger(folder).counts)


def test_a_layer_twice_on_a_pe_is_refused(tmp_path):
    ledger = changed(hand_run(pes=3), pe=np.array([0, 0, 1]))
    replace(ledger, pes=ledger.pes[:2]).save(tmp_path)
    assert "a layer twice on one PE" in refused(tmp_path)
