"""The machine: how chips are wired to each other, and the route that a packet takes from chip to chip.

Each chip has six links to its neighbours on a triangular mesh. A board has 48 chips in a hexagon inside 8 x 8, wired to
itself as a torus when it stands alone; three boards make a triad of 12 x 12 chips, and triads tile a larger torus (SM
`version_48_chips`). Fewer chips than a board are the nearest to chip 0 on one, without wraps. Chips are numbered board by
board, each outwards from its corner, so the chips of a small machine are the first of a large one.

Routes are up*/down*: chips are ordered by their distance from the host's chip (then by number); a route goes to chips
ever earlier in that order and then to chips ever later. No link can wait for itself in a circle then, whatever wraps
there are and whatever is down. One tree a source chip, so a multicast packet crosses each link at most once. This is
assumed: the routes of the real machine's tools may deadlock, and packets are dropped to get out of it.
"""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from noc.chip import ChipError, ChipSpec
from noc.multicast_tree import I32, Tree, add_multicast

DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""Steps (x, y) of the six links: E, NE, N, W, SW, S; a link's way back is three further on (SM)."""
BOARD_CHIPS = 48
TRIAD_CHIPS = 3 * BOARD_CHIPS
MOST_CHIPS = 16 * 15 * TRIAD_CHIPS
"""34,560 chips on 720 boards, the machine in Dresden (ONM; SV). How its triads lie is not published: as square as can be."""

_BOARD = tuple((x, y) for y in range(8) for x in range(8) if -3 <= x - y <= 4)
_BOARDS_OF_TRIAD = ((0, 0), (4, 8), (8, 4))
_TRIAD_SIDE = 12


class MachineError(ChipError):
    """A number of chips that is no machine, or chips that cannot be reached; the message is one line."""


class ChipLink(NamedTuple):
    """A directed link from `chip` in `direction` to the neighbour `to`."""

    chip: int
    direction: int
    to: int

    def __str__(self) -> str:
        return f"{self.chip}>{self.to}"


class Machine:
    """Chips (1 to 48, or a whole number of triads: 144, 288, ...) and links, but for those that are down.

    A link is down as (chip, direction); down one way is down both ways, because frames are acknowledged over the way back
    (CP: resend). Raises MachineError where there is no such machine, or a chip that no route reaches.
    """

    def __init__(self, chips: int, down_chips: Iterable[int] = (), down_links: Iterable[tuple[int, int]] = ()) -> None:
        self.chips = chips
        self.positions = _positions(chips)
        self.down_chips = frozenset(chip for chip in down_chips if chip < chips)
        self.live = tuple(chip for chip in range(chips) if chip not in self.down_chips)
        if not self.live:
            raise MachineError(f"machine of {chips} chips: all of them are down")
        self.host_chip = self.live[0]
        """The chip with the Ethernet link to the host: the first that is not down."""
        self.neighbours = self._neighbours(down_links)
        """(chips, 6) int32: the chip at the other end of each link, -1 where there is none."""
        self._level = self._levels()
        cut_off = [chip for chip in self.live if self._level[chip] < 0]
        if cut_off:
            more = f" and {len(cut_off) - 1} more" if cut_off[1:] else ""
            raise MachineError(f"chip {cut_off[0]}{more}: no link leads there from chip {self.host_chip}; needs fewer links down")
        self.rank = np.lexsort((np.arange(chips), self._level)).argsort().astype(np.int32)
        """(chips,) int32: a chip's place in the order that routes go up and down in."""
        self.tree = lru_cache(256)(self._tree)
        """`tree(source)` returns the `Tree` of a live chip."""

    @cached_property
    def links(self) -> tuple[ChipLink, ...]:
        """Every directed link, by chip and direction."""
        present = zip(*np.nonzero(self.neighbours >= 0), strict=True)
        return tuple(ChipLink(int(chip), int(way), int(self.neighbours[chip, way])) for chip, way in present)

    @cached_property
    def cables(self) -> npt.NDArray[np.bool_]:
        """Which links leave their board, to another or around its own torus, and so run in the slower mode: (chips, 6) bool."""
        if self.chips != BOARD_CHIPS:
            leaves = np.arange(self.chips)[:, None] // BOARD_CHIPS != self.neighbours // BOARD_CHIPS
        else:
            places = np.array(self.positions)
            leaves = (places[self.neighbours] != places[:, None] + DIRECTIONS).any(axis=2)
        return np.asarray(leaves & (self.neighbours >= 0))

    def is_cable(self, chip: int, direction: int) -> bool:
        """Tell whether a link leaves its board."""
        return bool(self.cables[chip, direction])

    def route(self, source: int, to: int) -> list[ChipLink]:
        """Return the links from `source` to `to` in order; none for the chip itself."""
        return self.multicast(source, (to,))

    def multicast(self, source: int, to: Iterable[int]) -> list[ChipLink]:
        """Return the links that a packet from `source` to every chip of `to` crosses, each once, those nearer first."""
        tree, listeners = self.tree(source), list(to)
        for chip in listeners:
            if tree.depth[chip] < 0:
                raise MachineError(f"route from chip {source} to chip {chip}: that chip is down")
        crossed = np.zeros(self.neighbours.shape, bool)
        add_multicast(crossed, True, tree.parent, tree.direction, source, listeners)
        links = (ChipLink(chip, way, int(self.neighbours[chip, way])) for chip, way in np.argwhere(crossed).tolist())
        return sorted(links, key=lambda link: (int(tree.depth[link.to]), link.to))

    def _neighbours(self, down_links: Iterable[tuple[int, int]]) -> I32:
        where = {position: chip for chip, position in enumerate(self.positions)}
        wraps = _wraps(self.chips)
        out = np.full((self.chips, len(DIRECTIONS)), -1, np.int32)
        for chip in self.live:
            x, y = self.positions[chip]
            for way, (dx, dy) in enumerate(DIRECTIONS):
                places = ((x + dx + wx, y + dy + wy) for wx, wy in wraps)
                to = next((where[place] for place in places if place in where), -1)
                if to >= 0 and to not in self.down_chips:
                    out[chip, way] = to
        for chip, way in down_links:
            if chip < self.chips and out[chip, way] >= 0:
                out[out[chip, way], (way + 3) % 6] = -1
                out[chip, way] = -1
        return out

    def _levels(self) -> I32:
        level = np.full(self.chips, -1, np.int32)
        level[self.host_chip] = distance = 0
        while (frontier := np.flatnonzero(level == distance)).size:
            distance += 1
            level[self._beside(frontier, level)] = distance
        return level

    def _beside(self, frontier: npt.NDArray[np.intp], level: I32) -> I32:
        """Return the neighbours of `frontier` that have no level yet, ascending."""
        near = np.unique(self.neighbours[frontier])
        near = near[near >= 0]
        return near[level[near] < 0]

    def _tree(self, source: int) -> Tree:
        parent, direction, depth, cables = (np.full(self.chips, -1, np.int32) for _ in range(4))
        depth[source] = cables[source] = 0
        # Up first: whoever can be reached by going up alone may still go both ways from there.
        for up in (True, False):
            hops, most = 0, int(depth.max())
            while hops <= most:
                frontier = np.flatnonzero(depth == hops)
                near = self._beside(frontier, depth)
                # Of several ways in of one length, one that differs from source to source and from chip to chip.
                for turn in range(len(DIRECTIONS)):
                    way = (near + source + turn) % len(DIRECTIONS)
                    before = self.neighbours[near, way]
                    rises = self.rank[before] > self.rank[near]
                    fits = (parent[near] < 0) & (before >= 0) & (depth[before] == hops) & (rises == up)
                    parent[near[fits]], direction[near[fits]] = before[fits], (way[fits] + 3) % len(DIRECTIONS)
                reached = near[parent[near] >= 0]
                depth[reached] = hops + 1
                cables[reached] = cables[parent[reached]] + self.cables[parent[reached], direction[reached]]
                hops, most = hops + 1, max(most, hops + 1 if reached.size else 0)
        return Tree(parent=parent, direction=direction, depth=depth, cables=cables)


