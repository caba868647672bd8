"""When which PE sent events, and how many units of each layer did."""

import numpy as np

from host.cost.ledger import RunLedger
from host.show import canvas, plots
from host.show.blocks import Figure, Html
from host.show.content import Content
from models.network import F64

TITLE = "Events"
ORDER = 40
_MOST_COLUMNS, _MOST_POINTS = 360, 240  # of the raster, and across a figure: as many as a phone shows


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


def _raster(run: RunLedger) -> canvas.Figure:
    events, _ = mean_events(run, _MOST_COLUMNS)
    share = 100 * events.T / (run.shards["units"] * run.lanes)[:, None]
    starts = [int(np.argmax(run.shards["population"] == number)) for number in run.layers]
    return plots.raster(share, run.layer_names, starts, run.positions, "% of units", "position")


def _course(run: RunLedger) -> canvas.Figure:
    population = run.shards["population"]
    events, at = mean_events(run, _MOST_POINTS)
    courses = {}
    for number, name in zip(run.layers, run.layer_names, strict=True):
        units = int(run.shards["units"][population == number].sum()) * run.lanes
        courses[name] = (at, 100 * events[:, population == number].sum(axis=1) / units)
    return plots.lines(courses, "position", "% of units", low=0)


def mean_events(run: RunLedger, most: int) -> tuple[F64, F64]:
    """Return the events of each shard, (columns, shards), in at most `most` columns, each the mean of as many neighbouring
    positions as it takes; and each column's mean position.
    """
    width = max(-(-run.positions // most), 1)
    columns = -(-run.positions // width)
    sums = np.zeros((columns, len(run.shards["pe"])), np.int64)
    for part in run.parts():
        events, at = part.ledger.shard_events, (part.first + np.arange(part.ledger.positions)) // width
        begins = np.flatnonzero(np.diff(at, prepend=-1))
        sums[at[begins]] += np.add.reduceat(events, begins, axis=0)
    edges = np.minimum(width * np.arange(columns + 1), run.positions)
    return sums / np.diff(edges)[:, None], (edges[:-1] + edges[1:] - 1) / 2
