"""What a run costs on the modelled chip: from a ledger to seconds and joules.

`price` is one pure function of (ledger, chip, cost table), in four passes: what is moved (`moves.py`), the cycles of each shard
(`cycles.py`), time (`schedule.py`), and energy (`pricing.py`). Bands come from the low and high values of uncertain constants.
Nothing is fitted to the paper's Tables II and III.

It leaves out SRAM bank conflicts, DRAM latency and refresh, contention beyond the busiest link, the energy of a hop, of DRAM
and of the host, which are inside or outside of the measured power states as published; and the host's own work (embedding
look-up, decoder, softmax, the gesture head), which the paper does not place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger, Part, RunLedger
from host.cost.priced import Priced, PricedPositions
from host.cost.pricing import Pricing
from host.cost.terms import terms_of
from models.network import F64
from noc.chip import ChipSpec


def price(
    run: RunLedger, chip: ChipSpec, table: CostTable, *, bands: bool = True, alive: Callable[[], None] = lambda: None,
    on_positions: Callable[[F64], object] = lambda _: None,
) -> Priced:  # fmt: skip
    """Return what a run costs on `chip` at the prices of `table`, read in parts, with bands over its uncertain constants; without
    `bands` each is its figure, in a third of the time.

    `alive` is called several times a part, for whoever must say that this goes on; `on_positions` takes seconds of positions, in
    order, some at a time: from when the first layer begins one, side by side until the next one enters.

    Raises HostError, in one line, where the chip lacks a PE of the ledger or nothing prices its weight format; MachineError
    where the chip's broken links leave no route.
    """
    pricing = Pricing(run, chip, table, bands=bands, alive=alive, on_positions=on_positions)
    for part in run.parts(pricing.margin):
        pricing.add(part)
    return pricing.priced()


def price_positions(
    ledger: Ledger, chip: ChipSpec, table: CostTable, *, before: int = 0, behind: int = 0, bands: bool = True
) -> PricedPositions:
    """Return the price of positions in memory, with what each of them costs; errors as of `price`.

    `before` and `behind`: so many of the first and the last are a margin (`Pricing.margin`) and not priced. Without `bands` the
    ends of uncertain constants are left out. It takes some 16 times as much memory as the ledger: for a part of a long run.
    """
    pricing = Pricing(ledger, chip, table, bands=bands)
    one, moves = pricing.add(Part(ledger, before, before, behind))
    fields = pricing.fields() | vars(one.times)
    return PricedPositions(**fields, shard_cycles=one.cycles, traffic=moves.noc, link_traffic=moves.links)


def price_at(run: RunLedger, settings: Iterable[str] = ()) -> Priced:
    """Return what a run costs on its own chip, with settings and errors as of `terms_of`."""
    return price(run, *terms_of(run, settings))
