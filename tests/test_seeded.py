"""Networks from a seed: the same bits on every machine, the shapes and densities asked for, activity as of a trained one."""

import hashlib

import numpy as np
import pytest

from models.heads.gesture import Scores, features_of
from models.reference import Reference
from models.seeded import EMBEDDING_RMS, THRESHOLD, seeded_egru, seeded_embedding, seeded_gesture


def arrays_of(network):
    for population in network.populations:
        for projection in population.projections:
            rows = projection.weights
            yield from (rows.extents, rows.columns, rows.values)
        yield from (population.vectors[name] for name in sorted(population.vectors))


def digest(arrays):
    total = hashlib.sha256()
    for array in arrays:
        total.update(array.dtype.newbyteorder("<").str.encode() + str(array.shape).encode() + array.tobytes())
    return total.hexdigest()


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        ((20, (30, 25, 20), 0.1, 1), "3a3b2d69e03fe5bb"),
        ((20, (30, 25, 20), 0.1, 2), "7181f571d83bc5d8"),
        ((6, (8, 6), 1.0, 1), "6dae2e0e1d24f61f"),
    ],
)
def test_a_seed_gives_the_same_bits_on_every_machine(arguments, golden):
    network = seeded_egru(*arguments)
    assert digest(arrays_of(network))[:16] == golden
    assert digest(arrays_of(network)) == digest(arrays_of(seeded_egru(*arguments)))


def test_an_embedding_has_the_same_bits_on_every_machine():
    table = seeded_embedding(50, 20, 1)
    assert (table.shape, table.dtype) == ((50, 20), np.float32)
    assert digest([table])[:16] == "5ee1e1f39ca9ad26"
    assert table.all()  # a zero would be no event
    assert table.std() == pytest.approx(EMBEDDING_RMS, rel=0.05)
    assert not np.array_equal(table, seeded_embedding(50, 20, 2))


def test_a_gesture_classifier_has_the_same_bits_on_every_machine_and_can_be_run():
    model = seeded_gesture()
    gesture = model.gesture
    head = [array for layer in gesture.head for array in (layer.weight, layer.bias)]
    parts = [*head, gesture.linear_weight, gesture.linear_bias, gesture.readout_weight, gesture.readout_bias]
    # Of the square roots in its widths, too, IEEE 754 says every bit.
    assert digest([*arrays_of(model.network), *parts])[:16] == "eb0b0a855c648e51"
    assert digest([gesture.linear_weight]) != digest([seeded_gesture(seed=2).gesture.linear_weight])
    frames = np.random.default_rng(1).poisson(1, (gesture.frames, gesture.size, gesture.size)).astype(np.float32)
    reference, scores, active = Reference(model.network), Scores(gesture), np.zeros(2, np.int64)
    for x in features_of(gesture, frames):
        outputs = [y for (y,) in reference.step({0: x}).values()]
        keys = np.flatnonzero(outputs[-1]).astype(np.uint32)
        scores.add(keys, outputs[-1][keys])
        active += [np.count_nonzero(y) for y in outputs]
    assert active.min() > 0
    assert scores.positions == gesture.frames == 8
    assert len(set(scores.scores().tolist())) == 5
    assert [p.trace for layer in model.network.populations[1:] for p in layer.projections] == [0.0, 0.0, 0.9, 0.0]
    assert {p.trace for layer in seeded_gesture(trace=0.0).network.populations for p in layer.projections} == {0.0}


@pytest.mark.parametrize("density", [0.05, 0.2, 1.0])
def test_shapes_and_density_are_those_asked_for(density):
    network = seeded_egru(100, (120, 90), density, seed=4, zoneout=0.1)
    assert [p.units for p in network.populations] == [100, 120, 90]
    assert (network.listeners(0), network.listeners(1), network.listeners(2)) == ((1,), (1, 2), (2,))
    for number in network.layers:
        layer = network.populations[number]
        sources = {p.port: (p.source, p.weights) for p in layer.projections}
        for port, source in (("input", number - 1), ("recurrent", number)):
            heard, rows = sources[port]
            assert heard == source
            assert rows.shape == (3 * layer.units, network.populations[source].units)
            rows.check(port)
            assert rows.values.all()
            assert rows.nonzeros / np.prod(rows.shape) == pytest.approx(density, rel=0.1)
        assert {name: len(v) for name, v in layer.vectors.items()} == {
            "threshold": layer.units,
            "bias": 3 * layer.units,
            "recurrent_bias": 3 * layer.units,
        }
        assert layer.params["zoneout"] == 0.1
        assert (layer.vectors["threshold"] >= 0).all() and (layer.vectors["threshold"] <= 1).all()
    assert network.nonzeros == sum(p.weights.nonzeros for layer in network.populations for p in layer.projections)


def test_rows_are_uneven_as_in_pruned_networks():
    """Half to one and a half times the mean: what makes sharding by weight worth its while."""
    lengths = seeded_egru(200, (100,), 0.1).populations[1].projections[0].weights.row_nonzeros
    assert 10 <= lengths.min() < 14
    assert 26 < lengths.max() <= 31


@pytest.mark.parametrize(("units", "layers", "density", "seed"), [(100, (150, 150, 100), 0.1, 1), (60, (80, 60), 0.3, 7)])
def test_activity_is_10_to_30_percent_of_each_layer_at_the_default_threshold(units, layers, density, seed):
    network = seeded_egru(units, layers, density, seed)
    reference, embedding = Reference(network), seeded_embedding(40, units)
    active = np.zeros(len(layers))
    positions = 0
    for position in range(30):
        outputs = [y for (y,) in reference.step({0: embedding[position * 7 % 40]}).values()]
        if position >= 5:  # the first positions fill the cells
            positions += 1
            active += [np.count_nonzero(y) / len(y) for y in outputs]
    assert THRESHOLD == 0.35
    assert ((active / positions > 0.1) & (active / positions < 0.3)).all(), active / positions


def test_the_threshold_sets_the_activity():
    """From most units at 0 to (nearly) none at 1."""

    def events(threshold):
        reference, embedding = Reference(seeded_egru(40, (60,), 0.3, 1, threshold)), seeded_embedding(20, 40)
        return sum(np.count_nonzero(reference.step({0: row})[1]) for row in embedding)

    counts = [events(threshold) for threshold in (0.0, 0.35, 1.0)]
    assert counts[0] > 0.35 * 60 * 20
    assert counts == sorted(counts, reverse=True)
    assert counts[2] < 0.01 * 60 * 20
