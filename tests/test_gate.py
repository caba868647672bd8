"""EGRUs with their reset gates inside the recurrent product: two populations beside each other, one answer, and their price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.commands.paper import price_unrun
from host.cost.beside import early_ports, groups_of
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.price import price_at, price_positions
from host.cost.terms import terms_of
from host.errors import HostError
from host.mapping import even_phases
from host.mapping.dealing import deal_group, fewest_pes
from host.mapping.even_phases import deal_evenly
from host.mapping.placement import place
from host.mapping.request import Request, sram_size
from host.mapping.sharding import all_fit
from host.run.offline import record
from host.workloads.lm.options import Options
from host.workloads.lm.paper_gate import forms_of, gate_section, token_s, unrun
from host.workloads.lm.prepare import prepare
from host.workloads.paper_chapter import PaperPart
from models import shipped
from models.checkpoint import Model, load, save
from models.compute.exponentials import sigmoid_of
from models.kernels import egru_cell, egru_gate
from models.network import ModelError, Network, Population
from models.schedule import schedule
from models.seeded import seeded_egru
from noc.chip import load_chip
from tests.tools.egru_graphs import egru_graph, weights
from tests.tools.graph_runs import Noted, RandomInput, run_graph

CHIP = load_chip()
BEGINS = {"fresh": 0.1, "reset": 0.15}


def network(sizes=(7, 9, 6), inputs=5, seed=1, **params):
    """A line of layers, each of gates and cells."""
    rng, populations = np.random.default_rng(seed), [Population("input", inputs)]
    for units in sizes:
        source = len(populations) - 1
        populations += egru_cell.layer_of(
            len(populations), source, kernel=weights(rng, 3 * units, populations[source].units),
            recurrent=weights(rng, 3 * units, units), bias=rng.uniform(-0.3, 0.3, 3 * units).astype(np.float32),
            threshold=rng.uniform(0, 0.1, units).astype(np.float32), params=params,
        )  # fmt: skip
    return Network(tuple(populations))


# ---- the answer


@pytest.mark.wide
@pytest.mark.slow_but("1-csr", "3-packed")
@pytest.mark.parametrize("form", ["csr", "packed", "dense"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_one_answer_whatever_the_split(form, lanes):
    """Each run has the plain reference's bits and counts what it sends (`run_graph`); the hash is that of one PE."""
    net = network(zoneout=0.2)

    def answer(pes, chips=1, mapping="uniform", **how):
        placement = place(net, CHIP, mapping, form, pes, lanes, chips)
        run, _, _ = run_graph(placement, RandomInput(net, lanes, 18, idle=0.2 * (lanes > 1), **BEGINS), **how)
        assert all(run.counts.events(n) for n in net.layers)
        return run.events.report(), [run.counts.macs(n) for n in net.layers]

    whole = answer(1)
    assert answer(12, shuffle=3) == whole
    assert answer(9, chips=3, mapping="balanced", late=lambda tick: tick % 3 == 1) == whole
    assert answer(7, shuffle=1, losses=[60, 100]) == whole


def test_a_gate_sends_r_y_rounded_once_and_nothing_where_that_is_zero():
    """Units with and without a y, and one whose r underflows; r is the kernel's own sigmoid, the product one rounding."""
    x = np.array([[0.5, 3.0, -200.0, -1.0]], np.float32)
    y, h, bias = np.array([[0.25, 0.0, 0.7, 1e-3]], np.float32), np.full((1, 4), 0.125, np.float32), np.full(4, -0.5, np.float32)
    mem = {
        "input.sums": x, "recurrent.sums": h, "own.sums": y, "bias": bias, "units": np.array([2, 5, 6, 9], np.uint32),
        "counts": np.zeros(2, np.uint32), "send_keys": np.zeros(4, np.uint32), "send_values": np.zeros(4, np.float32),
    }  # fmt: skip
    r = np.empty(4, np.float32)
    sigmoid_of((x[0] + h[0]) + bias, r)
    assert egru_gate.stepper(mem, 10, {}).step() == 2
    assert mem["send_keys"][:2].tolist() == [2, 9]
    assert mem["send_values"][:2].tobytes() == (r * y[0])[[0, 3]].tobytes()
    assert mem["counts"].tolist() == [4, 4]


