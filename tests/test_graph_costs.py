"""What any graph costs: exact ledgers, offline too; who hears whom; each position and tick is paid for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html import escape

import numpy as np
import pytest

from host.cost import twins
from host.cost.chip_streams import listeners
from host.cost.cost_table import apply_settings, load_table
from host.cost.cycles import all_stages
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.link_traffic import machine_for
from host.cost.machine_traffic import machine_traffic
from host.cost.neurobench import neurobench_metrics
from host.cost.price import price_positions as price
from host.cost.priced import price_block
from host.cost.timeline import timeline
from host.errors import HostError
from host.mapping.placement import place
from host.run.offline import record
from host.show.content import Content, PricedRun
from host.show.page import html
from host.show.perfetto import power_w, write_trace
from host.show.words import name_of
from host.workloads.contract import Feed, Source
from host.workloads.lane_sets import pack_lanes
from models.network import ModelError
from models.numerics import PAYLOADS
from models.schedule import schedule
from models.tuned_activity import at_activity
from noc.chip import load_chip
from noc.resumable_line import HEAD_BYTES
from tests.tools.egru_graphs import egru_graph
from tests.tools.graphs import Layer, graph, with_members
from tests.tools.ledgers import Ignored, destinations, ran

CHIP, TABLE = load_chip(), load_table()
FORMS = ("csr", "packed", "dense")


@pytest.fixture(scope="module", autouse=True)
def members():
    with with_members():
        yield


class Episodes(Source):
    """Random events of every input; sequences begin and lanes are idle at random, after the first position."""

    def __init__(self, network, lanes, positions=12, seed=1):
        self._network, self._lanes, self.positions, self._rng = network, lanes, positions, np.random.default_rng(seed)

    def feed_at(self, position):
        rng, lanes = self._rng, self._lanes
        begin, reset, idle = (rng.random(lanes) < share for share in (0.2, 0.2, 0.25))
        if position == 0:
            begin, idle = np.ones(lanes, bool), np.zeros(lanes, bool)
        flags, packed = pack_lanes(begin & ~idle, reset & ~idle, idle)
        events = {}
        for number in self._network.inputs:
            one = self._network.populations[number]
            if one.name.endswith(("@1", "@2")):
                continue  # fed late, by the host
            dtype = PAYLOADS[one.payload] or "|u1"
            sent = (rng.random((lanes, one.units)) < 0.4) & ~idle[:, None]
            numbers = (
                rng.integers(1, 90, sent.shape).astype(dtype) if dtype != "<f4" else rng.normal(0, 1, sent.shape).astype(dtype)
            )
            keys = np.flatnonzero(sent.reshape(-1)).astype("<u4")
            events[number] = keys.tobytes(), numbers.reshape(-1)[keys].tobytes() if PAYLOADS[one.payload] else b""
        return Feed(position, flags, events, packed)


def skips():
    edges = [
        ("input", "a", "input", 0), ("a", "a", "recurrent", 1), ("a", "b", "input", 0), ("input", "b", "input", 0),
        ("b", "b", "recurrent", 1), ("b", "c", "input", 0), ("a", "c", "input", 0), ("input", "c", "input", 0),
        ("c", "c", "recurrent", 2),
    ]  # fmt: skip
    return egru_graph({"input": 6, "a": 7, "b": 5, "c": 6}, edges)


def loop():
    edges = [
        ("input", "a", "input", 0), ("b", "a", "recurrent", 1), ("a", "b", "input", 0), ("a", "b", "recurrent", 2),
        ("b", "b", "recurrent", 1),
    ]  # fmt: skip
    return egru_graph({"input": 6, "a": 7, "b": 5}, edges)


def branches():
    edges = [
        ("left", "a", "input", 0), ("a", "a", "recurrent", 1), ("right", "b", "input", 0), ("left", "b", "input", 2),
        ("b", "b", "recurrent", 1), ("a", "c", "input", 0), ("b", "c", "recurrent", 0),
    ]  # fmt: skip
    return egru_graph({"left": 6, "right": 4, "a": 7, "b": 5, "c": 6}, edges, inputs=("left", "right"), outputs=("b", "c"))


def relu(hears, units=6):
    return Layer(units, "leaky", {"input": hears})


def ticks():
    return graph({
        "input": Layer(6), "a": relu([("input", 0), ("c", 1)]), "fs": Layer(5, "phaser", {"input": [("a", 0)]}),
        "c": relu([("fs", 0), ("a", 0)]),
    })  # fmt: skip


def numbers():
    return graph({
        "input": Layer(6, payload="int8"), "a": Layer(7, "grader", {"input": [("input", 0)]}),
        "b": Layer(6, "sampler", {"input": [("a", 0), ("b", 1)]}),
        "c": Layer(5, "grader", {"input": [("b", 0), ("a", 0)]}, payload="int32"),
    })  # fmt: skip


def spikes():
    return graph({
        "input": Layer(6, payload="spike"), "a": Layer(7, "integrator", {"input": [("input", 0), ("a", 1)]}, {"threshold": 20}),
        "b": Layer(6, "counter", {"input": [("a", 0)]}), "c": Layer(5, "integrator", {"input": [("b", 0), ("a", 1)]}),
    })  # fmt: skip


def traces():
    return graph({"input": Layer(6), "a": relu([("input", 0, 0.5)]), "b": relu([("a", 0)]), "c": relu([("b", 0), ("a", 0, 0.75)])})


GRAPHS = {
    "skips": skips,
    "loop": loop,
    "branches": branches,
    "ticks": ticks,
    "numbers": numbers,
    "spikes": spikes,
    "traces": traces,
}
RECORDED = [name for name in GRAPHS if name != "spikes"]


def placed(name, form="csr", pes=7, chips=1):
    """Return a placement of a graph for three lanes."""
    return place(GRAPHS[name](), CHIP, "balanced", form, pes, 3, chips, quick=True)


def recorded(name, form="csr", pes=7, chips=1):
    """Return a graph's placement and what a run of it recorded."""
    placement = placed(name, form, pes, chips)
    return placement, ran(placement, Episodes(placement.network, 3)).recorder.ledger()


