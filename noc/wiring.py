"""A chip's links as its router sees them: which neighbours there are, who calls whom, and the way to the host and back.

Letters to and from the host follow the tree of the host's chip; events follow the trees of their own chips, of which the
router is told when it is configured.
"""

from typing import NamedTuple

from noc.machine import Machine
from noc.packet import HOST, router_name


class Wiring(NamedTuple):
    """One router's neighbours by name, in plain types that a process can be started with.

    `up`: where letters for the host go, a neighbour or the host itself. `down`: chip -> the neighbour through which it
    hears from the host. `calls`: neighbours that this router connects to; `called_by`: those that connect to it.
    """

    up: str = HOST
    down: dict[int, str] = {}  # noqa: RUF012 - a named tuple's default, never written to
    calls: tuple[str, ...] = ()
    called_by: tuple[str, ...] = ()


def wiring_of(machine: Machine, chip: int) -> Wiring:
    """Return the wiring of a live chip's router. The later chip of two calls the earlier one, which is up already."""
    neighbours = sorted({int(to) for to in machine.neighbours[chip] if to >= 0})
    tree = machine.tree(machine.host_chip)
    down = {}
    for other in machine.live:
        at = other
        while at not in (chip, machine.host_chip) and int(tree.parent[at]) != chip:
            at = int(tree.parent[at])
        if at not in (chip, machine.host_chip):
            down[other] = router_name(at)
    return Wiring(
        up=HOST if chip == machine.host_chip else router_name(int(tree.parent[chip])),
        down=down,
        calls=tuple(router_name(other) for other in neighbours if other < chip),
        called_by=tuple(router_name(other) for other in neighbours if other > chip),
    )


def deepest_first(machine: Machine) -> list[int]:
    """Return the live chips so that none comes before one whose letters pass through it."""
    depth = machine.tree(machine.host_chip).depth
    return sorted(machine.live, key=lambda chip: (-int(depth[chip]), chip))
