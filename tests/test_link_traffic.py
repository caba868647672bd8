"""Links between chips: every event walked link by link, seconds and joules by hand, and what must hold for any placement."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.cost.chip_streams import chip_streams
from host.cost.cost_table import apply_settings, load_table
from host.cost.cycles import LINKS
from host.cost.link_traffic import link_traffic, machine_for
from host.cost.link_trees import compiled_add_multicast, compiled_tree
from host.cost.price import price_positions as price
from host.cost.timeline import timeline
from host.show.perfetto import power_w
from noc.chip import QPES, PeId, load_chip
from noc.machine import Machine, MachineError
from noc.mesh_routes import path
from noc.multicast_tree import add_multicast, add_multicasts
from tests.tools.ledgers import destinations, invented, link_packets, placed, three_units
from tests.tools.tiny import tiny_network

CHIP, TABLE = load_chip(), load_table()
NAMES = tuple(TABLE.constants)
CENTRE = {True: (4, 3), False: (4, 4)}  # where rows 1 to 3 meet the event router, and the others


def priced(ledger, *sets):
    table, preset, numbers = apply_settings(TABLE, sets)
    return price(ledger, load_chip(preset or "spinnaker2", None, numbers), table)


def spread(ledger, pes, chips, down_chips=(), down_links=()):
    """Return the ledger with its PEs elsewhere."""
    return replace(ledger, pes=tuple(pes), chips=chips, down_chips=tuple(down_chips), down_links=tuple(down_links))


BASE = {form: invented(placed(tiny_network(), 12, form), 4, 0.3) for form in ("csr", "packed", "dense")}
SHARED = invented(placed(tiny_network(), 2), 4, 0.3)  # one PE holds two layers


@st.composite
def elsewhere(draw, most=7):
    """A ledger whose PEs are anywhere on up to `most` chips, some of which may be down."""
    ledger = draw(st.sampled_from([*BASE.values(), SHARED]))
    chips = draw(st.integers(2, most))
    down = draw(st.sets(st.integers(0, chips - 1), max_size=1))
    links = draw(st.lists(st.tuples(st.integers(0, chips - 1), st.integers(0, 5)), max_size=2))
    live = [chip for chip in range(chips) if chip not in down]
    try:
        Machine(chips, down, links)
    except MachineError:
        assume(False)
    places = st.builds(lambda chip, site, p: PeId(chip, *site, p), st.sampled_from(live), st.sampled_from(QPES), st.integers(0, 3))
    pes = draw(st.lists(places, min_size=len(ledger.pes), max_size=len(ledger.pes), unique=True))
    return spread(ledger, sorted(pes), chips, down, links)


def hearing(ledger, layer, host):
    """Return the chips where a layer (0: the input) is heard, walked shard by shard."""
    chips = {
        ledger.pes[pe].chip
        for pe, at in zip(ledger.shards["pe"].tolist(), ledger.shards["population"].tolist(), strict=True)
        if at in (layer, layer + 1)
    }
    return chips | {host} if layer == len(ledger.layers) else chips


def walked(ledger, machine):
    """Return copies of events on each link by (position, layer), event by event."""
    found = Counter()
    for position in range(ledger.positions):
        emitted = [(0, machine.host_chip, int(ledger.input_events[position, 0]))]
        for shard, (pe, layer) in enumerate(zip(ledger.shards["pe"].tolist(), ledger.shards["population"].tolist(), strict=True)):
            emitted.append((layer, ledger.pes[pe].chip, int(ledger.shard_events[position, shard])))
        for layer, source, events in emitted:
            for link in machine.multicast(source, hearing(ledger, layer, machine.host_chip) - {source}):
                found[position, layer, link] += events
    return found


@settings(max_examples=60, deadline=None)
@given(elsewhere())
def test_packets_event_by_event(ledger):
    machine = machine_for(ledger, CHIP)
    links, events = link_packets(ledger, machine)
    assert events.shape == (ledger.positions, len(ledger.layers) + 1, len(links))
    assert list(links) == sorted(links)
    have = {
        (position, layer, link): int(events[position, layer, number])
        for position, layer, number in np.argwhere(events)
        for link in (links[number],)
    }
    assert have == {key: count for key, count in walked(ledger, machine).items() if count}


@settings(max_examples=30, deadline=None)
@given(elsewhere())
def test_dones_are_one_a_stream_and_routes_are_as_deep_as_the_machine_says(ledger):
    machine = machine_for(ledger, CHIP)
    traffic = link_traffic(chip_streams(ledger, machine), machine)
    have = dict(zip(traffic.links, traffic.dones.T.tolist(), strict=True))
    wanted = Counter()
    for layer in range(len(ledger.layers) + 1):
        sources = {ledger.pes[pe].chip for pe in ledger.shards["pe"][ledger.shards["population"] == layer].tolist()}
        to = hearing(ledger, layer, machine.host_chip)
        deepest = 0
        for source in sources or {machine.host_chip}:
            for link in machine.multicast(source, to - {source}):
                wanted[link, layer] += 1
            deepest = max([deepest, *(len(machine.route(source, chip)) for chip in to)])
        assert traffic.deepest[layer] == deepest
    assert {(link, layer): n for link, by_layer in have.items() for layer, n in enumerate(by_layer) if n} == wanted
    assert not traffic.cables.any()


def test_on_one_chip_nothing_crosses_a_link_and_nothing_is_paid():
    for ledger in BASE.values():
        assert link_packets(ledger, Machine(1)) == ((), pytest.approx(np.zeros((4, 4, 0))))
        p = priced(ledger)
        assert p.links is None
        assert not p.links_s.any()
        assert LINKS not in p.energy_parts_j
        assert not [name for name in p.assumed if name.startswith("link")]
        assert all(list(stages) == list(p.stages) for stages in p.stages_s.values())


@settings(max_examples=30, deadline=None)
@given(elsewhere(), st.integers(2, 5))
def test_packets_grow_with_events_and_what_nobody_hears_goes_nowhere(ledger, factor):
    machine = machine_for(ledger, CHIP)
    links, events = link_packets(ledger, machine)
    more = replace(ledger, events=ledger.events * np.uint32(factor), input_events=ledger.input_events * np.uint32(factor))
    assert np.array_equal(link_packets(more, machine)[1], factor * events)
    into = {link.to for link in links}
    hear = set().union(*(hearing(ledger, layer, machine.host_chip) for layer in range(len(ledger.layers) + 1)))
    passed_on = {link.chip for link in links}
    assert into <= hear | passed_on  # a chip that hears nothing is only passed through


# ---- compiled trees are the machine's


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("chips", "down_chips", "down_links"),
    [(5, (), ()), (48, (), ()), (48, (0, 7, 30), ((3, 1), (12, 4), (20, 0))), (144, (5, 100), ((0, 0), (64, 2)))],
)
def test_compiled_trees_are_those_of_the_machine(chips, down_chips, down_links):
    machine = Machine(chips, down_chips, down_links)
    rng = np.random.default_rng(chips)
    cables = machine.cables
    amounts = rng.integers(0, 100, (chips, 3))
    for share in (0.02, 0.3, 1.0):
        wanted = rng.random(chips) < share
        wanted[list(down_chips)] = False
        sources = rng.choice(machine.live, min(12, len(machine.live)), replace=False)
        expected, deepest, most = np.zeros((chips, 6, 3), np.int64), 0, 0
        for source in sources.tolist():
            for link in machine.multicast(source, set(np.flatnonzero(wanted).tolist()) - {source}):
                expected[link.chip, link.direction] += amounts[source]
            for to in np.flatnonzero(wanted).tolist():
                route = machine.route(source, to)
                deepest, most = max(deepest, len(route)), max(most, sum(cables[link.chip, link.direction] for link in route))
        for tree_of, add in ((machine.tree, add_multicast), (partial(compiled_tree, machine), compiled_add_multicast)):
            loads = np.zeros((chips, 6, 3), np.int64)
            longest = add_multicasts(loads, tree_of, sources.tolist(), np.flatnonzero(wanted), amounts[sources], add)
            assert np.array_equal(loads, expected)
            assert longest == (deepest, most)


# ---- seconds and joules by hand: three units on three PEs, one of them on another chip


def three(chips=2):
    """Units 0 and 1 on chip 0, unit 2 on the chip that lies farthest; one position, with an event each of units 0 and 2."""
    ledger = invented(placed(three_units(), 3), 1, 0.0)
    ledger.events[0] = [1, 0, 1]
    pes = [PeId(0, 1, 1, 0), PeId(0, 1, 1, 1), PeId(chips - 1, 1, 1, 0)]
    return replace(spread(ledger, pes, chips), input_events=np.array([[2]], np.uint32))


FRAME_S, ROUTER_S = 16e-9, 17 / 400e6
Q = TABLE["transit_exposed_share"]
BLOCKED = 1 + TABLE["noc_blocking_flits"] / CHIP.noc_fifo_flits
TRANSIT_S = Q * 3 * 2 * BLOCKED / 300e6  # of three flits to PE 1 of `three()`
HIDDEN_S = ((7 + 18 + 18) - (25.5 + 7 + 18 + 18)) / 150e6 + 10 * 5 / 300e6 - TRANSIT_S
"""What a chip's packets for others of `three()` begin to be written and go on meshes, less what their sender works."""