@pytest.fixture(scope="module")
def ledgers():
    with with_members():
        return {name: recorded(name) for name in GRAPHS}


def priced(ledger, *sets):
    return price(ledger, CHIP, apply_settings(TABLE, sets)[0])


def same(one, other):
    for name in ("events", "input_events", "port_counts", "stepped"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for table in ("shards", "ports", "per_lane", "by_turn"):
        assert getattr(one, table).keys() == getattr(other, table).keys()
        assert all(np.array_equal(column, getattr(other, table)[name]) for name, column in getattr(one, table).items())
    assert (one.populations, one.outputs, one.interval, one.pes) == (other.populations, other.outputs, other.interval, other.pes)


# ---- offline, without processes


@pytest.mark.few(2)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RECORDED)
def test_offline_ledgers_are_those_of_a_run(name, form):
    placement = placed(name, form)
    run = ran(placement, Episodes(placement.network, 3))
    offline = record(placement, Episodes(placement.network, 3), Ignored())
    assert offline.sha256 == run.events.sha256()
    same(offline.ledger(placement), run.recorder.ledger())


def test_what_a_neuron_counts_by_activity_cannot_be_dealt_out():
    placement = placed("spikes")
    with pytest.raises(HostError, match=r"^recording: a counts resets by activity, which cannot be dealt out to PEs; run it$"):
        record(placement, Episodes(placement.network, 3), Ignored())


# ---- what a ledger holds


