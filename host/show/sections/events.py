"""When which PE sent events, and how many units of each layer did."""

import numpy as np

from host.cost.ledger import RunLedger
from host.show import plots
from host.show.blocks import Figure, Html, figure_row
from host.show.content import Content
from models.network import F64

TITLE = "Events"
ORDER = 40
_MOST_COLUMNS, _MOST_POINTS = 360, 240  # of the raster, and across a figure: as many as a phone shows


def build(content: Content) -> list[Html]:
    """Return raster and course."""
    return [figure_row(event_figures(content.run.ledger))] if content.run else []


def event_figures(run: RunLedger) -> list[Figure]:
    """Return the raster of events and the course of each layer's activity."""
    population = run.shards["population"]
    events, _ = mean_events(run, _MOST_COLUMNS)
    share = 100 * events.T / (run.shards["units"] * run.lanes)[:, None]
    starts = [int(np.argmax(population == number)) for number in run.layers]
    raster = plots.raster(share, run.layer_names, starts, run.positions, "% of units", "position")
    events, at = mean_events(run, _MOST_POINTS)
    courses = {}
    for number, name in zip(run.layers, run.layer_names, strict=True):
        units = int(run.shards["units"][population == number].sum()) * run.lanes
        courses[name] = (at, 100 * events[:, population == number].sum(axis=1) / units)
    course = plots.lines(courses, "position", "% of units", low=0)
    return [
        Figure("Event raster", "One line a PE, one column a position: units with an event.", plots.svg(raster, "raster")),
        Figure("Activity by layer", "Units with an event at each position.", plots.svg(course, "course")),
    ]


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