def test_it_takes_two_ticks_a_position():
    times = schedule(network())
    assert times.interval == 2
    assert times.starts == (0, 1, 2, 3, 4, 5, 6)


# ---- beside each other


@pytest.mark.few(5)
@pytest.mark.parametrize("mapping", ["uniform", "balanced", "clustered"])
@pytest.mark.parametrize("pes", [1, 2, 3, 10])
def test_every_mapping_puts_both_of_a_unit_on_the_same_pe(mapping, pes):
    net = network()
    placement = place(net, CHIP, mapping, "packed", pes, chips=2 if pes > 3 else 1)
    for placed in placement.pes:
        units = {part.population: part.units.tolist() for part in placed.share}
        for gates, cells in net.groups:
            assert units.get(gates) == units.get(cells)
    for number in net.layers:
        dealt = np.concatenate([part.units for placed in placement.pes for part in placed.share if part.population == number])
        assert sorted(dealt.tolist()) == list(range(net.populations[number].units))


def test_phases_are_even_each_on_its_own():
    """Units whose phases are uneven against each other: the sum over all phases being even would not do."""
    rng = np.random.default_rng(1)
    work = np.stack([rng.integers(20, 60, 270), rng.integers(100, 300, 270), rng.integers(5, 90, 270)])
    hands = deal_evenly(work, 10, even=True)
    assert sorted(unit for hand in hands for unit in hand) == list(range(270))
    assert {len(hand) for hand in hands} == {27}
    sums = np.stack([work[:, hand].sum(axis=1) for hand in hands], axis=1)
    assert (sums.max(axis=1) / sums.mean(axis=1) < 1.02).all()
    uneven = deal_evenly(work, 8, even=True)
    assert {len(hand) for hand in uneven} == {33, 34}


def test_an_exchange_is_the_best_of_all(monkeypatch):
    """The first of equals, with the lightest PE, however many are compared at once."""
    rng = np.random.default_rng(4)
    loads = rng.integers(1, 9, (2, 31)).astype(float)
    hands = [list(hand) for hand in np.array_split(rng.permutation(31), 5)]
    sums = np.stack([loads[:, hand].sum(axis=1) for hand in hands])
    worst = int(np.argmax(sums.max(axis=1)))
    least, best = sums[worst].max(), None
    for other in np.argsort(sums.max(axis=1), kind="stable"):
        for given, got in np.ndindex(len(hands[worst]), len(hands[other]) * (other != worst)):
            moved = loads[:, hands[other][got]] - loads[:, hands[worst][given]]
            height = max((sums[worst] + moved).max(), (sums[other] - moved).max())
            if height < least:
                least, best = height, (given, int(other), got)
    assert best is not None
    for at_once in (1, 100, 10_000):
        monkeypatch.setattr(even_phases, "_AT_ONCE", at_once)
        assert even_phases._best_exchange(loads, hands, sums, worst) == best


@pytest.mark.parametrize("form", ["csr", "packed"])
def test_the_fewest_pes_of_layers_beside_each_other_are_found_by_few_exchanges(monkeypatch, form):
    """Deals that are exchanged take a hundred times as long as first ones: two or three are looked at."""
    exchanged, exchange = [], even_phases._exchange
    monkeypatch.setattr(even_phases, "_exchange", lambda loads, hands: (exchanged.append(len(hands)), exchange(loads, hands)))
    net = network((50,))
    chip = replace(CHIP, sram_bytes=8192, bank_bytes=2048, program_bytes=512, debug_bytes=128)
    request = Request(format=form, lanes=1, size=sram_size(chip), available=148)
    for group in net.groups:
        exchanged.clear()
        fewest = fewest_pes(net, request, group, even=True)
        assert 1 <= len(exchanged) <= 3
        assert all_fit(net, request, deal_group(net, group, fewest, even=True))
        assert not all_fit(net, request, deal_group(net, group, fewest - 1, even=True))


BESIDE = {
    "nothing": (9, "needs another layer"),
    "itself": (2, "needs another layer"),
    "an input": (0, "needs another layer"),
    "another size": (3, "needs as many"),
}