def test_three_units_on_two_chips_by_hand():
    p = priced(three())
    names = {str(link): packets for link, packets in zip(p.link_traffic.links, p.link_traffic.packets[0].T.tolist(), strict=True)}
    # Input: 2 events and "done"; layer 1: each chip's event and "done". Both chips hear both.
    assert names == {"0>1": [3, 2], "1>0": [0, 2]}
    fill = 2 * ROUTER_S + FRAME_S
    # Two frames are over long before the sender is done: a share of them shows (q). What leaves the chip is written first (7 + 18
    # and 18 cycles), so the last of it has gone ten hops and its link while the sender still works for its own chip.
    shown_s = HIDDEN_S + fill + Q * 2 * FRAME_S
    assert p.links_s.tolist() == [[pytest.approx(shown_s)]]
    # On the far chip the input goes from the router at (4,3) to (1,1): five hops; its port is faster than the link.
    input_s = 3 * FRAME_S + fill + 5 * 5 / 300e6
    # Two PEs of the host's chip fetch two float32, and who sends them to the other chip; and the way from the nearer DRAM. Each
    # DRAM sends both PEs a flit: at most four one behind the other through a port's way, longer than the DRAM takes.
    ways = [min(len(path(name, dram, (1, 1))) for dram in ((7, 3), (7, 4))) for name in ("balanced", "nearest")]
    dram_s = p.wait_s[0, 0] - input_s
    assert 2 * 2 / 300e6 <= dram_s - sum(ways) / 2 * 5 / 300e6 <= 4 * 2 * BLOCKED / 300e6
    assert p.stages_s["units"]["wait"] == pytest.approx(dram_s)
    assert p.stages_s["units"][LINKS] == pytest.approx(shown_s + input_s)
    # PE 1 gets one flit of PE 0 and two packets from afar, each in two cycles, and heads of queues wait: while the sender works.
    assert p.transit_s[0, 0] == pytest.approx(TRANSIT_S)
    # Unit 0 sends one message on its chip (12 and 27 NoC cycles), writes its event for the other (7 + 18), and says "done" (18).
    assert p.shard_cycles[0, :, 3].tolist() == [25.5 + 7 + 18 + 18, 25.5 + 7, 7 + 18 + 18]
    assert p.energy_parts_j[LINKS] == pytest.approx((5 + 2) * 96 * 5e-12)
    assert p.energy_parts_j["floor"] == pytest.approx(2 * 0.0752 * p.time_s)
    assert p.energy_parts_j["sleep"] == pytest.approx(2 * 0.1602 * p.time_s)
    busy = (5 * FRAME_S) / p.time_s
    assert p.links == {
        "crossed": 2, "cables": 0, "packets": 7, "busiest": "0>1", "busiest_is_cable": False, "busiest_packets": 5,
        "busiest_bytes": 60.0, "busiest_utilisation": pytest.approx(busy), "longest_route_links": 1, "sources_walked": 1.0,
    }  # fmt: skip


