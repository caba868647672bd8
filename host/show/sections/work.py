"""What the PEs did over the run, in counts."""

from host.show.blocks import Html, table
from host.show.content import Content

TITLE = "Work"
ORDER = 60


def build(content: Content) -> list[Html]:
    """Return the counts."""
    cost = content.report.get("modelled")
    return [table(("count", "over the run"), cost["work"].items(), numeric=(1,))] if cost else []