@pytest.mark.parametrize("what", BESIDE)
def test_a_layer_lies_beside_another_of_its_size(what):
    net, (beside, says) = network((5, 6)), BESIDE[what]
    populations = list(net.populations)
    populations[2] = replace(populations[2], beside=beside)
    with pytest.raises(ModelError, match=says):
        place(Network(tuple(populations)), CHIP, "uniform", "csr", None)


def test_nothing_lies_beside_what_lies_beside_another():
    net = network((5, 5))
    populations = list(net.populations)
    populations[3] = replace(populations[3], beside=2)
    with pytest.raises(ModelError, match="needs to lie beside gate1 too"):
        place(Network(tuple(populations)), CHIP, "uniform", "csr", None)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, np.nan])
def test_thresholds_beyond_their_range_are_refused(threshold):
    net = network((4,))
    cells = net.populations[2]
    vectors = {**cells.vectors, "threshold": np.full(4, threshold, np.float32)}
    with pytest.raises(ModelError, match="needs 0 to 1"):
        place(Network((*net.populations[:2], replace(cells, vectors=vectors))), CHIP, "uniform", "csr", None)


@pytest.mark.wide
def test_products_made_as_sections_come_share_one_vector():
    """At the paper's sizes `csr` holds three vectors of 1350 floats otherwise, and does not fit 50 PEs a layer."""
    net = seeded_egru(inside=True)
    placement = place(net, CHIP, "uniform", "csr", 150, quick=True)
    names = [region.name for region in placement.pes[60].regions]
    assert names.count("heard") == 1
    assert not [name for name in names if name.endswith(".vector")]
    assert placement.worst()["free"] > 0


# ---- the file


def test_a_checkpoint_says_where_the_gate_is_and_who_lies_beside_whom(tmp_path):
    path = tmp_path / "inside.safetensors"
    save(path, Model(network()))
    text = path.read_bytes()
    assert b'\\"reset_gate\\": \\"inside the recurrent product\\"' in text
    back = load(path).network
    assert [one.beside for one in back.populations] == [None, None, 1, None, 3, None, 5]
    assert back.groups == ((1, 2), (3, 4), (5, 6))
    path.write_bytes(text.replace(b"inside the recurrent product", b"outside the recurrent pr.duct"[:28]))
    with pytest.raises(ModelError, match="conventions"):
        load(path)


def test_files_without_layers_beside_each_other_say_nothing_of_it(tmp_path):
    path = tmp_path / "graph.safetensors"
    save(path, Model(egru_graph({"input": 2, "a": 3}, [("input", "a", "input", 0), ("a", "a", "recurrent", 2)])))
    assert b"beside" not in path.read_bytes()


@pytest.mark.wide
def test_the_shipped_model_has_its_trainers_perplexity():
    """Over the first 70 tokens of its test text, to four digits."""
    model = load(shipped.path_of("tiny-inside"))
    (figure,) = (one["perplexity"] for one in model.provenance["first_tokens"] if one["state"] == model.state)
    job = prepare(Options(gate="inside", tokens=70, pes=3))
    record(job.placement, job.source, job.readout)
    assert f"{job.readout.perplexity():.4g}" == f"{figure:.4g}"
    assert model.provenance["settings"]["gate"] == "inside"


@pytest.mark.parametrize(("checkpoint", "gate"), [("tiny", "inside"), ("tiny-inside", "after")])
def test_one_form_is_not_run_as_the_other(checkpoint, gate):
    with pytest.raises(HostError, match=f"--gate {gate}: .*: its reset gate is (after|inside) the product"):
        prepare(Options(checkpoint=checkpoint, gate=gate))


# ---- the price


def recorded(net, pes, positions=5, mapping="uniform"):
    placement = place(net, CHIP, mapping, "csr", pes)
    return record(placement, RandomInput(net, 1, positions, active=1.0), Noted()).ledger(placement)


def test_two_exchanges_cost_what_their_messages_cost():
    """Against the other form of the same matrices: as many products, and per layer one more message from each PE to each other."""
    after, inside = (recorded(seeded_egru(40, (60, 60), 0.2, inside=form), 8) for form in (False, True))
    works = [price_at(ledger).work for ledger in (after, inside)]
    extra = works[1]["messages_sent"] - works[0]["messages_sent"]
    assert extra == 5 * 2 * 4 * 3  # positions, layers, PEs of a layer, others
    assert works[1]["units"] == 2 * works[0]["units"]
    assert works[1]["exponentials"] == works[0]["exponentials"]


