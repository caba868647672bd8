"""When populations step: the interval is the least, no edge is broken, no output comes later than it must, and ports take the
fewest bytes that any such schedule takes (brute force).
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.graph_check import MOST_TICKS, check_network
from models.kernels.egru import GATES
from models.network import ModelError, Network, SparseRows
from models.schedule import Schedule, schedule
from models.seeded import seeded_egru
from noc.packet import MOST_PHASES
from tests.tools.egru_graphs import egru_graph


@st.composite
def graphs(draw, most=4):
    """Draw an input and up to `most` layers; each hears something on both of its ports, and an input reaches it."""
    layers = draw(st.integers(1, most))
    names = ["input", *(f"layer{n}" for n in range(1, layers + 1))]
    edges = set()
    for n in range(1, layers + 1):
        edges.add((names[draw(st.integers(0, n - 1))], names[n], "input", draw(st.sampled_from([0, 0, 0, 1, 2]))))
        edges.add((names[draw(st.integers(1, layers))], names[n], "recurrent", draw(st.integers(1, 3))))
        for _ in range(draw(st.integers(0, 2))):  # more: forward without delay, or backward with one
            source = draw(st.integers(0, layers))
            delay = draw(st.integers(0 if source < n else 1, 3))
            edges.add((names[source], names[n], draw(st.sampled_from(["input", "recurrent"])), delay))
    units = {name: draw(st.integers(1, 4)) for name in names}
    output = draw(st.sampled_from(names[1:]))
    return egru_graph(units, sorted(edges), outputs=[output], seed=draw(st.integers(0, 9)))


def edges_of(network: Network):
    return [(p.source, layer, p.delay, p.port) for layer in network.layers for p in network.populations[layer].projections]


def holds(network, starts, interval):
    return all(starts[v] >= starts[u] + 1 - interval * d for u, v, d, _ in edges_of(network))


def words(network, starts, interval):
    """Count accumulators over the definition of a ring: positions that a port must hold at a time, found by stepping time."""
    total = 0
    for u, v, d, _ in edges_of(network):
        # At the tick in which v steps position p, everything that u has sent by then of p - d and later is still needed.
        late = [q for q in range(-d, 60) if q * interval + starts[u] <= starts[v] - 1]
        total += max(d, len(late)) * GATES * network.populations[v].units
    return total


def least_interval(network):
    """Return the smallest interval under which no walk around a loop comes out later than it went in."""
    layers, edges = len(network.populations), edges_of(network)
    for interval in range(1, layers + 1):
        longest = [0] * layers
        for _ in range(layers):
            for u, v, d, _ in edges:
                longest[v] = max(longest[v], longest[u] + 1 - interval * d)
        if all(longest[v] >= longest[u] + 1 - interval * d for u, v, d, _ in edges):
            return interval
    return None


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_of_all_schedules_there_are_ours_takes_the_fewest_bytes(network):
    planned = schedule(network)
    assert planned.interval == least_interval(network)
    assert holds(network, planned.starts, planned.interval)
    earliest = [0] + [1] * len(network.layers)
    for _ in earliest:
        for u, v, d, _ in edges_of(network):
            earliest[v] = max(earliest[v], earliest[u] + 1 - planned.interval * d)
    assert planned.starts[network.output] == earliest[network.output]
    assert planned.depth == max(earliest)
    choices = [
        [start] if n in (0, network.output) else range(start, max(earliest) + 1) for n, start in enumerate(earliest)
    ]  # fmt: skip
    others = [s for s in product(*choices) if holds(network, s, planned.interval)]
    assert words(network, planned.starts, planned.interval) == min(words(network, s, planned.interval) for s in others)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_a_port_has_as_many_slots_as_positions_meet_in_it_with_bubbles_or_without(network):
    planned = schedule(network)
    for layer in network.layers:
        for projection in network.populations[layer].projections:
            for gap in range(3):  # ticks beyond the interval between positions
                every = planned.interval + gap
                lead, delay = planned.starts[layer] - 1 - planned.starts[projection.source], projection.delay
                step = 10 * every + lead  # the tick in which position 10 is stepped, with that of its source at 10 * every
                needed = [q for q in range(40) if q >= 10 - delay and q * every <= step]
                assert len(needed) <= planned.slots(layer, projection)


def test_a_chain_takes_a_tick_a_layer_and_holds_one_position():
    planned = schedule(seeded_egru(6, (5, 4, 3), density=0.5))
    assert planned == Schedule(interval=1, starts=(0, 1, 2, 3), ticks=(1, 1, 1, 1), triggers={1: 0, 2: 1, 3: 2})
    assert (planned.depth, [planned.wait(n) for n in (1, 2, 3)]) == (3, [0, 0, 0])


def test_a_loop_of_two_takes_two_ticks_a_position():
    """As the paper's printed equation 4 does."""
    edges = [("input", "a", "input", 0), ("b", "a", "recurrent", 1), ("a", "b", "input", 0), ("b", "b", "recurrent", 1)]
    planned = schedule(egru_graph({"input": 3, "a": 4, "b": 4}, edges))
    assert (planned.interval, planned.starts) == (2, (0, 1, 2))


