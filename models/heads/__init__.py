"""Heads: from the last population's events to an answer, on the host. One file each; its `warm()` compiles what it calls."""

import sys

from models.families import family_path, member_names

__path__ = family_path(__path__, __name__)


def warm_loaded() -> None:
    """Compile the heads that have been imported, or load them from the cache."""
    package = sys.modules[__name__]
    for name in member_names(package):
        if f"{__name__}.{name}" in sys.modules:
            sys.modules[f"{__name__}.{name}"].warm()
