"""What the host's run promises: one answer whatever happens on the way, accounts that balance or say what does not, and an
end with a name.
"""

import dataclasses
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.mapping import strategies
from host.mapping.placement import place
from host.run.run import TICKS_AT_ONCE
from models import formats
from noc.machine import Machine
from noc.packet import (
    HOST,
    VALID,
    Batch,
    Bundle,
    Fault,
    Hello,
    Letter,
    Loaded,
    Relay,
    Section,
    StallReport,
    Stopped,
    chip_of,
    router_name,
)
from noc.wire import encode
from tests.tools.grids import pairs
from tests.tools.linked import Starving, Watched
from tests.tools.run_bench import CHIP, NETWORK, PE, ROUTER, TEXT, Bench, evaluation, finished, generation

patient = settings(deadline=None, max_examples=15)
PLAIN = finished(Bench(evaluation(), pes=1).play())


# --- one answer -------------------------------------------------------------------------------------------------------


def test_every_position_is_fed_answered_and_scored():
    positions = TEXT.shape[1] - 1
    fed = [section for section in PLAIN.fed if section.flags & VALID]
    assert [section.position for section in fed] == list(range(positions))
    assert PLAIN.readout.result()["tokens"] == positions
    assert PLAIN.run.events.report()["positions"] == positions
    assert all(PLAIN.run.events.report()["by_layer"])


@pytest.mark.few(3)
@pytest.mark.parametrize("mapping", strategies.names())
@pytest.mark.parametrize("form", formats.names())
@pytest.mark.parametrize("pes", [1, 2, 5, 27])
def test_no_placement_or_format_changes_the_answer(mapping, form, pes):
    assert finished(Bench(evaluation(), pes, mapping, form).play()).answer == PLAIN.answer


@patient
@given(st.integers(0, 1 << 30), st.integers(1, 8))
def test_no_order_of_arrival_changes_the_answer(seed, pes):
    assert finished(Bench(evaluation(), pes, shuffle=seed).play()).answer == PLAIN.answer


@patient
@given(st.sets(st.integers(0, 30)), st.integers(0, 1 << 30) | st.none())
def test_bubbles_of_a_late_dram_change_no_answer(late, seed):
    bench = finished(Bench(evaluation(), shuffle=seed, late=late.__contains__).play())
    assert bench.answer == PLAIN.answer
    bubbles = [tick for tick, section in enumerate(bench.fed) if not section.flags & VALID]
    assert late & set(range(len(bench.fed))) <= set(bubbles)


def test_two_runs_are_alike():
    assert finished(Bench(evaluation()).play()).fed == finished(Bench(evaluation()).play()).fed


@pytest.mark.wide
@patient
@given(st.integers(1, 3), st.integers(1, 6))
def test_each_sequence_of_a_batch_is_as_if_alone(lanes, pes):
    batch, batch_totals, batch_scores = finished(Bench(evaluation(TEXT[:lanes]), pes).play()).answer
    alone = [finished(Bench(evaluation(TEXT[lane : lane + 1]), pes).play()).answer for lane in range(lanes)]
    assert batch["sequences"] == [events["sequences"][0] for events, _, _ in alone]
    assert len(set(batch["sequences"])) == lanes  # or the comparison would say little
    for name, totals in batch_totals.items():
        assert totals == sum(one[name] for _, one, _ in alone)
    assert batch_scores["tokens"] == sum(scores["tokens"] for _, _, scores in alone)
    # The same float64 terms in another order.
    assert batch_scores["cross_entropy_nats"] == pytest.approx(sum(scores["cross_entropy_nats"] for _, _, scores in alone))


def test_the_witness_sees_every_section_in_order():
    seen = []
    finished(Bench(evaluation(), witness=SimpleNamespace(see_input=lambda _: None, see_events=seen.append)).play())
    for layer in NETWORK.layers:
        mine = [section.position for section in seen if section.population == layer]
        assert mine == list(range(TEXT.shape[1] - 1))


# --- the window -------------------------------------------------------------------------------------------------------


@patient
@given(st.sets(st.integers(0, 20)), st.integers(0, 1 << 30) | st.none(), st.booleans())
def test_the_window_is_filled_and_never_exceeded(late, seed, generate):
    bench = finished(Bench(generation() if generate else evaluation(), shuffle=seed, late=late.__contains__).play())
    assert bench.run.window == len(NETWORK.layers) + TICKS_AT_ONCE
    assert max(bench.ahead) <= bench.run.window
    assert generate or max(bench.ahead) == bench.run.window  # a word waits for the one before it


