"""The vocabulary: every message that a PE, a router or the host sends.

Messages are named tuples: immutable, equal by value, and laid out in the order in which they are written on the wire (a
frozen dataclass costs three times as much to make, and a tick makes hundreds). Endpoints have names: `PE(x,y,p)@chip`,
`DRAM@chip`, `router@chip`, `host`.

How a tick works: each endpoint sends exactly one `Batch` per tick to its router, possibly without events; the router
answers each endpoint with one `Bundle` per tick as soon as the batches of all populations that endpoint waits for are
in, and each neighbour with one `Relay`. An endpoint that has nothing to do may be spared some: its last batch stands for
those. Events emitted at tick t are consumed at t + 1. Other messages between the host and a PE or router travel inside
letters. A stream is what one chip's senders of a population emit: it travels from chip to chip as one, and is copied where
its routes part.
"""

from typing import Any, NamedTuple, TypeAlias

HOST = "host"
INPUT_POPULATION = 0

# Flags of a section.
VALID = 1  # the population stepped; without it the section is a bubble (warm-up, drain, pause, late DRAM)
RESET = 2  # a segment begins at this position: cell states are cleared before it
FRESH = 4  # a sequence begins at this position, and with it a segment: nothing is heard of positions before it
PHASE = 8  # times the tick within its position, of a population that takes several; RESET and FRESH stand in the first
MOST_PHASES = 1024
FLAGS = PHASE * MOST_PHASES - 1


class Section(NamedTuple):
    """One population's part of a batch or bundle: its events at one sequence position, as raw little-endian arrays.

    `keys` uint32, ascending; `values` one number of the population's payload for each key (none for a spike). A dense population
    has no keys and a value for each unit of each lane. `ledger`: the sender's counts for this position, uint32, and behind
    them what the host probes (a router hands both to the host alone). `lanes`: sets of lanes, a bit each, one behind the
    other: in which a sequence begins, in which a segment begins, and which are idle; empty where all lanes are alike and none
    is idle.
    """

    population: int
    flags: int
    position: int
    keys: bytes
    values: bytes
    ledger: bytes
    lanes: bytes = b""


READ, WRITE, DATA, SIGNAL, PROBE = KINDS = range(5)
"""Kinds of transfers: ask for bytes, write bytes, the answer to a READ, anything else that one PE says to another, and bytes for an
observer, which a DRAM keeps where he can read them: no chip would send them, and no count but their own has them.
"""
KIND_NAMES = ("read", "write", "data", "signal", "probe")
MOST_TRANSFER_BYTES = 1 << 17  # no PE could hold more


class Transfer(NamedTuple):
    """Bytes from one endpoint to another, beside events: unicast by name, in the tick in which they are sent.

    `number` is the sender's, ascending within a batch; a DATA has that of the READ that it answers. `address` and `size_bytes` say
    what to read or write, `data` has so many bytes (a READ none).
    """

    kind: int
    source: str
    target: str
    number: int
    address: int
    size_bytes: int
    data: bytes


class Batch(NamedTuple):
    """Everything one endpoint emitted at a tick.

    `stands`: for how many ticks behind this one its sections stand, at their positions, and no transfers, unless the endpoint hears
    more than the clock, or, where it exchanges no transfers, more than bubbles. Its router may spare it the bundles of these ticks,
    and itself the batches.
    """

    tick: int
    sections: tuple[Section, ...]
    transfers: tuple[Transfer, ...] = ()
    stands: int = 0


class Bundle(NamedTuple):
    """Everything one endpoint hears of a tick: one section for each population it waits for, and the transfers to it, in
    ascending (source, number). `passed`: how many ticks before it the endpoint was spared, for which its last batch stood.
    """

    tick: int
    sections: tuple[Section, ...]
    transfers: tuple[Transfer, ...] = ()
    passed: int = 0


class Relay(NamedTuple):
    """Router to neighbour: everything that crosses their link at a tick, one section for each stream, and transfers.

    `heads`: for each section the chip it comes from, and 1 if its events travel as packets; with 0 they are for the host's
    hash and monitor alone, which tap every population.
    """

    tick: int
    heads: list[list[int]]
    sections: tuple[Section, ...]
    transfers: tuple[Transfer, ...] = ()


class Linked(NamedTuple):
    """Router to neighbour: the link between us is up."""


class Letter(NamedTuple):
    """Host to router: hand the packed message `body` to `peer`, an endpoint or a router. Router to host: `peer` sent it."""

    peer: str
    body: bytes


class Configure(NamedTuple):
    """Host to router: what to join, where to deliver and what to hand on.

    `window`: ticks in flight. `senders`: population -> this chip's endpoints that send it, in order. `waits`: endpoint of
    this chip -> populations whose batches it waits for. `streams`: for each that begins or arrives here [population, chip
    it comes from, base key, mask, from (the neighbour it arrives from, or "" for its own chip), here, beyond]: `here` is
    the number of this chip's endpoints that the network wants its events delivered to, `beyond` the same for each
    neighbour it is handed on to, as neighbour -> [endpoints, 1 if the host's tap lies that way]. `routes`: the routing
    table, (key, mask, names of endpoints and neighbours) as in a multicast entry. `payloads`: for each of these populations
    [bytes of a value, lanes, units, shares]; shares, where it is dense: the units (uint32, ascending) of each sender, by name, and
    of each chip, by number. `depth`: how many ticks an endpoint may be ahead of the host. `transfers`: as in `noc/exchange.py`;
    empty where there are none. `first`: the number of the first tick.
    """

    window: int
    senders: dict[int, list[str]]
    waits: dict[str, list[int]]
    streams: list[Any]
    routes: list[Any]
    payloads: dict[int, list[Any]]
    depth: int
    transfers: list[Any] = []  # noqa: RUF012 - a named tuple's default, never written to
    first: int = 0


