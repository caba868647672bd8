"""Seating: which PE of which chip each share of a deal goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from host.mapping.request import ChipShare, Deal, Share
from models.network import Network
from noc.chip import ChipSpec, PeId
from noc.machine import Machine

AssignChips = Callable[[Network, Machine, Sequence[Deal], Mapping[int, int], Mapping[int, float]], list[ChipShare]]
"""Returns the shares of one of several deals with their chips, ascending by chip; its last two arguments are the usable PEs of
each live chip, ascending by chip, and the expected events a unit and position of each population.
"""


class Seat(NamedTuple):
    """A share and the PE it is on."""

    pe: PeId
    share: Share


Seating = tuple[Seat, ...]
"""In ascending order of chips, and of a chip's usable PEs."""


def fill_in_order(shares: Deal, room: Mapping[int, int]) -> list[ChipShare]:
    """Fill chips one after another in the order of `room` (chip: usable PEs), each with about as many shares."""
    on_chips: list[ChipShare] = []
    later = sum(room.values())
    for number, (chip, most) in enumerate(room.items()):
        later -= most
        left = len(shares) - len(on_chips)
        even = -(-left // (len(room) - number))
        on_chips += [(chip, share) for share in shares[len(on_chips) :][: min(most, max(even, left - later))]]
    return on_chips


def seat(
    network: Network,
    chip: ChipSpec,
    machine: Machine,
    deals: Sequence[Deal],
    rates: Mapping[int, float],
    assign: AssignChips | None,
) -> Seating:
    """Give each share of a deal the next free PE of its chip.

    Args:
        network: what the shares are of.
        chip: what each chip is like; PEs that are down are not used.
        machine: the chips and routes.
        deals: ways to deal, the preferred one first; there are PEs for each.
        rates: expected events a unit and position, of each population.
        assign: chooses a deal and the chips of its shares; None: the first deal, in order.

    """
    usable = {number: chip.usable_pes(number) for number in machine.live}
    room = {number: len(pes) for number, pes in usable.items()}
    on_chips = assign(network, machine, deals, room, rates) if assign else fill_in_order(deals[0], room)
    free = {number: iter(pes) for number, pes in usable.items()}
    return tuple(Seat(next(free[number]), share) for number, share in on_chips)
