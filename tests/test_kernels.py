"""One conformance suite for every neuron model, and the EGRU against hand arithmetic and the plain reference."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import kernels
from models.kernels import egru
from models.network import ModelError, Network, Population
from models.numerics import PAYLOADS, SUMS
from models.reference import Reference
from models.seeded import seeded_egru

NAMES = kernels.names()
each = pytest.mark.parametrize("name", NAMES)


# ---- every neuron model


@each
def test_a_kernel_has_the_attributes_of_the_contract(name):
    kernel = kernels.named(name)
    assert kernel.PORTS
    assert all(spec.rows > 0 and set(spec.sums) <= set(SUMS) for spec in kernel.PORTS.values())
    assert set(kernel.EMITS) <= set(PAYLOADS)
    assert kernel.EMITS
    assert all(vector.length > 0 and np.dtype(vector.dtype) for vector in kernel.VECTORS.values())
    assert all(type(value) is float for value in kernel.DEFAULTS.values())
    assert len(set(kernel.COUNTS)) == len(kernel.COUNTS)
    assert set(kernel.PER_UNIT) <= set(kernel.COUNTS)
    assert kernels.ticks_of(name, {}) >= 1


@each
@pytest.mark.parametrize(("units", "lanes"), [(1, 1), (27, 1), (5, 3)])
def test_what_a_kernel_keeps_are_variables_of_names_of_their_own(name, units, lanes):
    kernel = kernels.named(name)
    fields = kernel.fields(units, lanes)
    names = [f.name for f in fields]
    others = {"units", "ledger", "counts", "send_keys", "send_values", "headers", "marks", *kernel.VECTORS}
    assert len({*names, *others, *kernel.PORTS}) == len(names) + len(others) + len(kernel.PORTS)
    assert {f.role for f in fields} <= {"variables"}  # a gate keeps nothing
    assert not any(f.scratch for f in fields)


def test_kernels_are_found_by_name():
    assert "egru" in NAMES
    with pytest.raises(ModelError, match=r"'lstm'.*egru"):
        kernels.named("lstm")


# ---- the EGRU


class Shard:
    """Some units of an EGRU layer bound to arrays of their own; sums come from outside."""

    def __init__(self, layer, units=None, lanes=1, **params):
        width = layer.units
        self.units = np.arange(width, dtype=np.uint32) if units is None else np.asarray(units, np.uint32)
        n, self.lanes = len(self.units), lanes
        self.mem = {f.name: np.full(f.shape, 77, f.dtype) for f in egru.fields(n, lanes)}
        self.mem["units"] = self.units
        for name, vector in egru.VECTORS.items():
            self.mem[name] = layer.vectors[name].reshape(vector.length, width)[:, self.units].ravel()
        for port in egru.PORTS:
            self.mem[f"{port}.sums"] = np.zeros((lanes, 3 * n), np.float32)
        self.mem["counts"] = np.zeros(len(egru.COUNTS), np.uint32)
        self.mem |= {"send_keys": np.full(lanes * n, 77, np.uint32), "send_values": np.full(lanes * n, 77, np.float32)}
        self.stepper = egru.stepper(self.mem, width, {**egru.DEFAULTS, **params})
        self.reset()

    def reset(self):
        for lane in range(self.lanes):
            self.stepper.reset(lane=lane)

    def step(self, wx, rh, lanes=None):
        """Step these lanes (all) on the sums (lanes, 3 * width) of the whole layer; return keys and values."""
        for port, sums in zip(egru.PORTS, (wx, rh), strict=True):
            whole = np.asarray(sums, np.float32).reshape(self.lanes, 3, -1)
            self.mem[f"{port}.sums"][...] = whole[:, :, self.units].reshape(self.lanes, -1)
        events = 0
        for lane in range(self.lanes) if lanes is None else lanes:
            events += self.stepper.step(lane=lane, before=events)
        return self.mem["send_keys"][:events].copy(), self.mem["send_values"][:events].copy()

    @property
    def cell(self):
        return self.mem["cell"]


def layer_of(threshold, bias=None, recurrent_bias=None):
    n = len(threshold)
    three = [0.0] * (3 * n)
    vectors = {"threshold": threshold, "bias": bias or three, "recurrent_bias": recurrent_bias or three}
    return Population("layer", n, "egru", (), {name: np.array(v, np.float32) for name, v in vectors.items()})


def sums(z, r, g):
    """One lane of sums for gates z, r, g."""
    return np.concatenate([np.ravel(z), np.ravel(r), np.ravel(g)]).astype(np.float32)


OPEN, SHUT = 200.0, -200.0  # pre-activations whose sigmoid is 1 and 0 exactly
ONE = 20.0  # whose tanh is 1 exactly


def test_three_units_by_hand():
    """Two steps in float64 with the C library's functions, written out: within 1e-6 of the kernel."""
    bx, br = [0.1, -0.2, 0.3, 0.4, -0.5, 0.6, -0.7, 0.8, 0.9], [0.05, 0.15, -0.25, -0.35, 0.45, 0.55, 0.65, -0.75, 0.85]
    thr = [0.1, 0.9, 0.3]
    layer = layer_of(thr, bx, br)
    shard = Shard(layer)
    c = [0.0, 0.0, 0.0]
    fired = []
    for wx, rh in (
        ([0.5, -1.0, 0.2, 0.3, 0.7, -0.4, 1.5, 0.6, 1.1], [0.0] * 9),
        ([-0.3, 0.8, 1.2, -0.9, 0.1, 0.5, 0.4, -1.3, 2.0], [0.2, -0.6, 0.9, 1.0, 0.35, -0.8, 0.7, 0.25, -1.4]),
    ):
        want = []
        for i in range(3):
            z = 1 / (1 + math.exp(-(wx[i] + rh[i] + bx[i] + br[i])))
            r = 1 / (1 + math.exp(-(wx[3 + i] + rh[3 + i] + bx[3 + i] + br[3 + i])))
            g = math.tanh(wx[6 + i] + bx[6 + i] + r * (rh[6 + i] + br[6 + i]))
            p = z * c[i] + (1 - z) * g
            if p - thr[i] > 0:
                want.append((i, p))
                p -= thr[i]
            c[i] = p
        keys, values = shard.step(wx, rh)
        assert keys.tolist() == [i for i, _ in want]
        assert values == pytest.approx([p for _, p in want], abs=1e-6)
        assert shard.cell[0] == pytest.approx(c, abs=1e-6)
        fired.append(keys.tolist())
    assert fired == [[0, 2], [0]]


