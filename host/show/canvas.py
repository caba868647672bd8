"""matplotlib as this project draws with it: whatever a user has set for other work, it starts from its own defaults.

The only file that imports it. A backend of a notebook's (MPLBACKEND) need not be there, and a user's matplotlibrc may ask
for LaTeX, for another look, or be damaged; here every picture is written to a file, in one look.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave out the user's backend, and what is said of the user's settings, while matplotlib is loaded."""
    backend, log = os.environ.pop("MPLBACKEND", None), logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


with _undisturbed():
    from matplotlib import style
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

__all__ = ["Axes", "Figure", "LineCollection", "PolyCollection", "styled", "to_rgb"]


def styled(settings: Any) -> Any:
    """Return what decorates (or surrounds, with `with`) all that draws: matplotlib's defaults, and over them `settings`."""
    return style.context(["default", settings])
