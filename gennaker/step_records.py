"""What a session keeps of its steps, in memory that does not grow: the hash of its events, and its ledger, which goes to disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from gennaker.bands import Band
from gennaker.costs import Cost, cost_of
from gennaker.temporary_folder import TemporaryFolder
from host.cost.ledger import Ledger
from host.cost.ledger_file import load_ledger, save_ledger
from host.cost.price import price_at
from host.mapping.placement import Placement
from host.run.event_hash import EventStream
from host.run.recorder import Recorder
from noc.packet import Section

_BLOCK = 1024  # positions of a file of the ledger


class StepHash(EventStream):
    """The event stream's hash, which forgets a sequence but for its digest once nothing more of it comes."""

    _total = hashlib.sha256()
    _next = 0  # the first sequence that is not in the total

    def close(self, sequence: int) -> None:
        """Take note that a sequence is complete."""
        self._closed[sequence] = self.sequence_sha256(sequence)
        del self._digests[sequence]
        while self._next in self._closed:
            self._total = self._total.copy()
            self._total.update(np.uint32(self._next).tobytes() + bytes.fromhex(self._closed.pop(self._next)))
            self._next += 1

    @property
    def _closed(self) -> dict[int, str]:
        """Digests of complete sequences that follow one which is not."""
        closed: dict[int, str] = self.__dict__.setdefault("closed", {})
        return closed

    def sha256(self) -> str:
        """Return the digest of the whole stream, as `EventStream` does."""
        total = self._total.copy()
        for sequence in sorted({*self._digests, *self._closed}):
            digest = self._closed.get(sequence) or self.sequence_sha256(sequence)
            total.update(np.uint32(sequence).tobytes() + bytes.fromhex(digest))
        return total.hexdigest()

    @property
    def count(self) -> int:
        """How many events there were."""
        return sum(self._events.values())


class StepLedger(Recorder):
    """A ledger in files of `_BLOCK` positions, in a temporary folder that goes with this object.

    What a position costs depends on those before it only by what is heard late, so each file begins with as many positions of the
    one before, whose price is taken off again.
    """

    def __init__(self, placement: Placement) -> None:
        super().__init__(placement)
        network = placement.network
        self._late = max((p.delay for n in network.layers for p in network.populations[n].projections), default=0)
        self._folder = TemporaryFolder("session")
        self._files, self._head = 0, 0  # files, and positions at the beginning of what is here that are in the file before
        self._last = network.layers[-1]
        self._priced: dict[tuple[str, ...], tuple[int, list[Cost]]] = {}

    def add(self, section: Section) -> None:
        """Take in a layer's counts at the next tick of its steps."""
        super().add(section)
        if section.population == self._last and len(self._stepped[self._last]) >= _BLOCK + self._head:
            self._write()

    def _write(self) -> None:
        ledger = self.ledger()
        if ledger.positions < _BLOCK // 2 + self._head:  # other layers are behind
            return
        folder = self._folder.path / str(self._files)
        folder.mkdir()
        save_ledger(ledger, folder)
        (folder / "head").write_text(str(self._head))
        self._files += 1
        self._head = min(self._late, ledger.positions)
        self.forget(ledger.positions - self._head)

    def cost(self, settings: Iterable[str] = ()) -> Cost | None:
        """Return what all steps cost so far, with settings as of `launch.py price`; None before the first. Each file is priced
        once.
        """
        key = tuple(settings)
        done, costs = self._priced.get(key, (0, []))
        for number in range(done, self._files):
            folder = self._folder.path / str(number)
            costs = [_sum_of([*costs, *_priced(load_ledger(folder), int((folder / "head").read_text()), key)])]
        if self._files:
            self._priced = {key: (self._files, costs)}
        rest = self.ledger()
        costs = [*costs, *(_priced(rest, self._head, key) if rest.positions > self._head else ())]
        return _sum_of(costs) if costs else None


def _priced(ledger: Ledger, head: int, settings: tuple[str, ...]) -> Iterator[Cost]:
    """Yield the price of a ledger, and that of its first `head` positions, to be taken off."""
    yield cost_of(price_at(ledger, settings), ledger.executions)
    if head:
        first = _first(ledger, head)
        yield _negative(cost_of(price_at(first, settings), first.executions))


def _first(ledger: Ledger, positions: int) -> Ledger:
    """Return the ledger of the first positions."""
    return replace(
        ledger, events=ledger.events[:positions], input_events=ledger.input_events[:positions],
        port_counts=ledger.port_counts[:positions], stepped=ledger.stepped[:positions],
        by_turn={name: counts[:positions] for name, counts in ledger.by_turn.items()},
    )  # fmt: skip


def _negative(cost: Cost) -> Cost:
    return replace(
        cost, positions=-cost.positions, time_s=Band(*(-x for x in cost.time_s)), energy_j=Band(*(-x for x in cost.energy_j)),
        stages_s={layer: {name: -s for name, s in of.items()} for layer, of in cost.stages_s.items()},
        energy_parts_j={name: -j for name, j in cost.energy_parts_j.items()},
    )  # fmt: skip


def _sum_of(costs: list[Cost]) -> Cost:
    """Add up costs of positions that follow each other; power is energy by time."""
    time_s, energy_j = (
        Band(*map(sum, zip(*(getattr(cost, name) for cost in costs), strict=True))) for name in ("time_s", "energy_j")
    )
    first = costs[0]
    powers = [energy / time if time else 0.0 for energy, time in zip(energy_j, time_s, strict=True)]
    power_w = Band(
        powers[0], min(*(cost.power_w.low for cost in costs), powers[0]), max(*(cost.power_w.high for cost in costs), powers[0])
    )
    return replace(
        first, time_s=time_s, energy_j=energy_j, power_w=power_w, positions=sum(cost.positions for cost in costs),
        stages_s={
            layer: {name: sum(cost.stages_s[layer][name] for cost in costs) for name in of} for layer, of in first.stages_s.items()
        },
        energy_parts_j={name: sum(cost.energy_parts_j[name] for cost in costs) for name in first.energy_parts_j},
    )  # fmt: skip
