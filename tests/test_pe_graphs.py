"""One PE that runs whole graphs, bundles in and batches out, against plain references: every payload, ports that hold several
positions, shared ports, sequences that begin in one lane, idle lanes, positions of several ticks, in every weight format.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.mapping.placement import place
from host.mapping.sharding import cut
from models import formats, kernels
from models.network import Network, Population, Projection, SparseRows
from models.numerics import PAYLOADS, sum_of
from models.schedule import schedule
from noc.chip import load_chip
from noc.packet import FRESH, PHASE, RESET, VALID, Batch, Bundle, Load, Loaded, Section, Start
from pe.core import Pe
from tests.tools.grids import pairs
from tests.tools.member_path import members_found, reference_of

ROUTER = "router@0"


@pytest.fixture(autouse=True, scope="module")
def members():
    with members_found("models.kernels"):
        yield


# ---- graphs


def weights(rng, rows, columns, numeric):
    """Most weights are there, none is zero by chance of rounding."""
    there = rng.random((rows, columns)) < 0.7
    if numeric == "int8":
        return SparseRows.from_dense(
            (rng.integers(1, 128, (rows, columns)) * rng.choice([-1, 1], (rows, columns)) * there).astype(np.int8)
        )
    return SparseRows.from_dense((rng.normal(0.15, 0.5, (rows, columns)) * there).astype(np.float32))


ROWS = {"grader": 2}


def graph(seed, inputs, layers, outputs=()):
    """A network. `inputs`: (units, payload); `layers`: (kernel, units, payload, [(source, delay)], params); weights are random.

    A layer of integers has weights of int8, the others of float32.
    """
    rng = np.random.default_rng(seed)
    populations = [Population(f"input{n}", units, payload=payload) for n, (units, payload) in enumerate(inputs)]
    sizes = [*(units for units, _ in inputs), *(units for _, units, *_ in layers)]
    for number, (kernel, units, payload, heard, params) in enumerate(layers, start=len(inputs)):
        numeric = "float32" if kernel in ("leaky", "phaser") else "int8"
        projections = tuple(
            Projection(source, "input", weights(rng, ROWS.get(kernel, 1) * units, sizes[source], numeric), delay=delay)
            for source, delay in heard
        )
        vectors = {"threshold": rng.uniform(0.1, 0.5, units).astype(np.float32)} if kernel == "leaky" else {}
        populations.append(
            Population(f"{kernel}{number}", units, kernel, projections, vectors, params, payload, dense=kernel == "sampler")
        )
    return Network(tuple(populations), outputs)


GRAPHS = {
    # A loop with delays of 1 and 3 and a skip, at one port; spikes and counts; a port alone that hears 2 positions late.
    "integers": lambda seed: graph(
        seed,
        [(6, "int8"), (3, "spike")],
        [
            ("grader", 5, "int8", [(0, 0), (1, 0), (4, 1)], {}),
            ("integrator", 7, "spike", [(0, 0), (2, 0), (3, 1), (3, 3)], {"threshold": 90.0}),
            ("counter", 4, "count", [(3, 2)], {"threshold": 40.0}),
            ("grader", 3, "int32", [(4, 0), (3, 0), (5, 1)], {"shift": 6.0}),
        ],
        (4, 5),
    ),
    # Floats of events, of counts and of spikes; slack before the last one, which is a ring without delay.
    "floats": lambda seed: graph(
        seed,
        [(5, "float32"), (4, "count"), (4, "spike")],
        [
            ("leaky", 6, "float32", [(0, 0), (3, 1), (3, 2)], {}),
            ("leaky", 4, "float32", [(1, 0), (3, 0), (5, 1)], {"decay": 0.5}),
            ("leaky", 5, "float32", [(0, 0), (2, 0), (4, 0), (4, 3)], {}),
        ],
    ),
    # Four ticks a position, heard at once and late, and by itself; its source waits with it.
    "phases": lambda seed: graph(
        seed,
        [(5, "float32")],
        [
            ("phaser", 6, "float32", [(0, 0), (1, 1)], {"ticks": 4.0}),
            ("leaky", 4, "float32", [(0, 0), (1, 0), (2, 2)], {}),
            ("phaser", 3, "float32", [(2, 0), (1, 2)], {"ticks": 2.0}),
            ("leaky", 3, "float32", [(3, 0), (1, 0)], {}),
        ],
        (2, 4),
    ),
    # Sections without keys, prompt, late, and of the layer itself.
    "dense": lambda seed: graph(
        seed,
        [(5, "int8"), (4, "spike")],
        [
            ("sampler", 6, "int8", [(0, 0), (2, 2)], {"shift": 5.0}),
            ("integrator", 4, "spike", [(2, 0), (1, 0), (2, 3)], {}),
            ("sampler", 3, "int8", [(3, 0), (2, 1)], {"shift": 2.0}),
            ("grader", 3, "int32", [(4, 0), (2, 0)], {}),
        ],
        (5,),
    ),
}


def input_values(rng, payload, size):
    if payload == "float32":
        return rng.normal(0, 1, size).astype(np.float32)
    if payload == "spike":
        return np.ones(size, np.uint8)
    values = rng.integers(1, {"int8": 128, "count": 9}[payload], size)
    return (values * rng.choice([-1, 1], size) if payload == "int8" else values).astype(PAYLOADS[payload])


def feeds_of(network, positions, lanes, seed, masked):
    """For each position its flags, three sets of lanes (3, lanes), and the inputs: population -> numbers (lanes, units)."""
    rng = np.random.default_rng(seed)
    feeds = []
    for position in range(positions):
        begins, resets, idle = (rng.random((3, lanes)) < [[0.15], [0.2], [0.2]]) & masked
        begins |= position == 0
        resets |= begins
        idle &= ~resets
        if not masked and position % 4 == 3:
            resets[:] = True
            begins[:] = position % 8 == 7
        flags = VALID | RESET * resets.any() | FRESH * begins.any()
        numbers = {}
        for n in network.inputs:
            source = network.populations[n]
            shape = lanes, source.units
            numbers[n] = input_values(rng, source.payload, shape) * (rng.random(shape) < 0.6) * ~idle[:, None]
            numbers[n] = numbers[n].astype(PAYLOADS[source.payload] or np.uint8)
        feeds.append((int(flags), np.array([begins, resets, idle]), numbers))
    return feeds


# ---- the oracle


class Lane:
    """A graph in one lane, computed plainly: what every population has sent at every position and phase."""

    def __init__(self, network):
        self.network = network
        self.neurons = {n: reference_module(network.populations[n].kernel).Neurons(network.populations[n]) for n in network.layers}
        self.matrices = {
            (n, i): p.weights.to_dense() for n in network.layers for i, p in enumerate(network.populations[n].projections)
        }
        self.ticks = schedule(network).ticks
        self.macs = dict.fromkeys(self.matrices, 0)
        self.sent = []  # position -> population -> phases of numbers (units,)
        self.mark = 0

    def position(self, begins, resets, idle, inputs):
        position, now = len(self.sent), {}
        self.sent.append(now)
        if begins:
            self.mark = position
        for n, population in enumerate(self.network.populations):
            silence = np.zeros(population.units, PAYLOADS[population.payload] or np.uint8)
            now[n] = [inputs[n]] if n in inputs else [silence] * self.ticks[n]
        for n in sorted(self.network.layers, key=lambda n: schedule(self.network).starts[n]):
            if idle:
                continue
            if resets:
                self.neurons[n].reset()
            sums = self.sums(n, position)
            now[n] = [self.neurons[n].step(sums, phase) for phase in range(self.ticks[n])]

    def sums(self, n, position):
        ports = {}
        for i, p in enumerate(self.network.populations[n].projections):
            source = self.network.populations[p.source]
            integer = sum_of(p.weights.numeric, source.payload) == "int32"
            number = np.int64 if integer else np.float32
            matrix = self.matrices[n, i].astype(number)
            total = np.zeros(len(matrix), number)
            at = position - p.delay
            if at >= self.mark:
                for phase in self.sent[at][p.source]:
                    for unit in range(source.units):
                        total = total + matrix[:, unit] * number(phase[unit])
                        self.macs[n, i] += np.count_nonzero(matrix[:, unit]) * (phase[unit] != 0)
            total = total.astype(np.int32) if integer else total
            ports[p.port] = ports[p.port] + total if p.port in ports else total
        return ports


@cache
def reference_module(kernel):
    return reference_of(kernel)


# ---- the PE


class OnePe:
    """A PE that runs all layers, and by hand what its router does."""

    def __init__(self, network, form, lanes):
        self.placement = place(network, load_chip(), "uniform", form, 1, lanes)
        (placed,) = self.placement.pes
        self.network, self.lanes = self.placement.network, lanes
        self.pe = Pe(placed.name, ROUTER)
        self.pe.boot()
        shards = [shard.to_parts() for shard in cut(self.network, self.placement.request, placed.share)]
        load = Load(shards, self.placement.copies(placed), dict(vars(self.placement.request.size)), {})
        assert type(self.say(load)) is Loaded
        self.waits = self.placement.connectivity.waits[placed.name]
        self.batch = self.say(Start())
        self.tick = 0
        self.said = {n: {} for n in self.network.layers}  # (position, phase) -> numbers (lanes, units)
        self.counts = {n: [] for n in self.network.layers}

    def say(self, message):
        ((_, answer),) = self.pe.handle(ROUTER, message)
        return answer

    def step(self, sections):
        """One tick with the host's sections."""
        sections = sections | {section.population: section for section in self.batch.sections}
        self.batch = self.say(Bundle(self.tick, tuple(sections[n]._replace(ledger=b"") for n in self.waits)))
        assert type(self.batch) is Batch, self.batch
        self.tick += 1
        for section in self.batch.sections:
            if section.flags & VALID:
                self.take(section)

    def take(self, section):
        population = self.network.populations[section.population]
        numbers = np.zeros(self.lanes * population.units, PAYLOADS[population.payload] or np.uint8)
        if population.dense:
            numbers[:] = np.frombuffer(section.values, numbers.dtype)
        else:
            keys = np.frombuffer(section.keys, "<u4")
            assert (np.diff(keys.astype(np.int64)) > 0).all()
            numbers[keys] = np.frombuffer(section.values, numbers.dtype) if PAYLOADS[population.payload] else 1
            assert PAYLOADS[population.payload] or not section.values
            assert numbers[keys].all()
        at = section.position, section.flags // PHASE
        assert at not in self.said[section.population]
        self.said[section.population][at] = numbers.reshape(self.lanes, population.units)
        self.counts[section.population].append(np.frombuffer(section.ledger, "<u4"))

    def run(self, feeds, gaps):
        """Feed positions as soon as the schedule lets them, or so many ticks later."""
        bubbles = {n: Section(n, 0, 0, b"", b"", b"") for n in self.network.inputs}
        for position, ((flags, lanes, numbers), gap) in enumerate(zip(feeds, gaps, strict=True)):
            begins, resets, idle = lanes
            alike = not idle.any() and all(marked.all() == marked.any() for marked in (begins, resets))
            masks = b"" if alike else np.packbits(lanes, axis=1, bitorder="little").tobytes()
            self.step({n: self.section(n, flags, position, masks, numbers[n]) for n in self.network.inputs})
            for _ in range(schedule(self.network).interval - 1 + gap):
                self.step(bubbles)
        for _ in range(schedule(self.network).depth + 1):
            self.step(bubbles)
        return self.said

    def section(self, n, flags, position, masks, numbers):
        flat = numbers.reshape(-1)
        keys = np.flatnonzero(flat).astype("<u4")
        values = flat[keys].tobytes() if PAYLOADS[self.network.populations[n].payload] else b""
        return Section(n, flags, position, keys.tobytes(), values, b"", masks)