def test_sending_first_is_never_slower_and_hides_what_is_under_way():
    ledger = recorded(seeded_egru(60, (120, 90), 0.3, inside=True), 10)
    first, last = (price_positions(ledger, *terms_of(ledger, [f"beside={order}"])) for order in ("send_first", "work_first"))
    assert first.time_s < last.time_s
    assert first.work == last.work
    for priced in (first, last):
        assert sum(map(sum, (stages.values() for stages in priced.stages_s.values()))) == pytest.approx(priced.time_s)
    np.testing.assert_allclose(first.busy_s, last.busy_s)
    assert first.transit_s[:, 0].max() == 0  # that of the first layer's gates, behind which its cells have work enough
    assert last.transit_s[:, 0].min() > 0


def test_sending_first_takes_as_long_as_its_slowest_chain():
    """By hand, of each PE: gates, then what it can do, then what waits for the last message of all gates."""
    ledger = recorded(seeded_egru(30, (40,), 0.5, inside=True), 4, positions=3)
    priced = price_positions(ledger, *terms_of(ledger, ["dram=prefetched"]))
    whole = price_positions(ledger, *terms_of(ledger, ["dram=prefetched", "beside=work_first"]))
    seconds = priced.shard_cycles.sum(axis=2) / priced.settings["clock_hz"]
    (gates, cells), turn_of = groups_of(ledger)[0], ledger.shards["population"][ledger.turns.shard]
    g, c = seconds[:, turn_of == gates], seconds[:, turn_of == cells]
    shifted = whole.shard_cycles.sum(axis=2) / priced.settings["clock_hz"]
    early = c - shifted[:, turn_of == cells]
    travel = whole.transit_s
    arrived = g.max(axis=1) + travel[:, 0]
    ends = np.maximum(g + early, arrived[:, None]) + (c - early)
    assert priced.time_s == pytest.approx((ends.max(axis=1) + travel[:, 1]).sum())
    assert early_ports(ledger).sum() == 2 * 4  # input and recurrent of each PE's cells


def test_a_ledger_says_who_lies_beside_whom(tmp_path):
    ledger = recorded(network(), 6)
    save_ledger(ledger, tmp_path)
    back = load_ledger(tmp_path)
    assert [one.beside for one in back.populations] == [-1, -1, 1, -1, 3, -1, 5]
    assert price_at(back).time_s == price_at(ledger).time_s


@pytest.mark.few(1)
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_recording_has_the_ledger_of_a_run(lanes):
    """Products are made as sections come: none of what a sequence has not heard yet, in either."""
    net = network()
    placement = place(net, CHIP, "uniform", "csr", 6, lanes)
    source = {"lanes": lanes, "positions": 12, "idle": 0.2 * (lanes > 1), **BEGINS}
    run, _, _ = run_graph(placement, RandomInput(net, **source))
    ledger, again = run.recorder.ledger(), record(placement, RandomInput(net, **source), Noted()).ledger(placement)
    np.testing.assert_array_equal(again.events, ledger.events)
    np.testing.assert_array_equal(again.port_counts, ledger.port_counts)
    assert price_at(again).time_s == price_at(ledger).time_s


@pytest.mark.wide
def test_the_paper_has_table_2_of_both_forms():
    """Of any line of EGRUs: the same matrices, and one exchange a layer more."""
    options = Options(tokens=3, pes=12)
    part = PaperPart(1, {}, lambda *_: None, unrun(seeded_egru(60, (120, 80), 0.3), options))
    forms = forms_of(price_unrun(part))
    assert token_s(forms.first) < token_s(forms.naive)
    assert forms.first.work == forms.naive.work
    section = gate_section(forms, forms.first, forms.after)
    assert "inside, r first" in section.table
    assert "{" not in section.text
    assert forms.first.work["messages_sent"] - forms.after.work["messages_sent"] == 3 * 2 * 6 * 5