@pytest.mark.few(3)
@pytest.mark.parametrize("name", GRAPHS)
def test_a_ledger_comes_back_and_says_who_hears_whom(name, ledgers, tmp_path):
    placement, ledger = ledgers[name]
    save_ledger(ledger, tmp_path)
    same(load_ledger(tmp_path), ledger)
    network, times = placement.network, schedule(placement.network)
    assert [one.name for one in ledger.populations] == [one.name for one in network.populations]
    assert [(one.start, one.ticks) for one in ledger.populations] == list(zip(times.starts, times.ticks, strict=True))
    listens = listeners(ledger)
    for number, pe in enumerate(ledger.pes):
        hears = {
            source
            for shard in np.flatnonzero(ledger.shards["pe"] == number)
            for source in network.sources(ledger.shards["population"][shard])
        }
        assert set(np.flatnonzero(listens[number]).tolist()) == hears, pe


@pytest.mark.wide
def test_idle_lanes_do_not_step_and_are_not_counted(ledgers):
    for _, ledger in ledgers.values():
        assert ledger.stepped.min() < ledger.stepped.max() == 3
        assert (ledger.stepped == ledger.stepped[:, :1]).all()
        units = ledger.stepped.astype(np.int64) @ [ledger.populations[n].units * ledger.populations[n].ticks for n in ledger.layers]
        assert priced(ledger).work["units"] == units.sum()


def test_counts_by_activity_are_kept_by_position(ledgers):
    """An integrator resets where it spikes, a counter divides where it sends."""
    _, ledger = ledgers["spikes"]
    assert set(ledger.by_turn) == {"resets", "divisions"}
    of = {name: ledger.shards["population"] == ledger.layers[at] for at, name in enumerate("abc")}
    assert np.array_equal(ledger.by_turn["resets"][:, of["a"]], ledger.events[:, of["a"]])
    assert not ledger.by_turn["resets"][:, of["b"]].any()
    assert ledger.by_turn["divisions"][:, of["b"]].any()
    assert priced(ledger).work["resets"] == int(ledger.by_turn["resets"].sum())


def test_a_layer_of_several_ticks_has_as_many_turns(ledgers):
    _, ledger = ledgers["ticks"]
    fs = next(n for n, one in enumerate(ledger.populations) if one.name == "fs")
    assert (ledger.populations[fs].ticks, ledger.interval) == (4, 6)
    assert (ledger.exchanges.population == fs).sum() == 4
    p = priced(ledger)
    exchanges = np.flatnonzero(ledger.exchanges.population[ledger.exchanges.layers] == fs)
    assert len(exchanges) == 4
    assert (p.layer_s[:, exchanges] > 0).all()  # each is paid for: an empty message still is one
    assert p.stages_s["fs"]["broadcast"] > 4 * ledger.positions * 27 / 150e6


# ---- what they pay


def test_events_are_as_large_as_their_payload(ledgers):
    """A key of four bytes and the value's; without keys the values alone."""
    bytes_of = {"spikes": {"a": 4, "b": 6, "c": 4}, "numbers": {"a": 5, "b": 1, "c": 8}, "skips": {"a": 8, "b": 8, "c": 8}}
    for name, sizes in bytes_of.items():
        _, ledger = ledgers[name]
        p = priced(ledger, "payload=events")
        for turn, shard in enumerate(ledger.turns.shard.tolist()):
            population = ledger.populations[ledger.shards["population"][shard]]
            assert p.traffic.event_bytes[turn] == sizes[population.name]
            assert p.traffic.payload_bytes[turn] == sizes[population.name] * int(ledger.events[:, turn].sum())
    _, ledger = ledgers["numbers"]
    vectors = priced(ledger).traffic
    for turn, shard in enumerate(ledger.turns.shard.tolist()):
        units, payload = int(ledger.shards["units"][shard]), ledger.populations[ledger.shards["population"][shard]].payload
        assert vectors.payload_bytes[turn] == ledger.positions * 3 * units * {"int8": 1, "int32": 4}[payload]


