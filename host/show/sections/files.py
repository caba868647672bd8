"""The files of the run folder."""

from host.show.blocks import Html, table
from host.show.content import Content

TITLE = "Files of this run"
ORDER = 110


def build(content: Content) -> list[Html]:
    """Return each file and what it holds."""
    return [table(("file", "what it holds"), content.files, long=1)]
