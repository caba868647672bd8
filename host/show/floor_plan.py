"""The floor plan of one chip, drawn in characters for the live view: a block for each PE.

A block's colour is its activity. Its top row shows how full its SRAM is, by eighths and never empty; below it, where the drawing is
large enough, stand its activity in percent and its layer on a field of that colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from host.show.layer_tags import layer_tags, tag_of
from host.show.mesh_view import EVENT_ROUTER, MARKS, pe_named
from host.show.status import Fields, at
from host.show.terminal_style import RISE, Line, Span, heat_step, percent
from noc.chip import PES_PER_QPE, QPES, PeId

_Wrong = Mapping[PeId | None, str]


class Scale(NamedTuple):
    """How large a PE is drawn, in characters; a QPE shows its PEs 0 1 over 2 3."""

    wide: int
    high: int
    gap: int
    frame: int

    @property
    def qpe(self) -> tuple[int, int]:
        """Width and height of a QPE."""
        return 2 * self.wide + self.gap + 2 * self.frame, 2 * self.high + 2 * self.frame

    @property
    def plan(self) -> tuple[int, int]:
        """Width and height of the whole chip."""
        return 3 + 7 * (self.qpe[0] + 1), 6 * (self.qpe[1] + 1)


SCALES = (Scale(6, 3, 1, 1), Scale(4, 2, 0, 0), Scale(2, 1, 0, 0))


class FloorPlan:
    """Draws the chip of a layout (`host/show/status.py`)."""

    def __init__(self, layout: Fields) -> None:
        tags = layer_tags(layout)
        self._used: dict[PeId, tuple[int, float, str]] = {}  # PE: (its place, its SRAM, its layers)
        for index, pe in enumerate(layout.get("pes") or ()):
            tag = tag_of(pe, tags)
            if site := pe_named(pe.get("name")):
                self._used[site] = index, 1.0 if pe.get("sram") is None else pe["sram"], tag
        self._chip = min((site.chip for site in self._used), default=0)

    def draw(self, status: Fields, wide: int, high: int) -> tuple[list[Line], int]:
        """Return the plan as large as it fits into `wide` columns and `high` rows, row y = 1 on top, and its width.

        ([], 0) where it does not fit.
        """
        scale = next((s for s in SCALES if s.plan[0] <= wide and s.plan[1] <= high), None)
        if scale is None:
            return [], 0
        wrong = {pe_named(name): word for word in ("stalled", "dead") for name in status.get(word) or ()}
        lines: list[Line] = [[Span("  " + "".join(f"{x:^{scale.qpe[0]}} " for x in range(1, 8)), "dim")]]
        for y in range(1, 7):
            qpes = [self._qpe(x, y, scale, status.get("pe_activity"), wrong) for x in range(1, 8)]
            for row in range(scale.qpe[1]):
                axis = Span(f"{y if row == scale.qpe[1] // 2 - 1 else ' '} ", "dim")
                lines.append([axis, *(part for qpe in qpes for part in (*qpe[row], Span(" ")))])
            lines.append([])
        return lines[:-1], scale.plan[0]

    def _qpe(self, x: int, y: int, scale: Scale, activity: Sequence[Any] | None, wrong: _Wrong) -> list[Line]:
        wide, high = scale.qpe
        if (x, y) not in QPES:
            word = ("event router" if wide > 14 else "ER") if (x, y) in EVENT_ROUTER else ""
            fill = "╱" if word else " "  # noqa: RUF001 - a hatch
            return [[Span(f"{word if row == high // 2 else '':{fill}^{wide}}", "dim")] for row in range(high)]
        pes = [self._pe(PeId(self._chip, x, y, p), scale, activity, wrong) for p in range(PES_PER_QPE)]
        pairs = [*zip(pes[0], pes[1], strict=True), *zip(pes[2], pes[3], strict=True)]
        side, gap = Span("│" * scale.frame, "dim"), Span(" " * scale.gap)
        rows = [[side, left, gap, right, side] for left, right in pairs]
        edges = [Span(f"╭{f' {x},{y} ':─^{wide - 2}}╮", "dim")], [Span(f"╰{'─' * (wide - 2)}╯", "dim")]
        return [edges[0], *rows, edges[1]] if scale.frame else rows

    def _pe(self, pe: PeId, scale: Scale, activity: Sequence[Any] | None, wrong: _Wrong) -> Line:
        """Return a PE's rows, a span each."""
        wide, high = scale.wide, scale.high
        index, sram, tag = self._used.get(pe, (-1, 0.0, ""))
        active = at(activity, index) if pe in self._used else None
        if pe in wrong:
            mark, fill, look = wrong[pe].upper()[:5] if wide > 4 else "", MARKS[wrong[pe]], "fault"
        elif active is not None:
            return _block((percent(active)[:-2], tag)[: high - 1], active, sram, wide)
        else:
            mark, fill, look = (tag if high > 1 else "", "░", "dim") if pe in self._used else ("·", " ", "dim")
        return [Span(f"{mark[:wide] if row == high // 2 else '':{fill}^{wide}}", look) for row in range(high)]


def _block(words: Sequence[str], active: float, sram: float, wide: int) -> Line:
    """Return a block coloured by `active`: a top row as high as `sram`, at least an eighth, and a field for each word."""
    heat = heat_step(active)
    top = Span(RISE[min(max(round(8 * sram), 1), 8)] * wide, "heat", heat)
    return [top, *(Span(f"{word[:wide]:^{wide}}", "tile", -1, heat) for word in words)]