@pytest.mark.few(4)
@pytest.mark.parametrize("mode", ["messages=dma", "messages=multicast", "payload=events"])
@pytest.mark.parametrize("name", ["skips", "branches", "ticks"])
def test_copies_are_those_of_a_walk_over_the_ports(name, mode, ledgers):
    _, ledger = ledgers[name]
    p, received = priced(ledger, mode), Counter()
    for turn, shard in enumerate(ledger.turns.shard.tolist()):
        to = destinations(ledger, shard)
        assert p.traffic.copies[turn] == len(to)
        for pe in to:
            received[pe] += int(p.traffic.flits[:, turn].sum())
    assert p.pe_work["flits_received"].tolist() == [received[pe] for pe in ledger.pes]


@pytest.mark.few(7)
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    "sets", [(), ("schedule=pipelined",), ("messages=multicast", "payload=events"), ("schedule=pipelined", "dram=prefetched")]
)
def test_stages_and_the_timeline_agree(name, sets, ledgers):
    _, ledger = ledgers[name]
    p = priced(ledger, *sets)
    line, eps = timeline(ledger, p), 1e-9 * p.time_s
    assert set(p.stages) <= set(all_stages())
    assert p.stages[-3:] == ("pointwise", "broadcast", "wait")
    assert (np.diff(line.edges_s, axis=2) >= -eps).all()
    assert max(line.edges_s.max(), line.arrived_s.max()) <= p.time_s + eps
    # A layer begins when all that it hears of the same position has arrived.
    population = ledger.exchanges.population[ledger.exchanges.layers].tolist()
    hears = set(
        zip(
            ledger.ports["source"].tolist(),
            ledger.shards["population"][ledger.ports["shard"]].tolist(),
            ledger.ports["delay"].tolist(),
            strict=True,
        )
    )
    for source, layer, delay in hears:
        if source in ledger.layers and delay < ledger.positions:
            sent = max(n for n, number in enumerate(population) if number == source)
            first = population.index(layer)
            assert (line.began_s[delay:, first] >= line.arrived_s[: ledger.positions - delay, sent] - eps).all()
    # A PE never does two things at once.
    turn_pe = ledger.shards["pe"][ledger.turns.shard]
    for pe in range(len(ledger.pes)):
        spans = line.edges_s[:, turn_pe == pe][:, :, [0, -1]].reshape(-1, 2)
        spans = spans[np.argsort(spans[:, 0], kind="stable")]
        assert (spans[1:, 0] >= spans[:-1, 1] - eps).all()
    starts, power = power_w(ledger, p, CHIP, apply_settings(TABLE, sets)[0])
    assert float((power * np.diff(starts, append=p.time_s)).sum()) == pytest.approx(p.energy_j)