def test_ticks_are_fed_together_and_enough_are_under_way_meanwhile():
    """Whatever comes back, the layers have their work until the next ones are sent."""
    bench = finished(Bench(evaluation(np.tile(TEXT[:1], 4))).play())
    ahead = np.array(bench.ahead)
    waited = np.flatnonzero(np.diff(ahead) <= 0) + 1  # the first batch after something came back
    sent = np.diff([0, *waited])
    assert sent[0] == bench.run.window
    assert len(sent) > 4
    assert set(sent[1:-3]) == {TICKS_AT_ONCE}  # at the end there are bubbles, one by one
    assert set(ahead[waited[:-3]] - 1) == {len(NETWORK.layers)}


def test_no_tick_is_in_flight_when_the_counters_are_asked_for():
    """The layers' last bundle is one that the host has sent nothing for: they run a tick ahead of it."""
    assert PLAIN.in_flight_at_the_end <= 0
    assert PLAIN.read == PLAIN.run.completed == len(PLAIN.fed) + 1


# --- generation -------------------------------------------------------------------------------------------------------


def test_a_seed_gives_a_text_and_another_seed_another():
    texts = {seed: finished(Bench(generation(seed)).play()).readout.result()["text"] for seed in range(4)}
    assert finished(Bench(generation(2), pes=2, shuffle=5).play()).readout.result()["text"] == texts[2]
    assert len(set(texts.values())) == 4


def test_the_likeliest_word_needs_no_seed():
    texts = {finished(Bench(generation(seed, temperature=0.0)).play()).readout.result()["text"] for seed in range(3)}
    assert len(texts) == 1


def test_a_prompt_is_continued_word_by_word():
    report = finished(Bench(generation(words=8)).play()).readout.result()
    assert len(report["generated"]) == 8
    assert report["text"].split()[:3] == ["3", "1", "4"]
    assert [int(word) for word in report["text"].split()[3:]] == report["generated"]
    assert report["tokens"] == 3 + 8 - 1  # the last word is not fed


def test_the_forbidden_word_is_never_chosen():
    likeliest = finished(Bench(generation(temperature=0.0)).play()).readout.result()["generated"][0]
    assert likeliest not in finished(Bench(generation(temperature=0.0, forbidden=likeliest)).play()).readout.result()["generated"]


def test_generated_words_are_fed_as_if_they_were_a_text():
    """The event stream of a generated text is that of the same text scored."""
    bench = finished(Bench(generation()).play())
    words = np.array([[3, 1, 4, *bench.readout.result()["generated"]]], np.uint32)
    assert finished(Bench(evaluation(words)).play()).run.events.report() == bench.run.events.report()


# --- an early end -----------------------------------------------------------------------------------------------------


@pytest.mark.few(3)
@pytest.mark.parametrize("answered", [0, 1, 5, 20])
@pytest.mark.parametrize("shuffle", [None, 7])
def test_an_interrupted_run_stops_early_and_balances(answered, shuffle):
    """What is on its way is answered: a window of ticks, and a position in each layer."""
    text = np.tile(TEXT[:1], 4)

    def interrupt(bench):
        bench.run.interrupted = bench.readout.result()["tokens"] >= answered

    bench = finished(Bench(evaluation(text), shuffle=shuffle, after=interrupt).play())
    tokens = bench.readout.result()["tokens"]
    assert answered <= tokens <= answered + bench.run.window + len(NETWORK.layers)
    if tokens:
        assert bench.answer == finished(Bench(evaluation(text[:, : tokens + 1])).play()).answer


def test_a_generation_can_be_interrupted():
    def interrupt(bench):
        bench.run.interrupted = bench.readout.result()["tokens"] >= 5

    assert 5 <= finished(Bench(generation(words=50), after=interrupt).play()).readout.result()["tokens"] < 10


def failed(bench, *words):
    """The run has ended with one line that holds all the words, and feeds nothing more."""
    assert bench.run.phase == "failed"
    for word in words:
        assert word in bench.run.fault
    assert len(bench.run.fault.splitlines()) == 1
    assert bench.run.pump() == []
    return bench


