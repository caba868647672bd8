"""What the PEs did over the run, in counts."""

from collections.abc import Mapping

from host.show.blocks import Html, details, table
from host.show.content import Content
from host.show.quantities import format_quantity
from host.show.words import NAMES, Words, name_of

TITLE = "Work"
ORDER = 60
_OPEN = (
    "macs",
    "weights_visited",
    "events",
    "event_copies",
    "flits_sent",
    "sram_read_bytes",
    "sram_written_bytes",
    "dram_read_bytes",
)


def build(content: Content) -> list[Html]:
    """Return the counts."""
    cost = content.report.get("modelled")
    if not cost:
        return []
    work, names = cost["work"], NAMES | content.stages
    first = {name: work[name] for name in _OPEN if name in work}
    return [_table(first, names), details(f"All {len(work)} counts", _table(work, names))]


def _table(work: Mapping[str, int], names: Mapping[str, Words]) -> Html:
    rows = [
        (name_of(name, names), count, format_quantity(float(count), "") if count >= 1000 else "") for name, count in work.items()
    ]
    return table(("over the run", "count", ""), rows, numeric=(1, 2))