def on_own_pes(ledger):
    """Return the ledger as if each shard had a PE of its own, so that layers meet only where one hears the other."""
    shards = len(ledger.shards["pe"])
    return replace(
        ledger,
        shards={**ledger.shards, "pe": np.arange(shards)},
        pes=tuple(ledger.pes[0]._replace(x=1 + n % 3, y=1 + n // 12, p=n // 3 % 4) for n in range(shards)),
    )


def test_one_after_another_a_position_takes_its_longest_path(ledgers):
    """Of a, b and then c the last begins when the later of the others is done; by brute force over paths."""
    ledger = on_own_pes(ledgers["branches"][1])
    p = priced(ledger)
    a, b, c = p.layer_s.T
    assert p.time_s == pytest.approx(float((np.maximum(a, b) + c).sum()))
    chain = on_own_pes(ledgers["skips"][1])
    q = priced(chain)
    assert q.time_s == pytest.approx(float(q.layer_s.sum()))
    assert sum(sum(stages.values()) for stages in q.stages_s.values()) == pytest.approx(q.time_s)


def test_side_by_side_a_position_takes_as_many_ticks_as_the_schedule_says(ledgers):
    """Two layers of which each hears the other take two ticks a position: in each of them one of the layers works."""
    ledger = on_own_pes(ledgers["loop"][1])
    assert ledger.interval == 2
    p = priced(ledger, "schedule=pipelined", "dram=prefetched")
    assert p.time_s == pytest.approx(float(p.layer_s.sum()), rel=1e-9)


def test_inputs_are_waited_for_by_those_that_hear_them(ledgers):
    _, ledger = ledgers["branches"]
    p = priced(ledger)
    waits = {name: stages["wait"] for name, stages in p.stages_s.items()}
    assert waits["c"] == 0
    assert waits["a"] > 0
    assert waits["b"] > waits["a"] * 6 / 20  # it hears `right`, and `left` two positions late
    read = sum(
        3 * 4 * ledger.populations[source].units * ledger.positions
        for source in ledger.inputs for shard in set(ledger.ports["shard"][ledger.ports["source"] == source].tolist())
    )  # fmt: skip
    assert p.work["dram_read_bytes"] == read


@pytest.mark.few(1)
@pytest.mark.parametrize("form", FORMS)
def test_loops_over_int8_weights_are_counted_for_themselves(form):
    _, ledger = recorded("numbers", form)
    before = priced(ledger)
    assert set(ledger.ports["weight_bytes"].tolist()) == {1}
    name = {"csr": "csr_weight_cycles", "packed": "packed_weight_cycles", "dense": "dense_weight_cycles"}[form]
    assert priced(ledger, f"{name}=99").time_s == before.time_s
    assert priced(ledger, f"int8_{name}=99").time_s > before.time_s
    sets = ("int8_csr_weight_cycles=0", "csr_row_cycles=0", "port_sum_cycles=0", "branch_refill_cycles=1")
    if form == "csr":  # one cycle a weight visited, the branch's refill, and one a row that is added up
        p, work = priced(ledger, *sets), ledger.port_work
        sums = int((work.adds * work.rows * work.lanes).sum())
        assert p.shard_cycles[:, :, 0].sum() == int(work.visited.sum()) + sums


def test_sums_that_are_added_up_cost_what_the_table_says(ledgers):
    """Ports that share their sums, and those that hold several positions."""
    _, ledger = ledgers["skips"]
    assert ledger.ports["adds"].any()
    assert not ledger.ports["adds"].all()
    none = replace(ledger, ports={**ledger.ports, "adds": np.zeros_like(ledger.ports["adds"])})
    more = priced(ledger).shard_cycles.sum() - priced(none).shard_cycles.sum()
    assert more == (10 + 1) * int((ledger.port_work.adds * ledger.port_work.rows * ledger.port_work.lanes).sum())


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["branches", "ticks", "spikes", "numbers"])
def test_several_chips(name, tmp_path):
    placement, ledger = recorded(name, pes=9, chips=3)
    assert len(set(ledger.chip_of.tolist())) == 3
    p = priced(ledger)
    assert p.links["packets"] > 0
    save_ledger(ledger, tmp_path)
    again = load_ledger(tmp_path)
    assert price(again, CHIP, TABLE).work == p.work
    machine = machine_for(ledger, CHIP)
    assert machine_traffic(ledger, machine, [[0], [1], [2]]).token_bytes > 0
    write_trace(tmp_path / "t.gz", ledger, p, CHIP, TABLE, 5, {})
    if name == "numbers":
        return  # routers count the numbers of a section without keys, a price the packets that they fill
    counted = ran(placement, Episodes(placement.network, 3)).conservation()["links"]
    events = dict(zip(map(str, p.link_traffic.links), p.link_traffic.events.sum(axis=(0, 1)).tolist(), strict=True))
    assert {link: n for link, n in events.items() if n} == {link: n for link, n in counted.items() if n}


def test_between_machines_a_header_goes_to_who_waits_for_it_alone():
    """What the second chip hears of the first is late, so that its PEs step on the input's header: 20 bytes a position."""
    relu = {"kernel": "leaky", "params": {"decay": 0.0}, "vectors": {"threshold": 0.0}}
    network = graph({
        "in": Layer(6), "a": Layer(8, ports={"input": [("in", 0)]}, **relu), "b": Layer(8, ports={"input": [("a", 1)]}, **relu),
    })  # fmt: skip
    placement = place(network, CHIP, "uniform", "csr", 4, 1, 2)
    ledger = ran(placement, Episodes(network, 1)).recorder.ledger()
    traffic = machine_traffic(ledger, machine_for(ledger, CHIP), [[0], [1]])
    events = ledger.sent[:, 1].mean()
    assert traffic.by_pair["0>1"] == pytest.approx(8 * events + 20 + 20 + 8 + HEAD_BYTES)


# ---- NeuroBench


def test_products_with_spikes_are_accumulates(ledgers):
    placement, ledger = ledgers["spikes"]
    found = neurobench_metrics(placement.network, ledger, 0)
    runs = int(ledger.stepped[:, 0].sum())
    assert found["Executions"] == runs < 12 * 3
    by_source = Counter()
    for port, source in enumerate(ledger.ports["source"].tolist()):
        by_source[ledger.populations[source].payload] += int(ledger.port_counts[:, port, 0].sum())
    assert found["SynapticOperations"]["Effective_ACs"] == by_source["spike"] / runs > 0
    assert found["SynapticOperations"]["Effective_MACs"] == by_source["count"] / runs
    assert found["GateMACs"] == 0
    weights = [p.weights for n in placement.network.layers for p in placement.network.populations[n].projections]
    assert found["Footprint"] == sum(w.shape[0] * w.shape[1] for w in weights)  # a byte each
    silent = found["ActivationSparsityByLayer"]["a"]
    assert silent == 1 - int(ledger.sent[:, 1].sum()) / (7 * runs)


# ---- what tools say of any graph


def test_activity_is_set_of_lines_of_egrus_alone():
    with pytest.raises(ModelError, match=r"^activity: b is no layer of a line of EGRUs; only of those it can be set$"):
        at_activity(skips(), 0.2, np.ones((6, 6), np.float32))


@pytest.mark.slow
def test_the_page_shows_any_graph(ledgers):
    for placement, ledger in ledgers.values():
        p = priced(ledger)
        report = {"modelled": price_block(p, ledger), "neurobench": neurobench_metrics(placement.network, ledger, 0)}
        run = PricedRun(ledger, p, CHIP, TABLE)
        content = Content(name="graph", report=report, config={}, mapping=placement.table(), run=run)
        page = html(content)
        assert all(escape(name_of(stage, content.stages)) in page for stage in p.stages)
        assert all(name in page for name in ledger.layer_names)


def test_a_twin_brings_its_constants(monkeypatch, ledgers):
    """A neuron model's own constant can be set, counts as assumed where it is in use, and is of no other name."""
    _, ledger = ledgers["ticks"]
    entry = {"value": 1000, "unit": "cycle", "grade": "NF", "assumed": True, "source": "made up"}
    leaky = twins.twin("kernels", "leaky")
    monkeypatch.setattr(leaky, "CONSTANTS", {"leaky_event_cycles": entry}, raising=False)
    monkeypatch.setattr(leaky, "active_cycles", lambda counts, events, table: table["leaky_event_cycles"] * events, raising=False)
    table = load_table()
    p, free = (price(ledger, CHIP, one) for one in (table, apply_settings(table, ["leaky_event_cycles=0"])[0]))
    events = sum(int(ledger.sent[:, n].sum()) for n in ledger.layers if ledger.populations[n].kernel == "leaky")
    assert (p.shard_cycles - free.shard_cycles).sum() == pytest.approx(1000 * events)
    assert "leaky_event_cycles" in p.assumed
    assert "leaky_event_cycles" not in price(ledgers["skips"][1], CHIP, table).assumed
    monkeypatch.setattr(leaky, "CONSTANTS", {"value_bytes": entry})
    with pytest.raises(HostError, match=r"^cost twin kernel=leaky: constant 'value_bytes' is one of costs\.toml$"):
        load_table()
