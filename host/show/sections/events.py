"""When which PE sent events, and how many units of each layer did."""

import numpy as np

from host.cost.ledger import Ledger
from host.show import plots
from host.show.blocks import Figure, Html
from host.show.content import Content

TITLE = "Events"
ORDER = 40
_MOST_POINTS = 240  # across a figure: as many as a phone shows


def figures(content: Content) -> list[Figure]:
    """Return the raster of events and the course of each layer's activity."""
    if not content.run:
        return []
    ledger = content.run.ledger
    raster = "One line a PE, one column a position: units with an event."
    course = "Units with an event at each position."
    return [
        Figure(name="raster", title="Event raster", caption=raster, draw=lambda: _raster(ledger)),
        Figure(name="activity", title="Activity by layer", caption=course, draw=lambda: _course(ledger)),
    ]


def build(content: Content) -> list[Html]:  # noqa: ARG001 - a section's signature
    """Return nothing beside the figures."""
    return []


def _raster(ledger: Ledger) -> plots.Figure:
    population = ledger.shards["population"]
    share = 100 * ledger.shard_events.T / (ledger.shards["units"] * ledger.lanes)[:, None]
    starts = [int(np.argmax(population == number)) for number in ledger.layers]
    return plots.raster(share, ledger.layer_names, starts, ledger.positions, "% of units", "position")


def _course(ledger: Ledger) -> plots.Figure:
    population, events = ledger.shards["population"], ledger.shard_events
    at = plots.downsample(np.arange(ledger.positions)[None, :], _MOST_POINTS)[0]
    courses = {}
    for number, name in zip(ledger.layers, ledger.layer_names, strict=True):
        units = int(ledger.shards["units"][population == number].sum()) * ledger.lanes
        course = 100 * events[:, population == number].sum(axis=1) / units
        courses[name] = (at, plots.downsample(course[None, :], _MOST_POINTS)[0])
    return plots.lines(courses, "position", "% of units", low=0)