@pytest.mark.parametrize("inclusive", [0.0, 1.0])
@pytest.mark.parametrize("zoneout", [0.0, 0.1])
@given(seed=st.integers(0, 1000), threshold=st.sampled_from([0.0, 0.2, 0.35]))
@settings(deadline=None, max_examples=10)
def test_three_units_bit_for_bit_against_the_reference(zoneout, inclusive, seed, threshold):
    """Events and cell states over six positions with their recurrent sums, a segment boundary between."""
    base = seeded_egru(4, (3,), 0.9, seed, threshold)
    layer = base.populations[1]
    params = {"zoneout": zoneout, "fire_at_threshold": inclusive}
    layer = Population(layer.name, 3, "egru", layer.projections, layer.vectors, params)
    reference, shard = Reference(Network((base.populations[0], layer))), Shard(layer, **params)
    w, r = (p.weights.to_dense() for p in layer.projections)
    rng = np.random.default_rng(seed)
    y = np.zeros(3, np.float32)
    for position in range(6):
        if position == 3:
            shard.reset()
        x = rng.normal(0, 0.3, 4).astype(np.float32) * rng.integers(0, 2, 4).astype(np.float32)
        keys, values = shard.step(columns_in_order(w, x), columns_in_order(r, y))
        (want,) = reference.step({0: x}, reset=position == 3)[1]
        y = np.zeros(3, np.float32)
        y[keys] = values
        assert y.tobytes() == want.tobytes()
        assert keys.tolist() == np.flatnonzero(want).tolist()
        assert shard.cell[0].tobytes() == reference._neurons[1]._cell.tobytes()


