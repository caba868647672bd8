"""What sections of any payload promise over 1 to 4 linked chips: by key or dense, of one lane or several, some of them idle, in
phases and from several inputs, each listener hears exactly what was sent, whoever waits for headers alone hears those, and links
and accounts agree; and what does not fit its population is a fault that names the sender.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.mapping.multicast import Connectivity, Sent
from noc import packet as p
from noc.chip import PeId
from noc.machine import Machine
from noc.payload import MISFIT, Payload
from tests.tools.linked import TICKS, Chips, World

patient = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 1 << 30)


class Said(NamedTuple):
    """What a population says at a tick, whole: keys and a row of bytes for each (all units of all lanes where it is dense)."""

    flags: int
    position: int
    lanes: bytes
    keys: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Case:
    """A world of payloads: what each population says at each tick, and whose units are whose."""

    world: World
    said: dict[int, list[Said]]
    units: dict[int, dict[str, np.ndarray]]

    def events(self, n, tick):
        return len(self.said[n][tick].keys)

    def heard(self, name, n, tick):
        """The section that an endpoint should hear, without a ledger."""
        said, listens = self.said[n][tick], name in self.world.connectivity.listeners[n] or name == p.HOST
        sent = self.world.connectivity.payloads[n]
        keys = said.keys.astype("<u4").tobytes() if listens and not sent.shares else b""
        values = said.values.tobytes() if listens else b""
        return p.Section(n, said.flags, said.position, keys, values, b"", said.lanes)


def part_of(said, sent, units, mark):
    """Return the section of an endpoint with these units."""
    own = np.isin(said.keys % sent.units, units)
    keys = b"" if sent.shares else said.keys[own].astype("<u4").tobytes()
    return p.Section(0, said.flags, said.position, keys, said.values[own].tobytes(), mark, said.lanes)


@st.composite
def cases(draw):
    machine = Machine(draw(st.integers(1, 4)))
    chips = sorted(draw(st.lists(st.sampled_from(machine.live), min_size=1, max_size=5)))
    pes = [str(PeId(chip, 1 + n // 4, 1, n % 4)) for n, chip in enumerate(chips)]
    inputs, layers, lanes = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 9]))
    rng = np.random.default_rng(draw(seeds))
    senders, payloads, units, said = {}, {}, {}, {}
    for n in range(inputs + layers):
        width, size = draw(st.integers(1, 7)), draw(st.sampled_from([0, 1, 2, 4]))
        dense = bool(size) and draw(st.booleans())
        names = [p.HOST] if n < inputs else sorted(draw(st.sets(st.sampled_from(pes), min_size=1)), key=pes.index)
        owner = rng.integers(0, len(names), width)
        units[n] = {name: np.flatnonzero(owner == i).astype(np.uint32) for i, name in enumerate(names)}
        senders[n], payloads[n] = names, Sent(size, lanes, width, units[n] if dense else {})
        said[n] = [_say(rng, lanes, width, size, dense) for _ in range(TICKS)]
    layers_of = range(inputs, inputs + layers)
    listeners = {n: [name for name in pes if draw(st.booleans())] for n in senders}
    # What a PE sends itself it hears, or does not wait for; for headers alone it waits for others.
    waits = {
        name: [n for n in senders if name in listeners[n] or (name not in senders[n] and draw(st.integers(0, 3)) == 0)]
        for name in pes
    }
    waits = {name: numbers or [0] for name, numbers in waits.items()} | {p.HOST: list(layers_of)}
    listeners[inputs + layers - 1].append(p.HOST)
    connectivity = Connectivity(senders=senders, listeners=listeners, waits=waits, payloads=payloads)
    batches = {
        name: [
            p.Batch(t, tuple(
                part_of(said[n][t], payloads[n], units[n][name], name.encode())._replace(population=n)
                for n in senders if name in senders[n]
            ))
            for t in range(TICKS)
        ]
        for name in {name for names in senders.values() for name in names}
    }  # fmt: skip
    return Case(World(machine, connectivity, batches), said, units)


def _say(rng, lanes, width, size, dense):
    if rng.integers(6) == 0:
        return Said(0, 0, b"", np.zeros(0, np.uint32), np.zeros((0, size), np.uint8))
    masks = rng.integers(0, 256, 3 * -(-lanes // 8), np.uint8).tobytes() if rng.integers(2) else b""
    flags = p.VALID | int(rng.choice([0, p.RESET, p.RESET | p.FRESH, p.PHASE, 3 * p.PHASE]))
    keys = np.arange(lanes * width, dtype=np.uint32)
    keys = keys if dense else keys[rng.random(keys.size) < rng.random()]
    return Said(flags, int(rng.integers(1 << 40)), masks, keys, rng.integers(0, 256, (keys.size, size), np.uint8))


# --- what is heard ----------------------------------------------------------------------------------------------------


@pytest.mark.wide
@settings(patient, max_examples=150)
@given(cases(), seeds)
def test_what_is_heard_is_what_was_sent_whatever_the_placement_and_the_order(case, seed):
    connectivity = case.world.connectivity
    for name, bundles in Chips(case.world, seed).play().bundles().items():
        assert [bundle.tick for bundle in bundles] == list(range(TICKS))
        for bundle in bundles:
            assert [part.population for part in bundle.sections] == connectivity.waits[name]
            for part in bundle.sections:
                assert part._replace(ledger=b"") == case.heard(name, part.population, bundle.tick)
                marks = b"".join(sender.encode() for sender in connectivity.senders[part.population])
                assert part.ledger == (marks if name == p.HOST else b"")


@settings(patient, max_examples=80)
@given(cases(), seeds)
def test_links_and_accounts_follow_from_events_and_placement(case, seed):
    """Headers are no packets: a chip on which PEs step on them alone puts nothing on a link."""
    world, connectivity = case.world, case.world.connectivity
    counters = Chips(world, seed).play().read()
    carried = {str(link): 0 for link in world.machine.links}
    taken, handed = {}, {}
    for n, names in connectivity.senders.items():
        by_sender = {
            name: sum(np.isin(said.keys % connectivity.payloads[n].units, case.units[n][name]).sum() for said in case.said[n])
            for name in names
        }
        for chip in {world.chip(name) for name in names}:
            events = sum(by_sender[name] for name in names if world.chip(name) == chip)
            for link in world.machine.multicast(chip, {world.chip(name) for name in connectivity.listeners[n]}):
                carried[str(link)] += events
        for name in names:
            copies = len(connectivity.listeners[n]) - (name in connectivity.listeners[n])
            taken[name] = taken.get(name, 0) + by_sender[name] * copies
        for name in connectivity.listeners[n]:
            handed[name] = handed.get(name, 0) + sum(by_sender[sender] for sender in names if sender != name)
    for what, expected in (("packets_in", taken), ("packets_out", handed)):
        assert {name: number for counted in counters.values() for name, number in counted[what].items()} == expected
    assert not any(number for counted in counters.values() for number in counted["packets_dropped"].values())
    for link in world.machine.links:
        out = counters[link.chip]["links_out"].get(p.router_name(link.to), 0)
        assert out == counters[link.to]["links_in"].get(p.router_name(link.chip), 0) == carried[str(link)]


@settings(patient, max_examples=60)
@given(cases(), seeds, st.data())
def test_an_entry_that_is_missing_loses_events_that_are_counted_and_never_a_part_of_a_dense_section(case, seed, data):
    world = case.world
    slots = [(chip, n) for chip, told in world.configuration().items() for n, entry in enumerate(told.routes) if entry[2]]
    if not slots:
        return
    cut = data.draw(st.sampled_from(slots))

    def change(told, chip):
        return told._replace(routes=[[k, m, [] if (chip, n) == cut else to] for n, (k, m, to) in enumerate(told.routes)])

    chips = Chips(world, seed, change).play()
    counters = chips.read()
    total = {
        what: sum(sum(counted[f"packets_{what}"].values()) for counted in counters.values()) for what in ("in", "out", "dropped")
    }
    assert total["in"] == total["out"] + total["dropped"]
    for name, bundles in chips.bundles().items():
        for bundle in bundles:
            for part in bundle.sections:
                whole = case.heard(name, part.population, bundle.tick)
                assert part[:3] == whole[:3]
                if world.connectivity.payloads[part.population].shares:
                    assert part.values in (b"", whole.values)


# --- what does not fit ------------------------------------------------------------------------------------------------

KEYED, DENSE = Payload(2, 9, 5, {}), Payload(2, 9, 5, {"a": np.arange(5, dtype="<u4").tobytes()})


@pytest.mark.parametrize(
    ("payload", "bad"),
    [
        (KEYED, {"values": b"\0" * 8}),
        (KEYED, {"values": b""}),
        (KEYED, {"lanes": b"\0" * 3}),
        (KEYED, {"flags": 0}),
        (DENSE, {}),
        (DENSE, {"keys": b""}),
        (DENSE, {"keys": b"", "values": b""}),
        (DENSE, {"keys": b"", "values": bytes(90), "flags": 0}),
        (DENSE, {"keys": b"", "values": bytes(90), "lanes": b"\0"}),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else type(value).__name__,
)
def test_a_section_that_is_none_of_its_population_is_a_misfit(payload, bad):
    good = p.Section(1, p.VALID, 0, b"\0" * 8, b"\0" * 4, b"", b"\0" * 6)
    assert KEYED.count(good, 0) == 2
    assert DENSE.count(good._replace(keys=b"", values=bytes(90)), 45) == 45
    assert payload.count(good._replace(**bad), payload.values_of("a") if payload.dense else 0) == MISFIT


@settings(patient, max_examples=60)
@given(cases(), st.data())
def test_a_section_that_does_not_fit_is_a_fault_that_names_the_sender_and_the_tick(case, data):
    world = case.world
    sender, n = data.draw(st.sampled_from([(name, n) for n, names in world.connectivity.senders.items() for name in names]))
    sent = world.connectivity.payloads[n]
    flags, lanes, size = case.said[n][0].flags, case.said[n][0].lanes, len(case.units[n][sender])
    beyond = np.array([sent.lanes * sent.units], "<u4").tobytes()
    bad = data.draw(
        st.sampled_from(
            [
                p.Section(n, flags, 0, b"", bytes(sent.value_bytes * sent.lanes * size + 1), b"", lanes),
                p.Section(n, flags, 0, b"", b"", b"", lanes + b"\0"),
                p.Section(n, p.VALID, 0, beyond, bytes(sent.value_bytes), b"", lanes),
            ]
        )
    )
    sections = tuple(bad if part.population == n else part for part in world.said[sender][0].sections)
    said = {**world.said, sender: [p.Batch(0, sections)]}
    chips = Chips(dataclasses.replace(world, said=said))
    for name, batches in said.items():
        chips.post(name, batches[0])
    chips.network.run(list)
    faults = [fault.text for fault in chips.letters(p.Fault).values()]
    assert any(f"batch of {sender} at tick 0" in text for text in faults) or any("position" in text for text in faults)
    assert all(len(text.splitlines()) == 1 for text in faults)


@pytest.mark.parametrize("what", ["lanes", "flags", "position"])
def test_senders_that_name_other_lanes_are_a_fault_with_both(what):
    names = ["PE(1,1,0)@0", "PE(1,1,1)@0"]
    connectivity = Connectivity(
        senders={0: [p.HOST], 1: names}, listeners={0: names, 1: [p.HOST]}, waits={names[0]: [0], names[1]: [0], p.HOST: [1]},
        payloads={0: Sent(4, 2, 3), 1: Sent(4, 2, 3)},
    )  # fmt: skip
    one = p.Section(1, p.VALID, 5, b"", b"", b"", b"\1\0\0")
    other = one._replace(**{what: {"lanes": b"\2\0\0", "flags": p.VALID | p.RESET, "position": 6}[what]})
    chips = Chips(World(Machine(1), connectivity, {}))
    chips.post(names[0], p.Batch(0, (one,)))
    chips.post(names[1], p.Batch(0, (other,)))
    chips.network.run(list)
    (fault,) = chips.letters(p.Fault).values()
    assert names[0] in fault.text
    assert names[1] in fault.text
    assert ("lanes 020000; needs lanes 010000" in fault.text) == (what == "lanes")
