"""What the chip would take, while a run goes on: the price of the last positions, now and then.

A price of 16 positions of the paper's model takes the host 12 ms, in which its run stands still; so the next one waits until that
is a small share of the time since the last.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable, load_table
from host.cost.ledger import Ledger
from host.cost.price import price
from host.cost.priced import Priced
from host.cost.twins import stage_words
from host.errors import HostError
from host.mapping.placement import Placement
from host.run.recorder import Recorder
from noc.chip import ChipError
from noc.machine import MachineError

WINDOW = 16
"""Positions that are priced: enough for a mean, few enough for every now and then."""
CPU_SHARE = 0.005
"""The most of the run's time that prices may take."""
MOST_PES = 1200
"""A price of more takes over a tenth of a second at a time: such a run is priced at its end alone."""
_FIRST_S, _LEAST_S = 2.0, 1.0  # from the run's begin to the first price, and between two
_MOST_LINKS = 6


class LivePrice:
    """Prices the newest positions of a recorder; `status` is what the monitor shows of them (`host/show/status.py`)."""

    def __init__(self, placement: Placement, recorder: Recorder) -> None:
        self._placement, self._recorder = placement, recorder
        self._priceable = len(placement.pes) <= MOST_PES
        self._due = 0.0
        self._costs: CostTable | None = None
        self.status: dict[str, Any] = {}

    def update(self, now: float) -> None:
        """Price the last positions where it is time; `now` is a clock's, in seconds."""
        if not self._priceable:
            return
        if not self._due:
            self._due = now + _FIRST_S
        if now < self._due:
            return
        if not self._recorder.has_latest:
            self._due = now + _LEAST_S
            return
        ledger = self._recorder.latest(WINDOW)
        self._costs = self._costs or load_table(used=ledger.twins)
        began = time.perf_counter()  # not of what is loaded once
        try:
            self.status = describe(ledger, price(ledger, self._placement.chip, self._costs, bands=False))
        except (HostError, ChipError, MachineError):  # the report, at the end, says what is wrong
            self._priceable = False
        self._due = now + max(_LEAST_S, (time.perf_counter() - began) / CPU_SHARE)


def describe(ledger: Ledger, priced: Priced) -> dict[str, Any]:
    """Return a price of some positions as the monitor shows it: a position of one sequence in s and J, watts, stages as shares of
    the time, and the links that carried most, a position.
    """
    steps = max(1, ledger.executions)
    words = stage_words(ledger.populations[number].kernel for number in ledger.layers)
    seconds: dict[str, float] = {}
    for stages in priced.stages_s.values():
        for stage, of_layer in stages.items():
            seconds[stage] = seconds.get(stage, 0.0) + of_layer
    total_s = sum(seconds.values()) or 1.0
    names, loads, unit = _link_loads(priced)
    order = np.argsort(-loads, kind="stable")[:_MOST_LINKS].tolist()
    return {
        "time_s": priced.time_s / steps, "power_w": priced.power_w, "energy_j": priced.energy_j / steps,
        "stages": [[words.get(stage, stage).removeprefix("the "), of_all / total_s] for stage, of_all in seconds.items()],
        "links": [[names[n], float(loads[n]) / ledger.positions] for n in order if loads[n]], "links_unit": unit,
    }  # fmt: skip


def _link_loads(priced: Priced) -> tuple[list[str], Any, str]:
    """Return the links that matter, what they carried, and its unit: between chips where there are such, else on the mesh."""
    between, mesh = priced.link_loads, priced.mesh
    if between.links:
        return [str(link) for link in between.links], between.packets, "packets"
    return [f"{one.x},{one.y} to {one.to_x},{one.to_y}" for one in mesh.links], mesh.flits, "flits"