def columns_in_order(matrix, x):
    total = np.zeros(len(matrix), np.float32)
    for unit, value in enumerate(x):
        total = total + matrix[:, unit] * value
    return total


@pytest.mark.parametrize(("inclusive", "events", "cell"), [(0.0, [], 1.0), (1.0, [1.0], 0.0)], ids=["strict", "inclusive"])
def test_a_unit_at_its_threshold_is_silent_unless_told_otherwise(inclusive, events, cell):
    """The authors' code fires above the threshold, the paper's eq. 1 also at it."""
    shard = Shard(layer_of([1.0]), fire_at_threshold=inclusive)
    _, values = shard.step(sums(SHUT, 0, ONE), sums(0, 0, 0))  # p = g = 1 = threshold
    assert values.tolist() == events
    assert shard.cell.tolist() == [[cell]]


@pytest.mark.parametrize("inclusive", [0.0, 1.0])
def test_a_value_of_zero_is_never_an_event(inclusive):
    shard = Shard(layer_of([0.0]), fire_at_threshold=inclusive)
    keys, _ = shard.step(sums(SHUT, 0, 0), sums(0, 0, 0))  # p = g = 0 = threshold
    assert keys.size == 0


def test_just_above_the_threshold_fires():
    threshold = np.nextafter(np.float32(1), np.float32(0))
    shard = Shard(layer_of([threshold]))
    _, values = shard.step(sums(SHUT, 0, ONE), sums(0, 0, 0))
    assert values.tolist() == [1.0]
    assert shard.cell[0, 0] == np.float32(1) - threshold


def test_an_event_carries_p_and_leaves_p_minus_threshold():
    shard = Shard(layer_of([0.25]))
    assert shard.step(sums(SHUT, 0, ONE), sums(0, 0, 0))[1].tolist() == [1.0]
    assert shard.cell.tolist() == [[0.75]]
    assert shard.step(sums(OPEN, 0, ONE), sums(0, 0, 0))[1].tolist() == [0.75]  # z = 1 keeps c
    assert shard.cell.tolist() == [[0.5]]


def test_the_reset_gate_scales_the_recurrent_product_after_it_is_summed():
    """The g gate is tanh(Wx + bx + r (Rh + br)): a shut gate hides the recurrent sum and its bias alike."""
    layer = layer_of([2.0], bias=[0, 0, 0.125], recurrent_bias=[0, 0, 0.5])
    shut, open_ = Shard(layer), Shard(layer)
    shut.step(sums(SHUT, SHUT, 0.25), sums(0, 0, 1.0))
    open_.step(sums(SHUT, OPEN, 0.25), sums(0, 0, 1.0))
    assert shut.cell[0, 0] == pytest.approx(math.tanh(0.375), abs=1e-6)
    assert open_.cell[0, 0] == pytest.approx(math.tanh(1.875), abs=1e-6)


def test_zoneout_mixes_the_old_state_into_the_new():
    """p = zeta c + (1 - zeta) p, before the threshold."""
    shard = Shard(layer_of([0.9]), zoneout=0.5)
    for cell in (0.5, 0.75, 0.875):
        _, values = shard.step(sums(SHUT, 0, ONE), sums(0, 0, 0))  # p = 1 each time
        assert values.tolist() == []
        assert shard.cell.tolist() == [[cell]]
    _, values = shard.step(sums(SHUT, 0, ONE), sums(0, 0, 0))
    assert values.tolist() == [0.9375]