def at_tick(tick, sender, outgoing):
    """Return an `after` that lets `sender` say something once, when the host has read the bundle before `tick`."""
    said = []

    def say(bench):
        if bench.run.completed >= tick and not said:
            said.append(True)
            bench.network.post(sender, outgoing)

    return say


@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_fault_of_a_pe_ends_the_run_with_its_text(shuffle):
    """A bundle of a wrong tick is such a fault: the PE says so and does nothing more."""
    wrong = at_tick(4, ROUTER, [((PE,), Bundle(99, ()))])
    bench = failed(Bench(evaluation(), shuffle=shuffle, after=wrong).play(), PE, "bundle of tick 99")
    assert bench.readout.result()["tokens"] < TEXT.shape[1] - 1
    assert bench.stop().run.done  # all leave, the one at fault too


def test_a_fault_of_the_router_ends_the_run_with_its_text():
    twice = at_tick(3, PE, [((ROUTER,), Batch(0, (Section(1, 0, 0, b"", b"", b""),)))])
    assert failed(Bench(evaluation(), after=twice).play(), ROUTER, f"batch of {PE}").stop().run.done


def test_the_first_fault_counts():
    bench = Bench(evaluation()).play()
    for text in ("first", "second"):
        bench.run.handle(ROUTER, Letter(PE, encode(Fault(text))))
    assert bench.run.fault == "first"


def test_a_pe_that_does_not_fit_ends_the_run():
    """What the host's own judgement let through, the PE refuses again."""
    bench = Bench(evaluation())
    placement = bench.run.placement
    size = dataclasses.replace(placement.request.size, debug_bytes=98_000)
    bench.run.placement = dataclasses.replace(placement, request=dataclasses.replace(placement.request, size=size))
    failed(bench.play(), PE, "region", "B free of 98304 B")


def test_a_bundle_of_another_tick_ends_the_run():
    bench = Bench(evaluation()).play()
    bench.run.handle(ROUTER, Bundle(bench.run.completed + 1, ()))
    failed(bench, HOST, f"needs tick {bench.run.completed}")


@pytest.mark.parametrize("message", [Hello(1), Loaded([]), Stopped()], ids=str)
def test_a_pe_that_speaks_out_of_turn_ends_the_run(message):
    bench = Bench(evaluation(), after=at_tick(2, PE, [((ROUTER,), message)])).play()
    failed(bench, PE, type(message).__name__, "RUNNING")


# --- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        (ROUTER, Hello(1)),
        (ROUTER, Letter(PE, b"no message")),
        (ROUTER, Letter("PE(7,6,3)@0", encode(Hello(1)))),
        (ROUTER, Letter("", encode(Hello(1)))),
        (ROUTER, Batch(0, ())),
    ],
    ids=str,
)
def test_what_is_not_for_the_host_is_counted_and_changes_nothing(sender, message):
    bench = Bench(evaluation(), after=at_tick(3, ROUTER, [((HOST,), message)])).play()
    assert bench.run.malformed_here == 1
    assert finished(bench).answer == PLAIN.answer


def test_malformed_bytes_are_counted_by_endpoint_and_change_nothing():
    def noise(bench):
        if bench.run.completed == 3:
            bench.network.post(PE, [((ROUTER,), b"noise")])
            bench.network.post(ROUTER, [((PE,), b"noise"), ((HOST,), b"noise")])

    bench = finished(Bench(evaluation(), after=noise).play())
    assert bench.answer == PLAIN.answer
    assert bench.run.malformed_here > 0
    counts = bench.run.accounts.malformed()
    assert set(counts) == {PE, f"{ROUTER} from {PE}"}
    assert all(counts.values())


# --- who is missing ---------------------------------------------------------------------------------------------------


def test_query_names_the_pe_that_does_not_answer():
    bench = Bench(evaluation(), pes=3)
    silent = bench.pes[1]
    handle, heard = silent.handle, Counter()

    def deaf(sender, message):
        heard[type(message)] += 1
        return [] if heard[Bundle] > 2 else handle(sender, message)

    silent.handle, silent.answer_bytes = deaf, lambda raw: None
    bench.play()
    bench.post(bench.run.query())
    bench.network.run(bench.settle)
    assert bench.run.phase == "running"
    assert bench.run.overdue._missing == {ROUTER: StallReport(3, [silent.name])}
    assert bench.run.oldest_missing() == (3, [silent.name])