@pytest.mark.few(1)
@pytest.mark.parametrize(("form", "name"), pairs(formats.names(), list(GRAPHS)))
@given(seed=st.integers(0, 10**6), masked=st.booleans(), gaps=st.lists(st.integers(0, 3), min_size=12, max_size=12))
@settings(deadline=None, max_examples=8)
def test_a_pe_says_what_the_references_say(name, form, seed, masked, gaps):
    network, lanes = GRAPHS[name](seed), 3
    feeds = feeds_of(network, len(gaps), lanes, seed, masked)
    pe = OnePe(network, form, lanes)
    said = pe.run(feeds, gaps)
    oracles = [Lane(network) for _ in range(lanes)]
    for _, sets, numbers in feeds:
        for lane, oracle in enumerate(oracles):
            begins, resets, idle = sets[:, lane]
            oracle.position(begins, resets, idle, {n: numbers[n][lane] for n in numbers})
    for n in network.layers:
        assert len(said[n]) == len(feeds) * schedule(network).ticks[n]
        for (position, phase), have in said[n].items():
            want = np.array([oracle.sent[position][n][phase] for oracle in oracles])
            assert (have.dtype, have.tobytes()) == (want.dtype, want.tobytes()), (network.populations[n].name, position, phase)
        assume(any(have.any() for have in said[n].values()))  # few seeds make a network that says nothing
        counts = len(kernels.named(network.populations[n].kernel).COUNTS)
        macs = np.sum(pe.counts[n], axis=0)[1 + counts :: 2].tolist()
        assert macs == [sum(oracle.macs[n, i] for oracle in oracles) for i in range(len(macs))], network.populations[n].name


def test_the_graphs_have_what_they_are_for():
    """Ports of several positions with and without delay, shared ports, headers that wait, sequences that begin behind a delay."""
    slots, names = {}, []
    for name, network in ((name, make(1)) for name, make in GRAPHS.items()):
        times = schedule(network)
        slots |= {
            (name, n, p.source, p.delay): times.slots(n, p) for n in network.layers for p in network.populations[n].projections
        }
        names += [region.name for region in OnePe(network, "csr", 3).pe.arena.regions]
    assert slots["floats", 5, 0, 0] == 2
    assert slots["floats", 5, 4, 3] == 4
    assert slots["integers", 4, 3, 2] > 1
    assert slots["phases", 2, 2, 2] == 2
    assert slots["dense", 4, 2, 1] == 3
    assert {"2.headers", "5.marks", "5.input.0.slots", "4.input.vector"} <= set(names)
