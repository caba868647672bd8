"""Machines that hypothesis draws: a few chips with what is down of them, and still in one piece."""

from __future__ import annotations

import contextlib

from hypothesis import strategies as st

from noc.machine import Machine, MachineError


@st.composite
def machines(draw, most=8, least=1):
    """Draw a machine of `least` to `most` chips, some of them down, some links down; what would cut a chip off stays up."""
    chips = draw(st.integers(least, most))
    down_chips: list[int] = []
    for chip in draw(st.lists(st.integers(0, chips - 1), max_size=chips // 3, unique=True)):
        with contextlib.suppress(MachineError):
            Machine(chips, [*down_chips, chip])
            down_chips.append(chip)
    down_links: list[tuple[int, int]] = []
    for link in draw(st.lists(st.tuples(st.integers(0, chips - 1), st.integers(0, 5)), max_size=2 * chips, unique=True)):
        with contextlib.suppress(MachineError):
            Machine(chips, down_chips, [*down_links, link])
            down_links.append(link)
    return Machine(chips, down_chips, down_links)
