"""`Columns`: what this chip's endpoints have said of the ticks that are open, until all senders of a population are in.

A population has a column a tick, with a place for each of its senders; a column that is full is joined into one section. What
is here is the definition. Nearly all messages that a router hears end in a column, so compiled code that reads their bytes
where they lie may stand in (`pe/compiled_columns.py`): it takes what is exactly a batch that is due, and leaves all else to
`noc/wire.py` and `noc/tick_join.py`, which know every form and every error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TypeAlias

from noc.exchange import Exchange, Settled
from noc.packet import Outgoing, Section
from noc.streams import Group, Population, beyond_error, check_agreement

NOT_TAKEN, UNOPENED, CROWDED = -1, -2, -6
"""Instead of a number of full columns: the bytes are not the batch that is due, or are the first of a tick, or their transfers find
no room; nothing was done.
"""


class Delivery(Protocol):
    """Bundles that are written where the columns are. It ends ticks that are through."""

    def deliver(
        self, tick: int, full: Sequence[int] | None = None, *, settles: bool = False, standing: Any = None
    ) -> Outgoing:  # fmt: skip
        """Return the bundles for which the columns of these populations were the last, or, where it `settles`, the transfers
        that were put into boxes last, or the batches that stand for what was `spared` in the tick before; None: what the last batch
        filled, and its transfers. JoinError as `Columns.join`.
        """

    @property
    def spared(self) -> Any:
        """What need not have been written of what was delivered last: what has its hearers' batches stand in the next tick; None
        for nothing.
        """

    @property
    def is_dram_due(self) -> bool:
        """Whether what was delivered last was what the chip's DRAM waited for, for which nothing is written."""

    @property
    def is_through(self) -> bool:
        """Whether what was delivered last was the last of its tick."""

    def events_of(self, population: Population) -> int:
        """Return how many events a population has sent, of columns that were full."""


class Columns:
    """The columns of `populations`. `expects`: sections in a batch or relay of each sender; `first`: the number of the first tick;
    `most_open`: how many ticks may be open; `exchange`: where transfers go. `next_tick`: of each sender's next batch or relay.
    """

    next_tick: MutableMapping[str, int]
    make_exchange: Callable[[int, Sequence[Any], int, int], Exchange] = Exchange
    """Makes what batches' transfers are put into, of the arguments of an `Exchange`."""

    def __init__(
        self, populations: Mapping[int, Population], expects: Mapping[str, int], *, first: int, most_open: int,  # noqa: ARG002
        exchange: Exchange | None = None,  # noqa: ARG002 - for what stands in, as `most_open`
    ) -> None:  # fmt: skip
        self._own = [population for population in populations.values() if population.slots]
        self.next_tick = dict.fromkeys(sorted(expects), first)
        self._open: dict[int, tuple[dict[int, list[Section | None]], dict[int, int]]] = {}  # what is in, and how much is missing
        self._events = {population.number: dict.fromkeys(population.slots, 0) for population in self._own}

    @property
    def open_ticks(self) -> Collection[int]:
        """The ticks that are open."""
        return self._open.keys()

    def delivery(self, groups: Sequence[Group]) -> Delivery | None:  # noqa: ARG002 - what stands in may
        """Return what writes the bundles of groups where all comes from here; None where that is left to who asks."""
        return None

    def begin(self, tick: int) -> None:
        """Open a tick."""
        missing = {population.number: len(population.slots) for population in self._own}
        self._open[tick] = {number: [None] * slots for number, slots in missing.items()}, missing

    def end(self, tick: int) -> None:
        """Forget a tick, all of which is through."""
        del self._open[tick]

    def has(self, tick: int, population: Population, slot: int) -> bool:
        """Tell whether a sender has said its section of a tick."""
        return self._open[tick][0][population.number][slot] is not None

    def put(self, tick: int, population: Population, sender: str, section: Section, events: int) -> bool:
        """Put a sender's section of so many events where it belongs; tell whether its column is full."""
        columns, missing = self._open[tick]
        columns[population.number][population.slots[sender]] = section
        missing[population.number] -= 1
        self._events[population.number][sender] += events
        return not missing[population.number]

    def ask_of(self, name: str, tick: int, *, is_last: bool) -> None:
        """Let an endpoint hear that `tick` comes, whatever its batch that stands says: to be read (`is_last`), or to be saved.

        Here all hear of all ticks.
        """

    def join(self, tick: int, population: Population) -> Section:
        """Return a full column as one section; JoinError where its parts do not agree, or have a key that is that of no unit."""
        return joined(population, dict(zip(population.slots, self._open[tick][0][population.number], strict=True)), tick)

    def events_of(self, population: Population) -> dict[str, int]:
        """Return how many events each sender of a population has said."""
        return self._events.get(population.number, {})

    def take(self, sender: str, raw: bytes, *, is_sealed: bool) -> int:  # noqa: ARG002 - what stands in may
        """Put what is exactly the batch of `sender` that is due, with its checksum where it must have one, into its columns, and
        its transfers where they go; return how many columns are full now (`full`) and for how much the last transfers are in
        (`settled`), or why nothing was done.
        """
        return NOT_TAKEN

    @property
    def full(self) -> Sequence[int]:
        """The populations whose columns were filled by what was taken last."""
        return ()

    @property
    def settled(self) -> Settled | None:
        """What waited for the transfers of what was taken last; None where its sender may send none."""
        return None

    def answers(self, names: tuple[str, ...], endpoints: Mapping[str, Any], raw: bytes) -> Iterator[tuple[str, int, bytes]]:
        """Have endpoints of these names answer a bundle, and take the batches that they answer by; yield what is left to do: (who,
        what its batch has filled, b""), or (who, why that was not taken, the batch, b"" where it has not answered).
        """
        for name in names:
            answer: bytes | None = endpoints[name].answer_bytes(raw)
            yield name, NOT_TAKEN, b"" if answer is None else answer


MakeColumns: TypeAlias = type[Columns]


def joined(population: Population, parts: dict[str, Any], tick: int) -> Section:
    """Return what all senders of a population said of a tick as one section; JoinError as `Columns.join`."""
    section = population.payload.merge(check_agreement("batch", parts, tick), population.order)
    if population.payload.is_beyond(section, in_order=len(parts) > 1):
        raise beyond_error(population, parts, tick)
    return section