def test_a_segment_boundary_zeroes_the_cell_state_and_nothing_else():
    shard = Shard(layer_of([5.0, 5.0]), lanes=2)
    shard.step(np.full((2, 6), 0.5), np.full((2, 6), 0.25))
    before = {name: array.tobytes() for name, array in shard.mem.items()}
    assert shard.cell.all()
    shard.reset()
    assert shard.cell.tobytes() == bytes(shard.cell.nbytes)
    assert {name for name, array in shard.mem.items() if array.tobytes() != before[name]} == {"cell"}


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_cut_of_a_layer_emits_the_same_events_in_ascending_keys(data):
    """A shard may own any units; keys are lane x width + checkpoint index, and the merged runs are the whole layer's."""
    width, lanes = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3))
    owner = data.draw(st.lists(st.integers(0, 2), min_size=width, max_size=width))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    layer = seeded_egru(2, (width,), 1.0, 3, threshold=0.1).populations[1]
    whole = Shard(layer, lanes=lanes)
    shards = [Shard(layer, [u for u in range(width) if owner[u] == n], lanes) for n in set(owner)]
    for _ in range(3):
        wx, rh = rng.normal(0, 1, (2, lanes, 3 * width)).astype(np.float32)
        keys, values = whole.step(wx, rh)
        want = dict(zip(keys.tolist(), values.tobytes().hex(" ", 4).split(), strict=True))
        assert (np.diff(keys.astype(np.int64)) > 0).all()
        got = {}
        for shard in shards:
            mine, values = shard.step(wx, rh)
            assert (np.diff(mine.astype(np.int64)) > 0).all()
            assert {key % width for key in mine.tolist()} <= set(shard.units.tolist())
            got |= dict(zip(mine.tolist(), values.tobytes().hex(" ", 4).split(), strict=True))
        assert got == want


def test_lanes_do_not_touch_each_other():
    layer = seeded_egru(2, (4,), 1.0, 3, threshold=0.1).populations[1]
    rng = np.random.default_rng(5)
    together, alone = Shard(layer, lanes=3), [Shard(layer) for _ in range(3)]
    for _ in range(4):
        wx, rh = rng.normal(0, 1, (2, 3, 12)).astype(np.float32)
        keys, values = together.step(wx, rh)
        for lane, single in enumerate(alone):
            mine = (keys >= 4 * lane) & (keys < 4 * lane + 4)
            one_keys, one_values = single.step(wx[lane], rh[lane])
            assert (keys[mine] - 4 * lane).tolist() == one_keys.tolist()
            assert values[mine].tobytes() == one_values.tobytes()


def test_only_the_lane_asked_for_steps_and_resets():
    shard = Shard(layer_of([0.25]), lanes=3)
    keys, _ = shard.step(np.tile(sums(SHUT, 0, ONE), 3), np.zeros((3, 3)), lanes=[0, 2])
    assert keys.tolist() == [0, 2]
    assert shard.cell.tolist() == [[0.75], [0.0], [0.75]]
    shard.stepper.reset(lane=2)
    assert shard.cell.tolist() == [[0.75], [0.0], [0.0]]


def test_a_step_adds_to_the_counts_of_units_and_exponentials():
    shard = Shard(layer_of([0.5, 5.0, 0.5]), lanes=2)
    keys, _ = shard.step(np.tile(sums([SHUT] * 3, [0] * 3, [ONE] * 3), 2), np.zeros((2, 9)))
    assert keys.tolist() == [0, 2, 3, 5]
    assert dict(zip(egru.COUNTS, shard.mem["counts"].tolist(), strict=True)) == {"units": 6, "exponentials": 18}
    shard.step(np.zeros((2, 9)), np.zeros((2, 9)), lanes=[1])
    assert shard.mem["counts"].tolist() == [9, 27]
    assert egru.PER_UNIT == {"units": 1, "exponentials": 3}  # two sigmoids and a tanh a unit


def test_a_unit_that_is_not_a_number_stays_silent():
    """Weights too large for float32 may overflow a sum; the unit then says nothing instead of spreading it."""
    shard = Shard(layer_of([0.1, 0.1]))
    keys, _ = shard.step(sums([0, SHUT], [0, 0], [np.nan, ONE]), sums([0, 0], [0, 0], [0, 0]))
    assert keys.tolist() == [1]
