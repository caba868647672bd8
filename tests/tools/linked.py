"""Linked chips without processes: machines and senders that hypothesis draws, and their routers over a network in memory.

The endpoints say what they are told to say and take note of what they hear, so that all that is joined, delivered and handed on
is the routers' doing.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from host.mapping.multicast import Connectivity, Sent, configure_routers, plan_streams
from noc.chip import PeId
from noc.columns import Columns, MakeColumns
from noc.machine import ChipLink, Machine, MachineError
from noc.memory_chip import MemoryChip
from noc.packet import (
    HOST,
    VALID,
    Batch,
    Bundle,
    Configure,
    Configured,
    Fault,
    Letter,
    Packed,
    Read,
    Relay,
    Section,
    chip_of,
    router_name,
)
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from noc.wiring import deepest_first

UNITS = 8
LEDGER_WORDS = 7
TICKS = 2
WINDOW = 4
LEDGER_WORDS = 7  # of an EGRU layer


@st.composite
def machines(draw, most=8, least=1):
    """Draw a machine of `least` to `most` chips, some of them down, some links down; what would cut a chip off stays up."""
    chips = draw(st.integers(least, most))
    down_chips: list[int] = []
    for chip in draw(st.lists(st.integers(0, chips - 1), max_size=chips // 3, unique=True)):
        with contextlib.suppress(MachineError):
            Machine(chips, [*down_chips, chip])
            down_chips.append(chip)
    down_links: list[tuple[int, int]] = []
    for link in draw(st.lists(st.tuples(st.integers(0, chips - 1), st.integers(0, 5)), max_size=2 * chips, unique=True)):
        with contextlib.suppress(MachineError):
            Machine(chips, down_chips, [*down_links, link])
            down_links.append(link)
    return Machine(chips, down_chips, down_links)


def connectivity_of(senders: dict[int, list[str]]) -> Connectivity:
    """Return the connectivity of a line of layers, each of which hears itself and the one before; the last one is the output."""
    layers = [n for n in senders if n]
    waits = {name: {p for n in layers if name in senders[n] for p in (n - 1, n)} for n in layers for name in senders[n]}
    ordered = {name: sorted(populations) for name, populations in sorted(waits.items(), key=lambda item: chip_of(item[0]))}
    listeners = {n: [name for name, populations in ordered.items() if n in populations] for n in senders}
    listeners[layers[-1]].append(HOST)
    payloads = dict.fromkeys(senders, Sent(value_bytes=4, lanes=1, units=UNITS))
    return Connectivity(senders=senders, listeners=listeners, waits={**ordered, HOST: layers}, payloads=payloads)


def section(population: int, events=(), position: int = 0, flags: int = VALID, mark: int = 0) -> Section:
    """Return a section with these (key, value) events and a ledger filled with `mark`."""
    keys = b"".join(struct.pack("<I", key) for key, _ in events)
    values = b"".join(struct.pack("<f", value) for _, value in events)
    return Section(population, flags, position, keys, values, struct.pack("<I", mark) * LEDGER_WORDS)


def events_of(part: Section) -> list[tuple[int, float]]:
    """Return a section's (key, value) events in order."""
    keys, values = (struct.unpack(f"<{len(raw) // 4}{kind}", raw) for raw, kind in ((part.keys, "I"), (part.values, "f")))
    return list(zip(keys, values, strict=True))