def test_a_layer_without_a_prompt_source_steps_on_the_input():
    edges = [
        ("input", "a", "input", 0), ("a", "a", "recurrent", 1), ("a", "b", "input", 2), ("b", "b", "recurrent", 1),
    ]  # fmt: skip
    planned = schedule(egru_graph({"input": 3, "a": 4, "b": 4}, edges))
    assert (planned.triggers[2], planned.starts[2], planned.wait(2)) == (0, 1, 0)


# ---- what cannot run


def refused(units, edges, **about):
    with pytest.raises(ModelError) as caught:
        check_network(egru_graph(units, edges, **about))
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


OWN = [("a", "a", "recurrent", 1)]


def test_a_loop_without_delay_is_named():
    edges = [("input", "a", "input", 0), ("b", "a", "input", 0), ("a", "b", "input", 0), *OWN, ("b", "b", "recurrent", 1)]
    text = refused({"input": 2, "a": 3, "b": 3}, edges)
    assert "a, b" in text and "loop without delay" in text


def test_a_layer_that_hears_itself_at_once_is_named():
    assert "a: hears itself at the same position" in refused(
        {"input": 2, "a": 3}, [("input", "a", "input", 0), ("a", "a", "recurrent", 0)]
    )


def test_a_port_that_nobody_feeds_is_named():
    assert "a: nothing feeds its port 'recurrent'" in refused({"input": 2, "a": 3}, [("input", "a", "input", 0)])


def test_a_layer_that_no_input_reaches_is_named():
    edges = [("input", "a", "input", 0), *OWN, ("b", "b", "input", 1), ("b", "b", "recurrent", 2)]
    assert "no input reaches b" in refused({"input": 2, "a": 3, "b": 3}, edges)


def test_a_port_that_the_model_lacks_is_named():
    edges = [("input", "a", "input", 0), *OWN, ("input", "a", "bias", 0)]
    assert "input to a: neuron model 'egru' has no port 'bias'; has input, recurrent" in refused({"input": 2, "a": 3}, edges)


def test_two_projections_that_are_one_are_named():
    edges = [("input", "a", "input", 0), ("input", "a", "input", 0), *OWN]
    assert "input to a: 2 projections to port 'input' with delay 0" in refused({"input": 2, "a": 3}, edges)


def test_an_output_that_computes_nothing_is_named():
    assert "output 0 is no layer" in refused({"input": 2, "a": 3}, [("input", "a", "input", 0), *OWN], outputs=["input"])


def test_weights_of_another_width_are_named():
    network = egru_graph({"input": 2, "a": 3}, [("input", "a", "input", 0), *OWN])
    layer = network.populations[1]
    narrow = replace(layer.projections[0], weights=layer.projections[1].weights)
    with pytest.raises(ModelError, match=r"input to a: weights of port 'input' need \(9, 2\) rows and columns, have \(9, 3\)"):
        check_network(Network((network.populations[0], replace(layer, projections=(narrow, layer.projections[1])))))


def test_two_populations_of_one_name_are_named():
    network = egru_graph({"input": 2, "a": 3}, [("input", "a", "input", 0), *OWN])
    with pytest.raises(ModelError, match="2 populations are called 'a'"):
        check_network(Network((replace(network.populations[0], name="a"), network.populations[1])))


def test_a_numeric_that_a_neuron_model_does_not_take_is_named():
    network = egru_graph({"input": 2, "a": 3}, [("input", "a", "input", 0), *OWN])
    with pytest.raises(ModelError, match="input to a: weights of float32 with events of int8: no sums for them"):
        check_network(Network((replace(network.populations[0], payload="int8"), network.populations[1])))
    layer = network.populations[1]
    first = layer.projections[0]
    whole = replace(first, weights=SparseRows.from_dense(np.ones(first.weights.shape, np.int8)))
    with pytest.raises(ModelError, match="input to a: port 'input' of neuron model 'egru' takes sums of float32; gets int32"):
        check_network(Network((
            replace(network.populations[0], payload="int8"), replace(layer, projections=(whole, layer.projections[1]))
        )))  # fmt: skip


def test_more_ticks_than_a_section_can_number_are_named():
    assert MOST_TICKS == MOST_PHASES