def _positions(chips: int) -> tuple[tuple[int, int], ...]:
    # Outwards: on the board both are positive, so a diagonal step saves one.
    board = sorted(_BOARD, key=lambda place: (max(place), abs(place[0] - place[1]), place[1]))
    if 1 <= chips <= BOARD_CHIPS:
        return tuple(board[:chips])
    if chips < 1 or chips % TRIAD_CHIPS or chips > MOST_CHIPS:
        below = max(BOARD_CHIPS, min(chips, MOST_CHIPS) // TRIAD_CHIPS * TRIAD_CHIPS) if chips > 0 else 1
        need = f"1 to {BOARD_CHIPS}, or triads of boards (144, 288, ... {MOST_CHIPS:,})"
        raise MachineError(f"{chips} chips: needs {need}; use {below}")
    wide, high = _sides(chips)
    return tuple(
        ((x + bx + column) % wide, (y + by + row) % high)
        for row in range(0, high, _TRIAD_SIDE)
        for column in range(0, wide, _TRIAD_SIDE)
        for bx, by in _BOARDS_OF_TRIAD
        for x, y in board
    )


def _sides(chips: int) -> tuple[int, int]:
    """Return how many chips a machine of triads is wide and high."""
    triads = chips // TRIAD_CHIPS
    high = next(n for n in range(int(triads**0.5), 0, -1) if triads % n == 0)
    return triads // high * _TRIAD_SIDE, high * _TRIAD_SIDE


def _wraps(chips: int) -> list[tuple[int, int]]:
    """Return the shifts that lead from beyond an edge to where the torus goes on; no shift first."""
    if chips < BOARD_CHIPS:
        return [(0, 0)]
    if chips == BOARD_CHIPS:
        return [(0, 0), (8, 4), (-8, -4), (4, 8), (-4, -8), (4, -4), (-4, 4)]
    wide, high = _sides(chips)
    return [(x, y) for x in (0, wide, -wide) for y in (0, high, -high)]


def machine_of(spec: ChipSpec, chips: int) -> Machine:
    """Return the machine of `chips` chips like `spec`, without what it lists as down."""
    return shared_machine(chips, spec.down_chips, spec.down_links)


@lru_cache(16)
def shared_machine(chips: int, down_chips: frozenset[int], down_links: frozenset[tuple[int, int]]) -> Machine:
    """Return the same machine to all who ask: trees are kept with it."""
    return Machine(chips, down_chips, down_links)
