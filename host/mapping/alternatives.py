"""Other placements of a network that is placed: one other format, mapping or number of chips each, for comparing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from host.mapping import strategies
from host.mapping.placement import Placement, place
from models import formats

GROUPS = ("format", "mapping", "chips")
MOST_CHIPS = 48
"""A board: more are not placed for a comparison."""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another placement of `origin`'s network: `group` is "format", "mapping" or "chips", `value` what it has there and `was` what
    the origin has; `flags` of a run for it. It takes `pes` PEs.
    """

    group: str
    value: str
    was: str
    flags: str
    form: str
    mapping: str
    chips: int
    pes: int
    origin: Placement = field(repr=False)

    def place(self, rates: Mapping[int, float] | None = None) -> Placement:
        """Return the placement, with the search for the best chips that a run makes; HostError or ChipError, one line, where it
        does not fit. `rates`: as of `place` (`host/mapping/placement.py`).
        """
        first = self._place(quick=True)
        searches = self.chips > 1 and strategies.named(self.mapping).assign_chips is not None
        return self._place(quick=False, rates=rates) if searches else first

    def _place(self, quick: bool, rates: Mapping[int, float] | None = None) -> Placement:
        origin = self.origin
        return place(
            origin.network, origin.chip, mapping=self.mapping, form=self.form, pes=self.pes, lanes=origin.request.lanes,
            chips=self.chips, rates=rates, quick=quick,
        )  # fmt: skip


def alternatives(placement: Placement) -> Iterator[Alternative]:
    """Yield every other format and mapping, on as many PEs; and half and twice the chips, with as many PEs on each."""
    form, mapping, chips, pes = placement.request.format, placement.mapping, placement.machine.chips, len(placement.pes)

    def other(group: str, value: str, was: str, flags: str, **changed: int | str) -> Alternative:
        fields = {"form": form, "mapping": mapping, "chips": chips, "pes": pes} | changed
        return Alternative(group=group, value=value, was=was, flags=flags, origin=placement, **fields)  # type: ignore[arg-type]

    for name in formats.names_for(placement.network.weights):
        if name != form:
            yield other("format", name, form, f"--format {name}", form=name)
    for name in strategies.names():
        if name != mapping:
            yield other("mapping", name, mapping, f"--mapping {name} --pes {pes}", mapping=name)
    for number in (chips // 2, 2 * chips):
        if 1 <= number <= MOST_CHIPS:
            count = max(1, pes * number // chips)
            yield other("chips", f"{number}", f"{chips}", f"--chips {number} --pes {count}", chips=number, pes=count)