def test_in_multicast_events_leave_the_core_once():
    p = priced(three(), "messages=multicast")
    # 7 + 18 a packet: the event and "done" for its own chip; its first PE says "done" to the other chip, once more.
    assert p.shard_cycles[0, :, 3].tolist() == [7 + 18 * 2 + 18, 7 + 18, 7 + 18 * 2 + 18]
    assert p.link_traffic.packets.sum() == 7


def test_prefetched_input_is_not_waited_for():
    p = priced(three(), "dram=prefetched")
    assert not p.wait_s.any()
    assert p.links["packets"] == 7


def test_a_board_between_others_pays_for_cables():
    """Chips 0 and 47 of a board of its own: how many links are cables is the machine's to say."""
    ledger, machine = three(48), Machine(48)
    p = priced(ledger)
    route = machine.route(0, 47)
    cables = sum(machine.is_cable(link.chip, link.direction) for link in route)
    assert cables
    cable_s = 96 * 10 / 8 / 2e9
    assert cable_s == pytest.approx(60e-9)
    there = (
        HIDDEN_S
        + Q * max(2 * cable_s, 2 * FRAME_S)
        + (len(route) + 1) * ROUTER_S
        + (len(route) - cables) * FRAME_S
        + cables * (cable_s + 5e-8)
    )
    assert p.links_s[0, 0] == pytest.approx(there)
    every = sum(machine.is_cable(link.chip, link.direction) for link in machine.links)
    packets = p.link_traffic.packets.sum(axis=(0, 1)).tolist()
    crossed = dict(zip(p.link_traffic.links, packets, strict=True))
    bits = sum(96 * n * (20 * 1.25 if machine.is_cable(link.chip, link.direction) else 5) for link, n in crossed.items())
    assert p.energy_parts_j[LINKS] == pytest.approx(bits * 1e-12 + every * 0.02 * p.time_s)
    assert p.links["busiest_is_cable"]


