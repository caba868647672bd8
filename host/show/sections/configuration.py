"""With which options the run was made, and what became of the mapping."""

from host.show.blocks import Html, flatten, heading, table
from host.show.content import Content

TITLE = "Configuration"
ORDER = 100


def build(content: Content) -> list[Html]:
    """Return options and mapping."""
    blocks = [table(("option", "value"), sorted(flatten(content.config)), long=1)]
    if content.report.get("mapping"):
        blocks += [heading("Mapping"), table(("key", "value"), flatten(content.report["mapping"]), long=1)]
    return blocks
