"""Spiking neurons: every way to integrate, fire and reset has the plain reference's bits, in a run and by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from host.mapping.placement import place
from models import kernels
from models.graph_check import check_network
from models.network import ModelError, Network, Population, Projection, SparseRows
from models.reference import neurons_of
from models.spiking import FORMS, MOST_SPIKES, RESETS, SYNAPSES, vectors_of
from noc.chip import load_chip
from tests.tools.graph_runs import RandomInput, run_graph

CHIP = load_chip()
NAMES = ("lif", "cuba_lif", "li", "cuba_li")


def neurons(kernel, units, rng, params=None, **vectors):
    """A population without projections; vectors drawn where they are not given."""
    drawn = {
        "rate": rng.uniform(0.5, 1.0, units), "gain": rng.uniform(0.5, 2.0, units), "leak": rng.normal(0, 0.05, units),
        "bias": rng.normal(0, 0.1, units), "threshold": rng.uniform(0.3, 1.5, units), "start": rng.normal(0, 0.1, units),
        "synapse_rate": rng.uniform(0.2, 0.9, units), "synapse_gain": rng.uniform(0.5, 1.5, units),
    }  # fmt: skip
    fill = kernels.named(kernel).FILL
    many = (params or {}).get("multi_spike")
    payload = kernels.named(kernel).EMITS[1 if many else 0]
    values = {name: value for name, value in (drawn | vectors).items() if name in fill}
    filled = vectors_of(units, fill, **values)
    return Population("p", units, kernel, (), filled, params or {}, payload, kernels.is_dense(kernel))


class Shard:
    """All units of a population bound to arrays of their own; sums come from outside."""

    def __init__(self, population, sums="float32"):
        kernel, n = kernels.named(population.kernel), population.units
        self.population, self.mem = population, {f.name: np.full(f.shape, 77, f.dtype) for f in kernel.fields(n, 1)}
        self.mem |= population.vectors | {"units": np.arange(n, dtype=np.uint32), "input.sums": np.zeros((1, n), sums)}
        self.mem |= {"counts": np.zeros(1, np.uint32), "send_keys": np.full(n, 77, np.uint32)}
        self.mem["send_values"] = np.full(n, 77, np.float32 if population.dense else np.uint16)
        self.stepper = kernel.stepper(self.mem, n, {**kernel.DEFAULTS, **population.params})
        self.stepper.reset(lane=0)

    def step(self, sums):
        """Return the numbers (units,) that are sent."""
        self.mem["input.sums"][0] = sums
        events = self.stepper.step(lane=0)
        if self.population.dense:
            return self.mem["send_values"].copy()
        sent = np.zeros(self.population.units, np.uint16)
        keys = self.mem["send_keys"][:events]
        assert (np.diff(keys.astype(np.int64)) > 0).all()
        sent[keys] = self.mem["send_values"][:events] if self.population.payload == "count" else 1
        return sent

    def play(self, sums):
        """Return what is sent and the membranes, (steps,) each, of one unit."""
        steps = [(self.step(s)[0], self.mem["v"][0, 0]) for s in sums]
        return [float(sent) for sent, _ in steps], [float(v) for _, v in steps]


WAYS = list(itertools.product(FORMS, RESETS, (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)))


@pytest.mark.wide
@pytest.mark.slow_but("float32-lif", "int32-cuba_lif")
@pytest.mark.parametrize("kernel", ["lif", "cuba_lif"])
@pytest.mark.parametrize("sums", ["float32", "int32"])
def test_every_way_to_integrate_reset_and_fire_has_the_references_bits(kernel, sums):
    rng, fired = np.random.default_rng(3), 0
    for n, (form, reset, inclusive, many, floor) in enumerate(WAYS):
        params = {"form": float(FORMS.index(form)), "reset": float(RESETS.index(reset)), "fire_at_threshold": inclusive}
        params |= {"multi_spike": many, "floor": floor}
        if kernel == "cuba_lif":
            params["synapse"] = float(n % len(SYNAPSES))
        vectors = {"rate": rng.uniform(2, 9, 7)} if form.startswith("quotient") else {}
        vectors |= {} if reset.startswith("subtract") else {"reset": rng.normal(0, 0.1, 7)}
        population = neurons(kernel, 7, rng, params, **vectors)
        shard, reference = Shard(population, sums), neurons_of(population)
        for _ in range(25):
            x = rng.normal(0.3, 2, 7).astype(np.float32) if sums == "float32" else rng.integers(-3, 5, 7, np.int32)
            sent = shard.step(x)
            fired += int(sent.sum())
            assert sent.tolist() == reference.step({"input": x}, 0).tolist(), (form, reset, inclusive, many, floor)
            assert shard.mem["v"][0].tobytes() == reference._v.tobytes(), (form, reset, inclusive, many, floor)
    assert fired > 1000


def test_every_way_of_the_int32_neuron_has_the_references_integers():
    rng, fired = np.random.default_rng(3), 0
    for reset, inclusive, many, floor in itertools.product(RESETS, (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)):
        params = {"reset": float(RESETS.index(reset)), "fire_at_threshold": inclusive, "multi_spike": many, "floor": floor}
        vectors = {"bias": rng.integers(-5, 9, 7), "threshold": rng.integers(1, 60, 7), "start": rng.integers(-20, 20, 7)}
        vectors |= {} if reset.startswith("subtract") else {"reset": rng.integers(-5, 5, 7)}
        population = neurons("iaf", 7, rng, params, **vectors)
        shard, reference = Shard(population, "int32"), neurons_of(population)
        for step in range(40):
            most = 2**31 - 1 if step % 10 == 9 else 90  # sums wrap
            x = rng.integers(-most // 2, most, 7).astype(np.int32)
            sent = shard.step(x)
            fired += int(np.minimum(sent, 1).sum())
            assert sent.tolist() == reference.step({"input": x}, 0).tolist(), params
            assert shard.mem["v"][0].tolist() == reference._v.tolist(), params
    assert fired > 1000


@pytest.mark.parametrize("kernel", ["li", "cuba_li"])
@pytest.mark.parametrize("form", FORMS)
def test_every_integrator_has_the_references_bits(kernel, form):
    rng = np.random.default_rng(4)
    for synapse in range(len(SYNAPSES) if kernel == "cuba_li" else 1):
        params = {"form": float(FORMS.index(form))} | ({"synapse": float(synapse)} if kernel == "cuba_li" else {})
        vectors = {"rate": rng.uniform(2, 9, 7)} if form.startswith("quotient") else {}
        population = neurons(kernel, 7, rng, params, **vectors)
        shard, reference = Shard(population), neurons_of(population)
        for _ in range(20):
            x = rng.normal(0, 1, 7).astype(np.float32)
            assert shard.step(x).tobytes() == np.asarray(reference.step({"input": x}, 0)).tobytes()


# ---- by hand: a unit with threshold 1, all numbers exact


def one(kernel="lif", **ways):
    params = {"reset": float(RESETS.index(ways.pop("reset")))} if isinstance(ways.get("reset"), str) else {}
    params |= {name: ways.pop(name) for name in ("fire_at_threshold", "multi_spike", "floor") if name in ways}
    params |= {"form": float(FORMS.index(ways.pop("form")))} if "form" in ways else {}
    params |= {"synapse": float(SYNAPSES.index(ways.pop("synapse")))} if "synapse" in ways else {}
    defaults = {"rate": 1, "gain": 1, "leak": 0, "bias": 0, "threshold": 1, "start": 0, "synapse_rate": 0, "synapse_gain": 1}
    return Shard(neurons(kernel, 1, np.random.default_rng(0), params, **defaults | ways))


@pytest.mark.parametrize(
    ("ways", "sums", "spikes", "membranes"),
    [
        ({"reset": "zero"}, [0.75, 0.75, 0.5], [0, 1, 0], [0.75, 0, 0.5]),
        ({"reset": 0.0, "rate": 0.5}, [1, 1, 1], [0, 1, 0], [1, 0, 1]),
        ({"reset": "subtract"}, [0.75, 0.75, 2.75], [0, 1, 1], [0.75, 0.5, 2.25]),
        ({"reset": "subtract-late"}, [0.75, 0.75, 0, 2], [0, 1, 0, 1], [0.75, 1.5, 0.5, 2.5]),
        ({"reset": "subtract-late", "rate": 0.5}, [2, 0, 0], [1, 0, 0], [2, 0, 0]),  # the threshold is not halved
        # snnTorch with reset_delay=False: what is left above the threshold is taken off before it may fire again
        ({"reset": "subtract-no-delay"}, [2.75, 0, 0], [1, 0, 0], [1.75, 1.75, 1.75]),
        ({"reset": "zero-late"}, [1.5, 5, 0.5], [1, 0, 0], [1.5, 0, 0.5]),
        ({"fire_at_threshold": 0.0}, [1, 0.25], [0, 1], [1, 0]),
        ({"fire_at_threshold": 1.0}, [1, 0.25], [1, 0], [0, 0.25]),
        ({"reset": "subtract", "multi_spike": 1.0, "fire_at_threshold": 1.0}, [3, 2.5, -4], [3, 2, 0], [0, 0.5, -3.5]),
        ({"reset": "subtract", "multi_spike": 1.0}, [3, 0.25], [2, 1], [1, 0.25]),
        ({"reset": "subtract", "multi_spike": 1.0, "floor": 1.0}, [-4, 0.5, 2.75], [0, 0, 2], [-1, -0.5, 0.25]),
        ({"form": "difference", "rate": 0.5, "leak": 0.5}, [1, 0], [0, 0], [0.75, 0.625]),
        ({"form": "quotient-input", "rate": 2, "leak": 0.5}, [1, 0], [0, 0], [0.75, 0.625]),
        ({"form": "quotient", "rate": 2, "leak": 0.5}, [0.25, 0], [0, 0], [0.5, 0.5]),
        ({"leak": 0.125, "rate": 0.5, "bias": 0.25, "gain": 2}, [0, 0], [0, 0], [0.625, 0.9375]),
        ({"start": 0.75}, [0.5, 0], [1, 0], [0, 0]),
    ],
)
def test_a_unit_by_hand(ways, sums, spikes, membranes):
    assert one(**ways).play(sums) == (spikes, membranes)


@pytest.mark.parametrize(
    ("synapse", "membranes"),
    [("decay", [0.25, 0.375, 0.4375]), ("difference", [0.125, 0.1875, 0.21875]), ("sum-first", [0.125, 0.1875, 0.21875])],
)
def test_the_membrane_hears_the_new_current(synapse, membranes):
    shard = one("cuba_lif", synapse=synapse, synapse_rate=0.5)
    assert shard.play([0.25, 0, 0])[1] == membranes


def test_a_count_holds_no_more_than_it_can():
    shard = one(reset="subtract", multi_spike=1.0, fire_at_threshold=1.0)
    assert shard.play([100000, 0]) == ([MOST_SPIKES, 100000 - MOST_SPIKES], [100000 - MOST_SPIKES, 0])
    assert one(reset="zero", multi_spike=1.0).play([3e38])[0] == [MOST_SPIKES]


# ---- in a graph


def spiking(payload, **params):
    """Two inputs, a recurrent layer, one of currents over it, and integrators that are read."""
    rng = np.random.default_rng(5)
    many = {"multi_spike": 1.0} if payload == "count" else {}
    whole = params.pop("whole", False)

    def to(source, units, wide, delay=0):
        dense = rng.integers(-60, 100, (units, wide)) if whole else rng.normal(0.2, 0.6, (units, wide))
        dense = dense * (rng.random((units, wide)) < 0.6)
        weights = SparseRows.from_dense(dense.astype(np.int8 if whole else np.float32))
        return Projection(source, "input", weights, delay=delay)

    scale = {"threshold": 90.0, "bias": 2.0, "leak": 1.0, "start": 3.0} if whole else {}
    first = neurons("lif", 9, rng, {**params, **many}, **scale)
    second = neurons("cuba_lif", 8, rng, {**params, **many, "synapse": 1.0}, **scale)
    third, fourth = neurons("li", 4, rng, **scale), neurons("cuba_li", 3, rng, {"form": 1.0}, **scale)
    return Network((
        Population("a", 6, payload="spike"), Population("b", 5, payload="count"),
        replace(first, name="c", projections=(to(0, 9, 6), to(1, 9, 5, 1), to(2, 9, 9, 1))),
        replace(second, name="d", projections=(to(2, 8, 9), to(0, 8, 6, 2), to(3, 8, 8, 1))),
        replace(third, name="e", projections=(to(3, 4, 8),)), replace(fourth, name="f", projections=(to(2, 3, 9), to(3, 3, 8))),
    ), outputs=(2, 3, 4, 5))  # fmt: skip


@pytest.mark.few(2)
@pytest.mark.parametrize("payload", ["spike", "count"])
@pytest.mark.parametrize("whole", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("form", ["csr", "packed", "dense"])
def test_in_every_format_a_run_has_the_references_bits(payload, whole, form):
    network = spiking(payload, reset=float(RESETS.index("subtract-late")), fire_at_threshold=1.0, whole=whole)
    check_network(network)
    source = RandomInput(network, 2, 20, fresh=0.1, reset=0.1, idle=0.1)
    run, _, _ = run_graph(place(network, CHIP, "uniform", form, 6, 2, 1), source, shuffle=1)
    assert min(run.counts.events(n) for n in (2, 3)) > 20


# ---- what cannot be


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"threshold": 0.0}, r"p: threshold 0\.0 of unit 0; needs a finite number above 0"),
        ({"threshold": [1, 1, np.inf]}, r"p: threshold inf of unit 2; needs a finite number above 0"),
        ({"threshold": [1, np.nan, 1]}, r"p: threshold nan of unit 1; needs a finite number above 0"),
        ({"reset": [0, 0.5, 0]}, r"p: resets by subtract and to 0\.5 \(unit 1\); takes one of them: a reset of 0, or 'zero'"),
        ({"params": {"reset": 7.0}}, r"p: reset 7\.0; have 0 \(zero\), 1 \(subtract\)"),
        ({"params": {"form": 0.5}}, r"p: form 0\.5; have 0 \(decay\)"),
        ({"payload": "count"}, r"p: sends one spike a position as count; needs spike"),
    ],
)
@pytest.mark.parametrize("kernel", ["lif", "cuba_lif"])
def test_numbers_that_cannot_be_are_refused_in_a_line(kernel, change, line):
    refuse(kernel, change, line)


def test_a_synapse_that_is_none_is_refused():
    refuse("cuba_lif", {"params": {"synapse": -1.0}}, r"p: synapse -1\.0; have 0 \(decay\), 1 \(difference\)")


def refuse(kernel, change, line):
    rng = np.random.default_rng(1)
    vectors = {k: np.array(v, np.float32) for k, v in change.items() if k not in ("params", "payload")}
    population = neurons(kernel, 3, rng, {"reset": 1.0, **change.get("params", {})}, **vectors)
    hears = Projection(0, "input", SparseRows.from_dense(np.ones((3, 2), np.float32)))
    population = replace(population, projections=(hears,), payload=change.get("payload", "spike"))
    with pytest.raises(ModelError, match=line):
        check_network(Network((Population("in", 2, payload="spike"), population)))


def test_a_vector_of_another_name_is_refused():
    with pytest.raises(TypeError, match=r"unknown tau; have rate"):
        vectors_of(3, kernels.named("lif").FILL, tau=2.0)
