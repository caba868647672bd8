"""The files of the run folder."""

from host.show.blocks import Html, Link, table
from host.show.content import Content

TITLE = "Files of this run"
ORDER = 110


def build(content: Content) -> list[Html]:
    """Return each file, as a link, and what it holds."""
    return [table(("file", "what it holds"), [(Link(name, name), what) for name, what in content.files], long=1)] * bool(
        content.files
    )
