"""What crossed each link between chips."""

from collections.abc import Sequence
from typing import NamedTuple

from host.cost.link_cost import link_use
from host.show import chip_plots
from host.show.blocks import Figure, Html, details, paragraph, table
from host.show.content import Content, PricedRun
from host.show.run_words import links_sentence
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


def figures(content: Content) -> list[Figure]:
    """Return the map of the links between chips; none where there are none, or too many to see."""
    run = content.run
    if run is None or not run.priced.link_loads.links or len(run.machine.live) > BOARD_CHIPS:
        return []
    on_links = run.priced.link_loads
    packets = on_links.packets / max(run.ledger.positions, 1)
    loads = dict.fromkeys(run.machine.links, 0.0) | dict(zip(on_links.links, packets.tolist(), strict=True))
    caption = "Packets on each link, a position; each direction keeps to its side; those around the torus end where they leave."
    places = run.positions
    return [Figure(name="links", title=TITLE, caption=caption, draw=lambda: chip_plots.mesh_links(loads, places, "packets"))]


def build(content: Content) -> list[Html]:
    """Return the table of links; nothing where there are none."""
    rows = link_rows(content.run) if content.run else []
    links = content.run.priced.links if content.run else None
    return _links(rows, links_sentence(links)) if rows and links else []


def link_rows(run: PricedRun) -> list[LinkRow]:
    """Return what each link between chips carried, the one that is busy longest first."""
    loads = run.priced.link_loads
    if not loads.links:
        return []
    busy = link_use(loads, run.chip, run.costs).busy_s / run.priced.time_s
    columns = zip(map(str, loads.links), loads.cables.tolist(), loads.packets.tolist(), busy.tolist(), strict=True)
    return sorted((LinkRow(*row) for row in columns), key=lambda row: -row.busy)


def _links(links: Sequence[LinkRow], sentence: str) -> list[Html]:
    """Return the links as tables, the busiest ones open to view; `links` has the busiest first; `said` is the line above."""
    rows = [(link.name, "cable" if link.cable else "board", link.packets, f"{100 * link.busy:.3g} %") for link in links]
    head, open_rows = ("link", "over", "packets", "busy"), len(rows) if len(rows) <= _ALL_OPEN else _OPEN
    blocks = [paragraph(f"{sentence}."), table(head, rows[:open_rows], numeric=(2, 3))]
    return blocks + [details(f"All {len(rows)} links", table(head, rows, numeric=(2, 3)))] * bool(rows[open_rows:])
