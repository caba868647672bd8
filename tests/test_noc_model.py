"""The fast model of the network on chip against a flit-level simulation that shares no code with it.

Measured errors are in docs/costs.md, from `python -m bench.noc`; here bounds hold for recorded and made traffic.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.cost.cost_table import apply_settings, load_table
from host.cost.price import price_positions as price
from noc.chip import QPES, PeId, load_chip
from tests.tools.flit_simulation import message_sends, simulate
from tests.tools.ledgers import Fixed, cut, destinations, invented, paper_lm, placed, ran
from tests.tools.tiny import tiny_network

CHIP = load_chip()
HOP = CHIP.hop_cycles
MODES = ("messages=dma", "payload=events", "messages=qpe", "messages=multicast")


# ---- the simulation itself, by hand


def test_one_flit_takes_its_hops_and_a_cycle():
    a, b = PeId(0, 1, 1, 0), PeId(0, 3, 2, 1)
    done = simulate([(0, a, (b,))])
    assert done.cycles == 3 * HOP + 1
    assert done.got == {b: 1}
    assert done.crossed == {((1, 1), (2, 1)): 1, ((2, 1), (3, 1)): 1, ((3, 1), (3, 2)): 1}
    assert simulate([(7, a, (PeId(0, 1, 1, 3),))]).cycles == 8  # within a QPE, from cycle 7


def test_a_train_of_flits_is_pipelined():
    a, b = PeId(0, 1, 1, 0), PeId(0, 3, 1, 0)
    assert simulate([(0, a, (b,))] * 10).cycles == 2 * HOP + 10


def test_two_trains_share_a_link_in_turn():
    a, b, to = PeId(0, 1, 1, 0), PeId(0, 1, 1, 1), PeId(0, 2, 1, 0)
    assert simulate([(0, source, (to,)) for source in (a, b) for _ in range(5)]).cycles == HOP + 10


def test_the_head_of_an_input_holds_up_what_is_behind_it():
    """PE 0's first flit loses the link to PE 1's, so its second, for a free port, waits a cycle: at 1, 2 instead of 1."""
    a, b, far, near = PeId(0, 1, 1, 1), PeId(0, 1, 1, 0), PeId(0, 2, 1, 0), PeId(0, 1, 1, 2)
    alone = simulate([(0, a, (far,)), (0, a, (near,))])
    assert alone.cycles == HOP + 1
    done = simulate([(0, b, (far,)), (0, b, (far,)), (0, a, (far,)), (0, a, (near,))])
    assert done.cycles == HOP + 3
    assert done.got[near] == 1


def test_a_multicast_flit_crosses_each_link_once_and_reaches_all():
    source = PeId(0, 1, 1, 0)
    to = (PeId(0, 3, 1, 0), PeId(0, 3, 1, 1), PeId(0, 2, 1, 3), PeId(0, 2, 4, 0), PeId(0, 1, 1, 2))
    done = simulate([(0, source, to)])
    assert done.got == dict.fromkeys(to, 1)
    assert set(done.crossed.values()) == {1}
    assert len(done.crossed) == 2 + 3
    assert done.cycles == 4 * HOP + 1


PES = st.builds(lambda site, p: PeId(0, *site, p), st.sampled_from(QPES), st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), PES, st.lists(PES, min_size=1, max_size=6, unique=True).map(tuple)), max_size=40))
def test_nothing_is_lost_or_doubled(sends):
    done = simulate(sends)
    assert sum(done.got.values()) == sum(len(to) for _, _, to in sends)
    for pe, count in done.got.items():
        assert count == sum(pe in to for _, _, to in sends)
    for at, source, to in sends:
        assert done.cycles >= at + 1 + HOP * max(abs(source.x - pe.x) + abs(source.y - pe.y) for pe in to)


# ---- the fast model


def judged(ledger, mode, layer):
    """Return cycles (fast, simulated), and what no mesh can beat, for a layer's messages of the ledger's first position."""
    table = apply_settings(load_table(), [mode])[0]
    priced = price(ledger, CHIP, table)
    shards = np.flatnonzero(ledger.shards["population"] == layer)
    messages = [
        (ledger.pes[ledger.shards["pe"][s]], destinations(ledger, s), int(priced.traffic.flits[0, s])) for s in shards
    ]  # fmt: skip
    done = simulate(message_sends(messages, table.settings["messages"]), HOP)
    # The two count the same flits on the same links.
    have = {
        ((link.x, link.y), (link.to_x, link.to_y)): int(load)
        for link, load in zip(priced.traffic.links, priced.traffic.loads[0, layer - 1], strict=True)
        if load
    }
    assert have == done.crossed
    assert sum(done.got.values()) == int((priced.traffic.flits[0] * priced.traffic.copies)[shards].sum())
    busiest, farthest = int(priced.traffic.peak_flits(False)[0, layer - 1]), int(priced.traffic.farthest[layer])
    return priced.transit_s[0, layer - 1] * CHIP.noc_clock_hz, done.cycles, max(busiest, HOP * farthest + 1)


@pytest.fixture(scope="module")
def recorded():
    """One tick of a run of the tiny model on 68 PEs: a unit each."""
    events = [tuple(range(0, 20, 2)) for _ in range(4)]
    return cut(ran(placed(tiny_network(), 68), Fixed(events)).recorder.ledger(), [3])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_recorded_traffic(recorded, mode, layer):
    fast, simulated, least = judged(recorded, mode, layer)
    assert least <= simulated
    assert 0.7 <= fast / simulated <= 1.6


@pytest.mark.parametrize(
    ("mode", "activity", "least_ratio", "most_ratio"),
    [
        ("messages=dma", 0.2, 0.65, 1.0),  # heavy unicast: inputs block each other, which the fast model does not see
        ("payload=events", 0.02, 0.70, 1.0),
        ("messages=qpe", 0.2, 0.65, 1.0),
        ("messages=multicast", 0.02, 1.0, 1.5),  # light: hops and port are added up, though they overlap
        ("messages=multicast", 1.0, 1.0, 1.1),
    ],
)
def test_the_papers_last_layer(mode, activity, least_ratio, most_ratio):
    fast, simulated, least = judged(paper_lm(1, activity), mode, 3)
    assert least <= simulated
    assert least_ratio <= fast / simulated <= most_ratio


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 40), st.floats(0, 1), st.sampled_from(MODES), st.integers(0, 99))
def test_no_mesh_beats_the_busiest_link_or_the_farthest_hop(pes, activity, mode, seed):
    ledger = invented(placed(tiny_network(), max(pes, 3)), 1, activity, seed)
    fast, simulated, least = judged(ledger, mode, 1)
    assert least <= simulated
    assert 0.6 * simulated <= fast <= 2 * simulated + 1
