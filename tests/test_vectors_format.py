"""Vector-sparse weights on the MAC array: what is stored, how units are dealt for it, and what its products take."""

from __future__ import annotations

import numpy as np
import pytest

from host.cost.cost_table import load_table
from host.cost.formats import PortCounts, vectors
from host.cost.mac_array import matmul_cycles
from host.mapping.placement import place
from host.mapping.sharding import cut, share_sizes, stored_weights
from models import formats
from models.compute.mac_array import mac_matmul
from models.network import ModelError, Network, SparseRows
from models.quantise.egru import quantise_egru
from models.seeded import seeded_egru
from models.shard import PortShape
from noc.chip import load_chip

UNITS = 40  # two whole sixteens, and eight


def pruned(kept: int = 3, seed: int = 0) -> Network:
    """A network of two layers in int8 whose groups of sixteen rows hear so many units each."""
    rng = np.random.default_rng(seed)
    network = seeded_egru(UNITS, (UNITS, UNITS), density=1.0, seed=seed)
    places = np.arange(UNITS)[None, :] * 3 + np.arange(3)[:, None]  # of each row, gate after gate, unit after unit
    populations = list(network.populations)
    for n in network.layers:
        projections = []
        for projection in populations[n].projections:
            mask = np.zeros((-(-3 * UNITS // 16), UNITS), bool)
            for group in mask:
                group[rng.choice(UNITS, kept, replace=False)] = True
            matrix = projection.weights.to_dense() * mask[places.reshape(-1) // 16]
            projections.append(projection.__class__(**{**vars(projection), "weights": SparseRows.from_dense(matrix)}))
        populations[n] = populations[n].__class__(**{**vars(populations[n]), "projections": tuple(projections)})
    whole = Network(tuple(populations))
    return quantise_egru(whole, input_scales={0: 1 / 64}, event_scales=dict.fromkeys(whole.layers, 1 / 128))[0]


NETWORK = pruned()
CHIP = load_chip()


def bound(weights, events, gates=3, first=0):
    """The port of a matrix (rows, source units) from unit `first` on, and its arrays, once events (lanes, source units) came."""
    form, sparse, lanes = formats.named("vectors"), SparseRows.from_dense(weights), len(events)
    shape = PortShape(
        rows=len(weights), gates=gates, source_units=weights.shape[1], nonzeros=sparse.nonzeros, lanes=lanes, weight="int8",
        payload="int8",
    )  # fmt: skip
    shape = formats.laid_out("vectors", sparse, np.arange(len(weights)), first + np.arange(len(weights) // gates), shape)
    mem = {field.name: np.zeros(field.shape, field.dtype) for field in form.fields(shape)}
    for name, array in form.encode(sparse, shape).items():
        mem[name][...] = array
    mem |= {"sums": np.zeros((lanes, len(weights)), np.int32), "counts": np.zeros((lanes, 2), np.uint32)}
    port = form.port(mem, shape)
    port.clear()
    port.receive(np.arange(events.size, dtype=np.uint32), events.reshape(-1).copy(), events.size)
    for lane in range(lanes):
        port.product(lane=lane)
    return shape, mem


@pytest.mark.parametrize("first", [0, 1, 5, 21])
def test_the_sums_are_those_of_the_arrays_own_kernel(first):
    rng = np.random.default_rng(3)
    weights = (rng.integers(-127, 128, (42, 30)) * (rng.random((42, 30)) < 0.1)).astype(np.int8)
    events = rng.integers(-127, 128, (5, 30)).astype(np.int8)
    shape, mem = bound(weights, events, first=first)
    assert shape.offset == 3 * first % 16
    expected = np.zeros((5, 42), np.int32)
    mac_matmul(events, np.ascontiguousarray(weights.T), 0, 0, False, expected)
    assert np.array_equal(mem["sums"], expected)
    assert mem["gathered"].shape[0] == 4, "the array takes four lanes at a time"


def test_a_vector_takes_sixteen_bytes_and_two_that_say_what_it_hears():
    """18 B for each group of sixteen rows, five or six units, and input; one less up to 256 source units."""
    form = formats.named("vectors")

    def weight_bytes(source_units, blocks):
        shape = PortShape(
            rows=96, gates=3, source_units=source_units, nonzeros=1, lanes=1, weight="int8", payload="int8", blocks=blocks
        )
        return sum(field.size_bytes for field in form.fields(shape) if field.role == "weights")

    assert weight_bytes(1350, 402) == 402 * 18 + 4 * 7
    assert weight_bytes(256, 402) == 402 * 17 + 4 * 7


@pytest.mark.parametrize("mapping", ["uniform", "balanced", "clustered"])
def test_units_are_dealt_in_runs_so_that_a_vector_is_cut_at_their_ends_alone(mapping):
    trained = 16 * 3 * 8  # weights of three vectors in each of eight groups
    for pes in (2, 6, 9):
        placement = place(NETWORK, CHIP, mapping, "vectors", pes)
        for layer in NETWORK.layers:
            shares = [units for placed in placement.pes for population, units in placed.share if population == layer]
            assert all(np.array_equal(units, np.arange(units[0], units[-1] + 1)) for units in shares)
            for of_port in stored_weights(NETWORK, placement.request, layer, shares):
                assert trained <= of_port.sum() <= trained + 16 * 3 * (len(shares) - 1), "one group more for each end between PEs"


@pytest.mark.parametrize("mapping", ["uniform", "balanced", "clustered"])
def test_what_a_share_is_judged_by_is_what_it_is_loaded_with(mapping):
    placement = place(NETWORK, CHIP, mapping, "vectors", 5)
    for placed in placement.pes:
        sizes = share_sizes(NETWORK, placement.request, placed.share)
        for size, shard in zip(sizes, cut(NETWORK, placement.request, placed.share), strict=True):
            for port, loaded in zip(size.ports, shard.ports, strict=True):
                assert port.shape == loaded.shape
                fields = {field.name: field for field in formats.named("vectors").fields(port.shape) if field.role == "weights"}
                assert {name: array.nbytes for name, array in loaded.arrays.items()} == {
                    name: field.size_bytes for name, field in fields.items()
                }


def test_a_source_unit_beyond_the_source_is_refused():
    form = formats.named("vectors")
    shape, mem = bound(np.eye(24, 20, dtype=np.int8), np.ones((1, 20), np.int8))
    arrays = {name: mem[name].copy() for name in ("values", "inputs", "extents")}
    form.check(arrays, shape)
    arrays["inputs"][0] = 20
    with pytest.raises(ModelError, match="an index of 20; needs one below 20"):
        form.check(arrays, shape)
    arrays["extents"] = arrays["extents"][:-1]
    with pytest.raises(ModelError, match="2 extents; needs 3, one more than groups of 16 rows"):
        form.check(arrays, shape)


def counts(lanes: int, groups: int, kept: int) -> PortCounts:
    """A port at one position, whose rows lie in so many groups at most, of as many vectors."""
    one = {name: np.zeros(1, np.int64) for name in ("phases", "dense", "traced", "adds", "channels", "places", "nibbles")}
    facts = {"rows": 16 * groups - 15, "gates": 1, "weights": 1, "width": 300, "weight_bytes": 1, "value_bytes": 1, "phases": 1}
    work = {"macs": 1, "visited": 16 * kept * groups * lanes, "heard": 10, "lanes": lanes}
    columns = {name: np.array([value]) for name, value in facts.items()} | {k: np.array([[v]]) for k, v in work.items()}
    return PortCounts(**{**one, **columns})


@pytest.mark.parametrize(("lanes", "groups", "kept"), [(1, 6, 68), (4, 3, 30), (5, 1, 8)])
def test_a_groups_product_takes_the_arrays_cycles_and_a_byte_is_gathered_for_each_vector(lanes, groups, kept):
    """By hand: 6 groups of 68 vectors, one lane: 408 bytes of 7 cycles (6 counted, 1 refill), 6 products, 6 set-ups of 80."""
    port, table = counts(lanes, groups, kept), load_table()
    product = vectors.product_cycles(port.lanes, np.asarray(port.visited // 16, np.int64), np.array([groups]))
    assert float(product[0, 0]) == pytest.approx(groups * matmul_cycles(lanes, kept, 16), abs=groups * -(-lanes // 4))
    setup, gather = table["vector_setup_cycles"] * groups, (table["gather_cycles"] + table["branch_refill_cycles"]) * kept
    total = float(vectors.cycles(port, table, 0.0)[0, 0])
    assert total == pytest.approx(float(product[0, 0]) + setup + gather * groups * lanes)
    if lanes == 1:
        assert total == pytest.approx(6 * (68 + 17 + 2 + 4) + 6 * 80 + 408 * (6 + table["branch_refill_cycles"]), abs=6)


def test_bytes_of_a_position_by_hand():
    """Two groups of 10 vectors, one lane: 20 bytes and their two-byte columns, read again beside 16 weights each, 3 extents."""
    read, written = vectors.sram_bytes(counts(1, 2, 10), {"zero_skip": "no"})
    assert (int(read[0]), int(written[0])) == (20 * (1 + 2) + 20 + 16 * 20 + 4 * 3, 20 + 4 * 32)
