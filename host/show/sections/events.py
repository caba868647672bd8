"""When which PE sent events, and how many units of each layer did."""

import numpy as np

from host.cost.ledger import Ledger
from host.show import plots
from host.show.blocks import Figure, Html, figure_row
from host.show.content import Content

TITLE = "Events"
ORDER = 40
_MOST_POINTS = 240  # across a figure: as many as a phone shows


def build(content: Content) -> list[Html]:
    """Return raster and course."""
    return [figure_row(event_figures(content.run.ledger))] if content.run else []


def event_figures(ledger: Ledger) -> list[Figure]:
    """Return the raster of events and the course of each layer's activity."""
    population, events = ledger.shards["population"], ledger.shard_events
    share = 100 * events.T / (ledger.shards["units"] * ledger.lanes)[:, None]
    starts = [int(np.argmax(population == number)) for number in ledger.layers]
    raster = plots.raster(share, ledger.layer_names, starts, ledger.positions, "% of units", "position")
    at = plots.downsample(np.arange(ledger.positions)[None, :], _MOST_POINTS)[0]
    courses = {}
    for number, name in zip(ledger.layers, ledger.layer_names, strict=True):
        units = int(ledger.shards["units"][population == number].sum()) * ledger.lanes
        course = 100 * events[:, population == number].sum(axis=1) / units
        courses[name] = (at, plots.downsample(course[None, :], _MOST_POINTS)[0])
    course = plots.lines(courses, "position", "% of units", low=0)
    return [
        Figure("Event raster", "One line a PE, one column a position: units with an event.", plots.svg(raster, "raster")),
        Figure("Activity by layer", "Units with an event at each position.", plots.svg(course, "course")),
    ]