# --- conservation -----------------------------------------------------------------------------------------------------


def test_accounts_follow_from_events_and_placement():
    bench = finished(Bench(evaluation(), pes=5).play())
    accounts, placement = bench.run.conservation(), bench.run.placement
    events = {n: bench.run.counts.events(n) for n in NETWORK.layers}
    listeners = {n: len(placement.destinations(n)) for n in range(len(NETWORK.populations))}
    inputs = sum(len(section.keys) // 4 for section in bench.fed)
    assert accounts["sent"][HOST] == inputs * listeners[0]
    assert accounts["delivered"][HOST] == events[NETWORK.output]
    # Each event goes to every listener but the PE it comes from, which always listens to its own layer.
    between = sum(int(events[n]) * (listeners[n] - 1) for n in NETWORK.layers)
    assert sum(accounts["sent"].values()) - accounts["sent"][HOST] == between
    assert sum(accounts["sent"].values()) == sum(accounts["delivered"].values())
    assert not any(accounts["dropped"].values())


def test_one_pe_sends_only_its_output_and_nothing_between_pes():
    accounts = PLAIN.run.conservation()
    assert accounts["sent"][PE] == accounts["delivered"][HOST]
    assert accounts["delivered"][PE] == accounts["sent"][HOST]


def slots():
    """Return every (population, destination) of the routing table of five PEs that packets travel to."""
    placement = place(NETWORK, CHIP, "uniform", "csr", 5)
    pairs = [(n, name) for n in range(len(NETWORK.populations)) for name in placement.destinations(n)]
    return [(n, name) for n, name in pairs if placement.senders(n) != [name]]


def without(gone):
    """Return a change of configuration that takes these (population, destination) out of the routing table."""

    def change(told, chip):
        routes = [
            [key, mask, [name for name in names if (n, name) not in gone]] for n, (key, mask, names) in enumerate(told.routes)
        ]
        return told._replace(routes=routes)

    return change


@pytest.mark.few(6)
@pytest.mark.parametrize("slot", slots(), ids=str)
def test_a_destination_out_of_the_table_is_missed_and_named(slot):
    """The run goes on; what was dropped is counted, and the accounts say so."""
    population, gone = slot
    bench = Bench(evaluation(), pes=5, configure=without({slot})).play()
    assert (bench.run.phase, bench.run.fault) == ("read", None)
    accounts = bench.run.conservation()
    owners = bench.run.placement.senders(population)
    dropped = {name: n for name, n in accounts["dropped"].items() if n}
    assert dropped
    assert set(dropped) <= set(owners) - {gone}
    assert any(f"{sum(dropped.values())} packets were dropped" in line for line in accounts["wrong"])
    if gone != HOST:
        assert sum(accounts["sent"].values()) == sum(accounts["delivered"].values()) + sum(dropped.values())
        assert bench.answer != PLAIN.answer


@pytest.mark.parametrize("population", range(len(NETWORK.populations)))
def test_an_entry_out_of_the_table_is_missed_and_named(population):
    def change(told, chip):
        return told._replace(routes=[route for n, route in enumerate(told.routes) if n != population])

    bench = Bench(evaluation(), pes=5, configure=change).play()
    accounts = bench.run.conservation()
    assert sum(accounts["dropped"].values()) == sum(accounts["sent"][n] for n in accounts["dropped"] if accounts["dropped"][n])
    assert any("dropped for want of a routing entry" in line for line in accounts["wrong"])


@patient
@given(st.sets(st.sampled_from(slots()), min_size=1, max_size=6))
def test_whatever_is_taken_out_is_noticed(gone):
    bench = Bench(evaluation(), pes=5, configure=without(gone)).play()
    assert bench.run.phase == "read"
    assert bench.run.conservation()["wrong"]


def test_a_pe_out_of_the_table_for_its_own_layer_is_noticed():
    """Its own events are no packets, so the table decides nothing about them; or else their loss is counted."""
    bench = Bench(evaluation(), pes=1, configure=without({(2, PE)})).play()
    assert bench.answer == PLAIN.answer or bench.run.conservation()["wrong"]


@pytest.mark.parametrize("population", range(len(NETWORK.populations)))
def test_entries_that_swap_their_destinations_are_noticed(population):
    """As many destinations as before, but the wrong ones."""

    def change(told, chip):
        routes = [list(route) for route in told.routes]
        other = (population + 2) % len(routes)
        routes[population][2], routes[other][2] = routes[other][2], routes[population][2]
        return told._replace(routes=routes)

    assert Bench(evaluation(), pes=8, configure=change).play().run.conservation()["wrong"]


def test_a_packet_lost_at_a_pe_is_noticed():
    bench = Bench(evaluation())
    lossy = bench.pes[-1]
    hear = lossy._bundle

    def without_the_first(bundle):
        return hear(bundle._replace(sections=tuple(s._replace(keys=s.keys[4:], values=s.values[4:]) for s in bundle.sections)))

    lossy._bundle, lossy.answer_bytes = without_the_first, lambda raw: None
    bench.play()
    assert any(lossy.name in line for line in bench.run.conservation()["wrong"])


def test_a_pe_that_counts_wrongly_is_noticed():
    bench = Bench(evaluation())
    count = bench.pes[0]._counters
    bench.pes[0]._counters = lambda: {**count(), "packets_sent": count()["packets_sent"] + 1}
    bench.play()
    assert any(line.startswith(f"{bench.pes[0].name} sent") for line in bench.run.conservation()["wrong"])


def test_copies_for_nobody_are_noticed():
    """As many destinations as the network wants, one of them nobody's name."""

    def change(told, chip):
        routes = [[key, mask, ["PE(7,6,3)@0" if name == PE else name for name in names]] for key, mask, names in told.routes]
        return told._replace(routes=routes)

    accounts = Bench(evaluation(), configure=change).play().run.conservation()
    assert not sum(accounts["dropped"].values())
    assert any("is not delivered" in line for line in accounts["wrong"])


# --- several chips ----------------------------------------------------------------------------------------------------

ALONE = [PLAIN, *(finished(Bench(evaluation(TEXT[n : n + 1]), pes=1).play()) for n in (1, 2))]
WITHOUT = dataclasses.replace(CHIP, down_chips=frozenset({0, 3}), down_links=frozenset({(1, 0), (6, 3)}))


@pytest.mark.few(1)
@pytest.mark.parametrize(("mapping", "chips"), pairs(strategies.names(), [2, 3, 4, 8, 48]))
def test_no_number_of_chips_changes_the_answer(mapping, chips):
    assert finished(Bench(evaluation(), 24, mapping, chips=chips).play()).answer == PLAIN.answer


@pytest.mark.few(1)
@pytest.mark.parametrize("chips", [7, 8])
def test_chips_and_links_that_are_down_change_no_answer(chips):
    bench = finished(Bench(evaluation(), 24, chips=chips, chip=WITHOUT).play())
    assert {placed.pe.chip for placed in bench.run.placement.pes} == set(range(chips)) - {0, 3}
    assert bench.answer == PLAIN.answer


@pytest.mark.wide
@patient
@given(st.integers(0, 1 << 30), st.integers(2, 8), st.integers(8, 27), st.sets(st.integers(0, 20)), st.integers(0, 2))
def test_no_order_of_arrival_on_several_chips_changes_the_answer(seed, chips, pes, late, text):
    words = TEXT[text : text + 1]
    bench = finished(Bench(evaluation(words), pes, shuffle=seed, chips=chips, late=late.__contains__).play())
    assert bench.answer == ALONE[text].answer


def pairs(chips):
    """Every pair of endpoints that speak to each other, in one direction."""
    bench = Bench(evaluation(), chips=chips)
    links = [(str(link), (router_name(link.chip), router_name(link.to))) for link in bench.run.placement.machine.links]
    ends = [
        (f"{pe.name} {way}", pair)
        for pe in bench.pes
        for way, pair in (("in", (f"router@{chip_of(pe.name)}", pe.name)), ("out", (pe.name, f"router@{chip_of(pe.name)}")))
    ]
    return [pytest.param(pair, id=name) for name, pair in (*links, *ends)]


@pytest.mark.few(1)
@pytest.mark.slow_but("0>2", "1>0", "2>1", "3>0", "PE(1,1,0)@0 in", "PE(1,1,0)@1 out", "PE(1,1,0)@3 in")
@pytest.mark.parametrize("slow", pairs(4))
def test_whoever_comes_last_changes_no_answer_and_overruns_no_window(slow):
    """Everything of one link, or to or from one PE, comes when nothing else is left to come: the slowest that it can be."""
    assert finished(Bench(evaluation(), network=Watched(Starving(slow)), chips=4).play()).answer == PLAIN.answer
    assert finished(Bench(evaluation(), 27, network=Watched(Starving(slow)), chips=4).play()).answer == PLAIN.answer


@pytest.mark.few(1)
@pytest.mark.parametrize("link", Machine(8).links[::3], ids=str)
def test_counters_asked_for_over_a_faster_way_than_the_last_events_are_those_of_the_end(link):
    """The question comes by the host's tree, the events by their own; the last position of this text has events on every chip."""
    order = Starving((router_name(link.chip), router_name(link.to)))
    finished(Bench(evaluation(TEXT[1:2]), 24, network=Watched(order), chips=8).play())


@pytest.mark.wide
@patient
@given(st.integers(2, 8), st.sampled_from(sorted(strategies.names())), st.data())
def test_links_that_are_slower_than_all_else_change_no_answer(chips, mapping, data):
    machine, text = Machine(chips), data.draw(st.integers(0, 2))
    slow = data.draw(st.lists(st.sampled_from(machine.links), min_size=1, max_size=4, unique=True))
    order = Starving(*((router_name(link.chip), router_name(link.to)) for link in slow))
    bench = finished(Bench(evaluation(TEXT[text : text + 1]), 24, mapping, network=Watched(order), chips=chips).play())
    assert bench.answer == ALONE[text].answer


@pytest.mark.few(1)
@pytest.mark.parametrize("chips", [1, 2, 4, 8])
def test_link_counters_follow_from_events_and_placement(chips):
    """Each event crosses each link of its chip's multicast tree once, whoever listens beyond; the tap costs no packet."""
    bench = finished(Bench(evaluation(), 27, chips=chips, network=Watched()).play())
    placement = bench.run.placement
    machine = placement.machine
    expected = {str(link): 0 for link in machine.links}
    for (name, population), events in bench.network.emitted.items():
        to = {chip_in(machine, other) for other in placement.destinations(population)}
        for link in machine.multicast(chip_in(machine, name), to):
            expected[str(link)] += events
    assert bench.run.conservation()["links"] == expected
    assert any(expected.values()) == (chips > 1)


def chip_in(machine, name):
    return machine.host_chip if name == HOST else chip_of(name)


@pytest.mark.slow_but("2")
@pytest.mark.parametrize("chips", [2, 8])
def test_ledgers_of_several_chips_are_each_pes_own(chips):
    """They come to the host chip by chip; each count must be that of the PE that the mapping says."""
    bench = finished(Bench(evaluation(), 27, chips=chips, network=Watched()).play())
    ledger, placement = bench.run.recorder.ledger(), bench.run.placement
    for shard, number in enumerate(ledger.shards["pe"]):
        key = str(ledger.pes[number]), int(ledger.shards["population"][shard])
        assert ledger.events[:, shard].sum() == bench.network.emitted[key]
    assert [str(pe) for pe in ledger.pes] == [placed.name for placed in placement.pes]


@pytest.mark.wide
@patient
@given(st.integers(2, 6), st.integers(0, 1 << 30), st.data())
def test_whatever_is_taken_out_of_any_chips_table_is_noticed_with_the_number(chips, seed, data):
    """A link's name or an endpoint's, at the first chip, on the way or at the last: what is lost is what did not arrive."""
    placement = place(NETWORK, CHIP, "uniform", "csr", 24, 1, chips)
    entries = [
        (chip, entry, name)
        for chip, told in placement.configure(1).items()
        for entry, (_, _, names) in enumerate(told.routes)
        for name in names
        if name not in told.senders.get(told.streams[entry][0], ()) or told.streams[entry][1] != chip  # its own are no packets
    ]
    cut = data.draw(st.sets(st.sampled_from(entries), min_size=1, max_size=4))

    def change(told, chip):
        routes = [
            [key, mask, [name for name in names if (chip, entry, name) not in cut]]
            for entry, (key, mask, names) in enumerate(told.routes)
        ]
        return told._replace(routes=routes)

    bench = Bench(evaluation(), 24, shuffle=seed, configure=change, chips=chips).play()
    assert (bench.run.phase, bench.run.fault) == ("read", None)
    accounts = bench.run.conservation()
    lost = sum(accounts["dropped"].values())
    if any(name.startswith("router@") for _, _, name in cut):
        assert not any("over link" in line for line in accounts["wrong"])  # what did not set out is missed by no neighbour
    # The host hears its tap whatever the tables say, so what they lose of the output it gets all the same.
    missed = accounts["delivered"][HOST] - bench.run.accounts.routers[ROUTER]["packets_out"].get(HOST, 0)
    assert sum(accounts["sent"].values()) + missed == sum(accounts["delivered"].values()) + lost
    assert f"{lost} packets were dropped for want of a routing entry" in accounts["wrong"] or not lost
    assert lost or bench.answer == PLAIN.answer


@pytest.mark.parametrize("tick", [1, 5])
def test_a_packet_lost_on_a_link_is_noticed_with_the_link(tick):
    class Lossy(Watched):
        lost = 0

        def post(self, sender, outgoing):
            super().post(sender, [(to, self.damaged(sender, message)) for to, message in outgoing])

        def damaged(self, sender, message):
            """Leave out the first event of each stream on the way from chip 0 to chip 1."""
            if type(message) is not Relay or sender != ROUTER or message.tick != tick:
                return message
            self.lost += sum(bool(part.keys) * goes for (_, goes), part in zip(message.heads, message.sections, strict=True))
            sections = tuple(part._replace(keys=part.keys[4:], values=part.values[4:]) for part in message.sections)
            return message._replace(sections=sections)

    bench = Bench(evaluation(), 24, chips=2, network=Lossy()).play()
    (line,) = [line for line in bench.run.conservation()["wrong"] if "over link" in line]
    handed, taken = map(int, re.fullmatch(r"router@0 handed (\d+) packets over link 0>1, router@1 took in (\d+)", line).groups())
    assert handed - taken == bench.network.lost > 0


@pytest.mark.parametrize("chips", [2, 8])
def test_a_silent_pe_of_another_chip_is_named_over_all_who_wait_for_it(chips):
    bench = Bench(evaluation(), 24, chips=chips)
    silent = bench.pes[-1]
    handle, heard = silent.handle, Counter()

    def deaf(sender, message):
        heard[type(message)] += 1
        return [] if heard[Bundle] > 2 else handle(sender, message)

    silent.handle, silent.answer_bytes = deaf, lambda raw: None
    bench.play()
    bench.post(bench.run.query())
    bench.network.run(bench.settle)
    assert set(bench.run.overdue._missing) == set(bench.routers)
    assert bench.run.oldest_missing() == (3, [silent.name])


@pytest.mark.few(2)
@pytest.mark.parametrize("number", range(4))
def test_a_router_that_does_nothing_is_named_once_it_has_left_two_questions_open(number):
    bench = Bench(evaluation(), 24, chips=4)
    name = router_name(number)
    handle, heard = bench.routers[name].handle, Counter()

    def deaf(sender, message):
        heard[type(message)] += type(message) in (Batch, Relay)
        return [] if sum(heard.values()) > 40 else handle(sender, message)

    bench.routers[name].handle = deaf
    bench.play()
    assert bench.run.phase == "running"
    assert bench.run.oldest_missing() is None
    for _ in range(2):
        bench.post(bench.run.query())
        bench.network.run(bench.settle)
    assert bench.run.oldest_missing()[1] == [name]


def test_a_router_that_still_owes_its_first_answer_is_named_when_the_run_is_given_up():
    bench = Bench(evaluation(), 24, chips=4)
    last = bench.routers["router@3"]
    handle, heard = last.handle, Counter()

    def deaf(sender, message):
        heard[type(message)] += type(message) in (Batch, Relay)
        return [] if sum(heard.values()) > 40 else handle(sender, message)

    last.handle = deaf
    bench.play()
    bench.post(bench.run.query())
    bench.network.run(bench.settle)
    bench.run.overdue.mark_silent_routers()
    assert bench.run.oldest_missing()[1] == [last.name]


def test_the_routers_leave_the_farthest_first_and_carry_the_others_last_words():
    bench = Bench(evaluation(), 24, chips=8).play()
    left = []
    for name, router in bench.routers.items():
        handle = router.handle

        def watched(sender, message, name=name, router=router, handle=handle):
            out = handle(sender, message)
            left.extend([name] if router.done and name not in left else [])
            return out

        router.handle = watched
    finished(bench)
    assert left == bench.run.routers
    assert left[-1] == ROUTER
