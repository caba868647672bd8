"""Mapping strategies: one file each, found by name. A strategy says how units are dealt to PEs, and PEs to chips.

Contract of a strategy file:

- `EVEN`: whether each layer gets as many PEs as any other, and each PE of a layer as many units.
- `deals(network, request)`: the deals that are worth comparing, the preferred one first; HostError where there is none.
- `assign_chips(network, machine, deals, room, rates)`: returns the shares of one of the deals with their chips, ascending;
  `room` is the usable PEs of each live chip, `rates` the expected events a unit and position of each population. None: the
  first deal, chips filled in order. A strategy that assigns chips itself deals as others do.

Names alone load no numpy and no compiler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from host.errors import HostError
from models.families import family_path, member, member_names, require_member
from models.network import ModelError

if TYPE_CHECKING:
    from host.mapping.request import ChipShare, Deal, Request
    from models.network import Network
    from noc.machine import Machine

    AssignChips = Callable[[Network, Machine, Sequence[Deal], Mapping[int, int], Mapping[int, float]], list[ChipShare]]

__path__ = family_path(__path__, __name__)
WORD = "mapping"
DEFAULT = "uniform"
"""The paper's mapping."""


class Strategy(Protocol):
    """A module of this package."""

    EVEN: bool
    assign_chips: AssignChips | None

    def deals(self, network: Network, request: Request) -> list[Deal]:
        """Return the deals that are worth comparing, the preferred one first."""


def names() -> list[str]:
    """Return the names of all strategies, the default one first."""
    return sorted(member_names(sys.modules[__name__]), key=lambda name: (name != DEFAULT, name))


def require(name: str) -> None:
    """Raise HostError, with the nearest name, where there is no strategy called `name`."""
    try:
        require_member(sys.modules[__name__], name, WORD)
    except ModelError as error:
        raise HostError(str(error)) from error


def named(name: str) -> Strategy:
    """Return the strategy called `name`; HostError with the nearest name where there is none."""
    require(name)
    return cast(Strategy, member(sys.modules[__name__], name, WORD))