@dataclass(frozen=True)
class World:
    """A machine, who sends and hears what on it, and what everybody says at each tick."""

    machine: Machine
    connectivity: Connectivity
    said: dict[str, list[Batch]]

    def chip(self, name: str) -> int:
        return self.machine.host_chip if name == HOST else chip_of(name)

    def router(self, name: str) -> str:
        return router_name(self.chip(name))

    def sections(self, population: int, tick: int, chip: int | None = None) -> list[Section]:
        """What the senders of a population (on one chip) say at a tick, in their order."""
        names = [name for name in self.connectivity.senders[population] if chip in (None, self.chip(name))]
        return [part for name in names for part in self.said[name][tick].sections if part.population == population]

    def events(self, population: int, tick: int, chip: int | None = None) -> list[tuple[int, float]]:
        return sorted(event for part in self.sections(population, tick, chip) for event in events_of(part))

    def counts(self, sender: str, population: int) -> int:
        """How many events a sender says in all."""
        return sum(len(part.keys) // 4 for batch in self.said[sender] for part in batch.sections if part.population == population)

    @cached_property
    def begins(self) -> list[tuple[int, int]]:
        """Each (population, chip) where a stream begins."""
        return [
            (n, chip)
            for n, names in self.connectivity.senders.items()
            for chip in self.machine.live
            if chip in map(self.chip, names)
        ]

    def crossed(self, population: int, chip: int, *, tap: bool = False) -> list[ChipLink]:
        """The links that a stream must cross to reach its listeners, or the host's tap as well."""
        goals = {self.chip(name) for name in self.connectivity.listeners[population]}
        if tap and population in self.connectivity.waits[HOST]:
            goals.add(self.machine.host_chip)
        return self.machine.multicast(chip, goals)

    def carried(self) -> dict[str, int]:
        """The closed form of every link's counter: the events of each stream, once, on every link that it must cross."""
        carried = {str(link): 0 for link in self.machine.links}
        for n, chip in self.begins:
            for link in self.crossed(n, chip):
                carried[str(link)] += sum(len(self.events(n, tick, chip)) for tick in range(TICKS))
        return carried

    def configuration(self, window: int = WINDOW) -> dict[int, Configure]:
        return configure_routers(
            self.machine, self.connectivity, plan_streams(self.machine, self.connectivity), window=window, table_entries=1000
        )


@st.composite
def worlds(draw, most=8, least=1, ticks=TICKS):
    """Draw a machine, one to three layers spread over up to six PEs on any of its chips, and their batches."""
    machine = draw(machines(most, least))
    chips = sorted(draw(st.lists(st.sampled_from(machine.live), min_size=1, max_size=6)))
    pes = [str(PeId(chip, 1 + n // 4, 1, n % 4)) for n, chip in enumerate(chips)]
    senders = {0: [HOST]}
    for n in range(1, 1 + draw(st.integers(1, 3))):
        chosen = draw(st.sets(st.sampled_from(pes), min_size=1))
        senders[n] = [name for name in pes if name in chosen]
    connectivity = connectivity_of(senders)
    said: dict[str, list[Batch]] = {name: [] for names in senders.values() for name in names}
    owners = {n: draw(st.lists(st.sampled_from(names), min_size=UNITS, max_size=UNITS)) for n, names in senders.items()}
    for tick in range(ticks):
        parts: dict[str, list[Section]] = {name: [] for name in said}
        for n, names in senders.items():
            fires, bubble = draw(st.integers(0, (1 << UNITS) - 1)), draw(st.integers(0, 5)) == 5
            for name in names:
                mine = [(unit, 10 * n + unit + tick / 2) for unit in range(UNITS) if fires >> unit & 1 and owners[n][unit] == name]
                part = section(n, mine, tick, mark=names.index(name) + 1)
                parts[name].append(Section(n, 0, 0, b"", b"", b"") if bubble else part)
        for name, sections in parts.items():
            said[name].append(Batch(tick, tuple(sections)))
    return World(machine, connectivity, said)


class Starving:
    """An order of arrival in which some pairs of endpoints come last: only when nothing else is on its way."""

    def __init__(self, *last: tuple[str, str]) -> None:
        self.last = last

    def choice(self, pairs):
        return next((pair for pair in pairs if pair not in self.last), pairs[0])


class Watched(MemNetwork):
    """A network in memory that keeps what crosses each link and counts what everybody emits, in any order of arrival: a
    seed's, or whatever chooses.
    """

    def __init__(self, order: int | random.Random | Starving | None = None) -> None:
        super().__init__(order if isinstance(order, int) else None)
        if order is not None and not isinstance(order, int):
            self._random = order
        self.relays: dict[str, list[Relay]] = {}
        self.emitted: dict[tuple[str, int], int] = {}  # events by sender and population

    def post(self, sender, outgoing):
        for destinations, sent in outgoing:
            message = decode(sent.sealed if isinstance(sent, Packed) else sent) if isinstance(sent, bytes | Packed) else sent
            for part in message.sections if isinstance(message, Batch) else ():
                key = sender, part.population
                self.emitted[key] = self.emitted.get(key, 0) + len(part.keys) // 4
            if isinstance(message, Relay):
                for destination in destinations:
                    self.relays.setdefault(f"{chip_of(sender)}>{chip_of(destination)}", []).append(message)
        super().post(sender, outgoing)


class Listener:
    """An endpoint that takes note of what it hears and of nothing else."""

    done = False

    def __init__(self, name: str = HOST, router: str = "") -> None:
        self.heard: list = []

    def handle(self, sender, message):
        self.heard.append(message)
        return []

    def malformed(self, sender, why):
        raise AssertionError(f"{sender}: {why}")


class Chips:
    """The routers of a world and its endpoints. `change` changes what the router of each chip is told; `make_columns`
    is the routers'.
    """

    def __init__(
        self,
        world: World,
        order: int | random.Random | Starving | None = None,
        change: Callable[[Configure, int], Configure] = lambda told, chip: told,
        window: int = WINDOW,
        make_columns: MakeColumns = Columns,
    ) -> None:
        self.world, self.network, host = world, Watched(order), Listener()
        chips = MemoryChip(
            host=host, machine=world.machine, table_entries=1000,
            pes=[name for name in world.connectivity.waits if name.startswith("PE")],
            make_pe=Listener, network=self.network, make_columns=make_columns,
        )  # fmt: skip
        self.routers = {chip_of(name): router for name, router in chips.routers.items()}
        self.endpoints = {HOST: host, **chips.pes}
        told = world.configuration(window)
        begin = [self.letter(router_name(chip), change(told[chip], chip)) for chip in reversed(deepest_first(world.machine))]
        chips.boot_routers(begin, list)
        assert sorted(self.letters(Configured)) == sorted(chips.routers)

    def letter(self, peer, message):
        """Return what the host posts to write to a router or endpoint."""
        return (router_name(self.world.machine.host_chip),), Letter(peer, encode(message))

    def tell(self, peer, message):
        """Post a letter of the host's."""
        self.network.post(HOST, [self.letter(peer, message)])

    def letters(self, kind) -> dict:
        """Return the letters of a kind that the host has got, by who wrote them: one each."""
        found = [(letter.peer, decode(letter.body)) for letter in self.endpoints[HOST].heard if isinstance(letter, Letter)]
        found = [(peer, message) for peer, message in found if isinstance(message, kind)]
        assert len(dict(found)) == len(found)
        return dict(found)

    def post(self, sender, batch):
        self.network.post(sender, [((self.world.router(sender),), batch)])

    def play(self):
        """Let everybody say everything."""
        for sender, said in self.world.said.items():
            for batch in said:
                self.post(sender, batch)
        self.network.run(list)
        assert not self.letters(Fault)
        return self

    def bundles(self) -> dict[str, list[Bundle]]:
        return {name: [m for m in listener.heard if isinstance(m, Bundle)] for name, listener in self.endpoints.items()}

    def read(self, ticks: int = TICKS) -> dict[int, dict]:
        """Return every router's counters, by chip."""
        from noc.packet import Reading

        for router in self.routers.values():
            self.tell(router.name, Read(ticks))
        self.network.run(list)
        return {chip_of(name): reading.counters for name, reading in self.letters(Reading).items()}