# ---- meshes: every flit of every copy, walked


def walk(a, b):
    """Return the steps from one site to another by the nearest table, the one that is drawn."""
    return [tuple(link) for link in path("nearest", a, b)]


def branches(a, sites):
    """Return the steps of the copies of one packet, one a branch: a copy is for what goes on together."""
    ways = {tuple(way[: n + 1]) for way in (walk(a, site) for site in sites) for n in range(len(way))}
    return [way[-1] for way in ways]


@pytest.mark.wide
@settings(max_examples=60, deadline=None)
@given(elsewhere(4), st.sampled_from(["messages=dma", "messages=packets", "messages=qpe", "messages=multicast", "payload=events"]))
def test_meshes_copy_by_copy(ledger, mode):
    p = priced(ledger, mode)
    machine, traffic, last = machine_for(ledger, CHIP), p.traffic, len(ledger.layers)
    received, copies = Counter(), 0
    for position in range(ledger.positions):
        for layer in range(last + 1):
            loads, out, into, streams = Counter(), Counter(), Counter(), Counter()
            if layer == 0:
                streams[machine.host_chip] = int(ledger.input_events[position, 0]) + 1
            hear = hearing(ledger, layer, machine.host_chip)
            for shard in np.flatnonzero(ledger.shards["population"] == layer):
                pe, events = ledger.pes[ledger.shards["pe"][shard]], int(ledger.shard_events[position, shard])
                size = 8 * events if mode == "payload=events" else 4 * int(ledger.shards["units"][shard])
                flits = events + 1 if mode == "messages=multicast" else max(1, -(-size // 16))
                everyone = destinations(ledger, shard)
                to = [other for other in everyone if other.chip == pe.chip]
                copies += events * len(everyone)
                sites = [(other.x, other.y) for other in to]
                if mode == "messages=multicast":
                    packets = [set(sites)]
                elif mode == "messages=qpe":
                    packets = [{site} for site in set(sites)]
                else:
                    packets = [{site} for site in sites]
                for packet in packets:
                    out[pe] += flits
                    for step in branches((pe.x, pe.y), packet):
                        loads[pe.chip, step] += flits
                for other in to:
                    into[other] += flits
                if hear - {pe.chip}:
                    first = pe.chip not in streams
                    streams[pe.chip] += events + first
                    branch = walk((pe.x, pe.y), CENTRE[pe.y <= 3])
                    known = {step for site in sites for step in walk((pe.x, pe.y), site)} if mode == "messages=multicast" else set()
                    out[pe] += first + (0 if mode == "messages=multicast" else events)
                    for step in branch:
                        loads[pe.chip, step] += first + (events if step not in known else 0)
            for chip in hear:
                came = sum(packets for source, packets in streams.items() if source != chip)
                listen = {
                    ledger.pes[pe]
                    for pe, at in zip(ledger.shards["pe"].tolist(), ledger.shards["population"].tolist(), strict=True)
                    if at in (layer, layer + 1) and ledger.pes[pe].chip == chip
                }
                for other in listen:
                    into[other] += came
                for upper, port in CENTRE.items():
                    for step in branches(port, {(other.x, other.y) for other in listen if (other.y <= 3) == upper}):
                        loads[chip, step] += came
            found = zip(traffic.link_chips.tolist(), traffic.links, traffic.all_loads[position, layer].tolist(), strict=True)
            assert {(chip, tuple(link)): load for chip, link, load in found if load} == {k: v for k, v in loads.items() if v}
            assert traffic.all_ports[position, layer] == max([*into.values(), 0])
            received += into
    assert p.pe_work["flits_received"].tolist() == [received[pe] for pe in ledger.pes]
    assert p.work["event_copies"] == copies


# ---- what must hold for any constants


@pytest.mark.wide
@settings(max_examples=60, deadline=None)
@given(elsewhere(), st.data())
def test_a_higher_constant_of_links_never_lowers_time_or_energy(ledger, data):
    sets = [
        f"schedule={data.draw(st.sampled_from(['sequential', 'pipelined']))}",
        f"dram={data.draw(st.sampled_from(['waited', 'prefetched']))}",
        f"messages={data.draw(st.sampled_from(['dma', 'qpe', 'multicast']))}",
    ]
    name = data.draw(st.sampled_from([*(name for name in NAMES if name.startswith("link_")), "packet_cycles"]))
    more = TABLE[name] * data.draw(st.floats(1, 5)) + 1
    before, after = priced(ledger, *sets), priced(ledger, *sets, f"{name}={more}")
    assert after.time_s >= before.time_s * (1 - 1e-12)
    assert after.energy_j >= before.energy_j * (1 - 1e-12)
    for one in (before, after):
        assert one.time_band_s[0] <= one.time_s <= one.time_band_s[1]
        assert one.energy_band_j[0] <= one.energy_j <= one.energy_band_j[1]
        assert one.power_band_w[0] <= one.power_w <= one.power_band_w[1]


@pytest.mark.wide
@settings(max_examples=40, deadline=None)
@given(elsewhere(), st.sampled_from(["sequential", "pipelined"]), st.sampled_from(["waited", "prefetched"]))
def test_stages_the_timeline_and_power_agree(ledger, schedule, dram):
    p = priced(ledger, f"schedule={schedule}", f"dram={dram}")
    line, eps = timeline(ledger, p), 1e-9 * p.time_s
    if schedule == "sequential":
        assert sum(sum(stages.values()) for stages in p.stages_s.values()) == pytest.approx(p.time_s)
        assert line.arrived_s[-1, -1] == pytest.approx(p.time_s)
    assert (line.began_s[1:] >= line.arrived_s[:-1] - eps).all()
    assert (line.began_s[:, 1:] >= line.arrived_s[:, :-1] - eps).all()
    assert line.arrived_s.max() <= p.time_s + eps
    starts, power = power_w(ledger, p, CHIP, TABLE)
    assert float((power * np.diff(starts, append=p.time_s)).sum()) == pytest.approx(p.energy_j)
    assert p.computation_s + p.communication_s <= sum(sum(s.values()) for s in p.stages_s.values()) + eps


def test_layers_side_by_side_share_links():
    """In tick t a link carries what layer l sent at position t - l, and the input of t where nobody waits for it."""
    pes = [PeId(n % 3, 1 + n // 4, 1, n % 4) for n in range(12)]
    ledger = spread(BASE["csr"], sorted(pes), 3)
    for dram, with_input in (("waited", False), ("prefetched", True)):
        # Where nothing is hidden links show all that they carry.
        p = priced(ledger, "schedule=pipelined", f"dram={dram}", "link_router_cycles=0", "transit_exposed_share=1")
        packets = p.link_traffic.packets
        for position in range(4):
            for layer in (1, 2, 3):
                tick = position + layer - 1
                on_links = sum(packets[tick - n + 1, n] for n in (1, 2, 3) if 0 <= tick - n + 1 < 4)
                on_links = on_links + (packets[tick, 0] if with_input and tick < 4 else 0)
                deep = p.link_traffic.deepest[layer]
                # What leaves the chip is written first, so its way to the last chip may lie within the sender's own time.
                frames = p.links_s[position, layer - 1] / FRAME_S
                assert on_links.max() - 1e-6 <= frames <= on_links.max() + deep + 1e-6


def test_the_machine_of_a_chip_with_more_down_takes_other_routes(tmp_path):
    ledger = three(4)
    file = tmp_path / "chip.toml"
    way = next(link.direction for link in Machine(4).route(0, 3))
    file.write_text(f"down_links = [[0, {way}]]")
    whole, less = (machine_for(ledger, chip).neighbours for chip in (CHIP, load_chip("spinnaker2", file)))
    assert (whole[0, way], less[0, way]) == (3, -1)
    file.write_text("down_links = [[0, 0], [0, 1], [0, 2]]")
    with pytest.raises(MachineError, match="no link leads there"):
        price(ledger, load_chip("spinnaker2", file), TABLE)


def test_assumptions_are_listed_where_links_are_used():
    used = priced(three()).assumed
    assert {name for name in NAMES if name.startswith("link_")} < set(used)
    assert {"packet_cycles", "packet_setup_cycles", "links=multicast"} < set(used)
    assert "link_bit_pj" not in priced(three(), "link_bit_pj=3").assumed
