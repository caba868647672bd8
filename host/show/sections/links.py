"""What crossed each link between chips."""

from collections.abc import Sequence
from typing import NamedTuple

from host.cost.link_cost import link_use
from host.show import plots
from host.show.blocks import Figure, Html, details, figure_row, paragraph, table
from host.show.content import Content, PricedRun
from noc.machine import BOARD_CHIPS

TITLE = "Links between chips"
ORDER = 30
_ALL_OPEN, _OPEN = 12, 8  # links that are all listed openly; how many of more are


class LinkRow(NamedTuple):
    """A link between chips: its name, whether it leaves its board, its packets, and the share of the run that it is busy."""

    name: str
    cable: bool
    packets: int
    busy: float


def build(content: Content) -> list[Html]:
    """Return the map and the table of links; nothing where there are none."""
    rows = link_rows(content.run) if content.run else []
    return [figure_row(link_map(content.run), _links(rows))] if content.run and rows else []


def link_map(run: PricedRun) -> list[Figure]:
    """Return the map of the links between chips; none where there are none, or too many to see."""
    ledger, machine, on_links = run.ledger, run.machine, run.priced.link_loads
    if not on_links.links or len(machine.live) > BOARD_CHIPS:
        return []
    packets = on_links.packets / max(ledger.positions, 1)
    loads = dict.fromkeys(machine.links, 0.0) | dict(zip(on_links.links, packets.tolist(), strict=True))
    caption = "Packets on each link, a position; each direction keeps to its side; those around the torus end where they leave."
    drawn = plots.mesh_links(loads, run.positions, "packets")
    return [Figure("Links between chips", caption, plots.svg(drawn, "links"))]


def link_rows(run: PricedRun) -> list[LinkRow]:
    """Return what each link between chips carried, the one that is busy longest first."""
    loads = run.priced.link_loads
    if not loads.links:
        return []
    busy = link_use(loads, run.chip, run.costs).busy_s / run.priced.time_s
    columns = zip(map(str, loads.links), loads.cables.tolist(), loads.packets.tolist(), busy.tolist(), strict=True)
    return sorted((LinkRow(*row) for row in columns), key=lambda row: -row.busy)


def _links(links: Sequence[LinkRow]) -> list[Html]:
    """Return the links as tables, the busiest ones open to view; `links` has the busiest first."""
    rows = [(link.name, "cable" if link.cable else "board", link.packets, f"{100 * link.busy:.3g} %") for link in links]
    head, open_rows = ("link", "over", "packets", "busy"), len(rows) if len(rows) <= _ALL_OPEN else _OPEN
    cables = sum(link.cable for link in links)
    note = (
        f"{sum(link.packets for link in links):,} packets cross {len(links)} links, {cables} of them cables to another board or "
        f"around the torus of their own. The busiest is {links[0].name}: busy for {100 * links[0].busy:.3g} % of the run."
    )
    blocks = [paragraph(note), table(head, rows[:open_rows], numeric=(2, 3))]
    return blocks + [details(f"All {len(rows)} links", table(head, rows, numeric=(2, 3)))] * bool(rows[open_rows:])