class Configured(NamedTuple):
    """Router to host: configured, all links up, ready for PEs."""


class Hello(NamedTuple):
    """PE to host: the process is up and waits for its shard."""

    pid: int


class Load(NamedTuple):
    """Host to PE: its shards (`Shard.to_parts`), how many copies each event of each population makes, its memory, and what the host
    probes: population -> names of its kernel's fields, which ride behind the ledger and are no part of the model.

    `peers`: empty, or of the shard that exchanges transfers [its population, an input whose headers the PE hears at every tick,
    peers], each of them [name, its population, or -1 for the chip's DRAM, -2 for the host, -3 for another chip's DRAM].
    `in_flight`: how many batches may be under way, which the PE keeps so that it can say them again.
    """

    shards: list[Any]
    copies: dict[int, int]
    spec: dict[str, int]  # sram_bytes, bank_bytes, program_bytes, debug_bytes
    probes: dict[int, list[str]] = {}  # noqa: RUF012 - a named tuple's default, never written to
    peers: list[Any] = []  # noqa: RUF012 - a named tuple's default, never written to
    in_flight: int = 1


class Hand(NamedTuple):
    """Host to router, on several machines: hand `peer`, an endpoint of your chip, the packed `Load` in your machine's store."""

    peer: str
    sha256: str  # hex, under which the store holds it


class Fill(NamedTuple):
    """Host to the DRAM of a chip, before the first tick: write these bytes."""

    address: int
    data: bytes


class Filled(NamedTuple):
    """The DRAM of a chip to the host: the bytes that you sent for `address` are written."""

    address: int


class Peek(NamedTuple):
    """Host to the DRAM of a chip: say what lies there; beside the ticks, and counted as nothing that a chip does."""

    address: int
    size_bytes: int


class Peeked(NamedTuple):
    """The DRAM of a chip to the host: the bytes that you asked for."""

    address: int
    data: bytes


class Recall(NamedTuple):
    """Host to a loaded PE: what `population` emitted at a `position` before the one that the run goes on at, for the ports that
    hear it late: `flags` give its phase, `keys` and `values` its events as in a section. `lanes` is the set of those, a bit each,
    in which a sequence has begun since: they do not hear it.
    """

    population: int
    position: int
    flags: int
    keys: bytes
    values: bytes
    lanes: bytes


class Save(NamedTuple):
    """Host to a PE or DRAM: say what is needed to go on from `tick`, when it comes."""

    tick: int


class Snapshot(NamedTuple):
    """PE or DRAM to host: what is needed to go on from `tick`; with `batch` empty, that tick was past when it was asked for.
    Host to a loaded PE, or to a DRAM that is filled: go on from there.

    `memory`: what it keeps that changes, as its sender alone knows it; `batch`: its packed batch of the tick; `counts` belong to
    `memory`.
    """

    tick: int
    memory: bytes
    batch: bytes
    counts: list[int]


class Loaded(NamedTuple):
    """PE to host: everything fits; the regions as [name, offset, bytes, role]."""

    regions: list[Any]


class Start(NamedTuple):
    """Host to PE: take part in ticks."""


class Read(NamedTuple):
    """Host to PE or router: hand over your counters once the first `ticks` ticks are through; a PE then waits.

    What is asked may overtake what is counted: a letter and the last events of another chip come by different links.
    """

    ticks: int = 0


class Reading(NamedTuple):
    """PE or router to host: its counters, by name."""

    counters: dict[str, Any]


class Query(NamedTuple):
    """Host to router: say whose batch is missing."""


class StallReport(NamedTuple):
    """Router to host: the oldest tick that waits, and the endpoints whose batches it lacks."""

    tick: int
    missing: list[str]


class Stop(NamedTuple):
    """Host to PE or router: leave."""


class Stopped(NamedTuple):
    """PE or router to host: leaving."""


class Fault(NamedTuple):
    """PE or router to host: what went wrong, in one line; the sender does nothing more."""

    text: str


class Carry(NamedTuple):
    """One end of a link to the other, over which letters are numbered (`noc/resumable_line.py`): `head` has the number of the
    packed message `body`, or says how far the other side was heard.
    """

    head: bytes
    body: bytes


class Again(NamedTuple):
    """One end of a link to the other: say again what you have said of `tick` and of all ticks since."""

    tick: int


# A message's code on the wire is its place here, and its fields' types are those that `noc/wire.py` checks.
Message: TypeAlias = (
    Batch | Bundle | Relay | Linked | Letter | Configure | Configured | Hello | Load | Loaded | Start | Read | Reading
    | Query | StallReport | Stop | Stopped | Fault | Hand | Recall | Fill | Filled | Save | Snapshot | Carry | Again
    | Peek | Peeked
)  # fmt: skip


class Packed(NamedTuple):
    """A bundle or relay of a tick, as the bytes that it is with its checksum (`noc/checksum.py`)."""

    tick: int
    sealed: bytes


# (destinations, message): packed once, sent to each; bytes are a letter that is packed already.
Outgoing: TypeAlias = list[tuple[tuple[str, ...], Message | Packed | bytes]]


def router_name(chip: int) -> str:
    """Return the endpoint name of a chip's router."""
    return f"router@{chip}"


def dram_name(chip: int) -> str:
    """Return the endpoint name of a chip's DRAM, which is in its router and no process."""
    return f"DRAM@{chip}"


def chip_of(name: str) -> int:
    """Return the chip that an endpoint's or router's name ends in; -1 for one without, such as the host."""
    digits = name.rpartition("@")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else -1
