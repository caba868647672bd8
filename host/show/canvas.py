"""matplotlib as this project draws with it: whatever a user has set for other work, it starts from its own defaults.

The only file that imports it. A backend of a notebook's (MPLBACKEND) need not be there, and a user's matplotlibrc may ask
for LaTeX, for another look, or be damaged; here every picture is written to a file, in one look.
"""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from host.show.quantities import format_tick


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave out the user's backend and settings while matplotlib is loaded, and what it says of them."""
    names = ("MPLBACKEND", "MATPLOTLIBRC")
    before, log = {name: os.environ.pop(name, None) for name in names}, logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    package = importlib.util.find_spec("matplotlib")
    if package is not None and package.origin:  # its own file of defaults; one in the current folder still goes first
        os.environ["MATPLOTLIBRC"] = str(Path(package.origin).with_name("mpl-data"))
    try:
        yield
    finally:
        log.setLevel(level)
        os.environ.pop("MATPLOTLIBRC", None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


with _undisturbed():
    from matplotlib import colormaps, style
    from matplotlib.axes import Axes
    from matplotlib.backends import backend_pdf, backend_svg  # noqa: F401 - what writes, which a first figure would load
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure as PlainFigure
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

__all__ = [
    "Axes", "Figure", "LineCollection", "Normal", "PolyCollection", "Rectangle", "Text",
    "colormaps", "number_ticks", "styled", "to_rgb",
]  # fmt: skip

_MOST_DIVIDED = 3  # powers of ten with more than one tick


class Figure(PlainFigure):
    """A figure of matplotlib's whose parts may say what they are where a pointer rests on them, once it is SVG.

    A notebook shows it, too, whether or not it draws with matplotlib itself.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.hints: dict[str, tuple[str, ...]] = {}

    def add_hints(self, artist: Any, texts: Sequence[str]) -> None:
        """Let each element of `artist` (one, or a collection's in order) say its text; the artist's SVG has as many paths."""
        artist.set_gid(f"hint{len(self.hints)}")
        self.hints[artist.get_gid()] = tuple(texts)

    def _repr_png_(self) -> bytes:
        out = BytesIO()
        self.savefig(out, format="png", dpi=160)
        return out.getvalue()


def styled(settings: Any) -> contextlib._GeneratorContextManager[None]:
    """Return what decorates (or surrounds, with `with`) all that draws: matplotlib's defaults, and over them `settings`."""
    context: contextlib._GeneratorContextManager[None] = style.context(["default", settings])
    return context


class _NumberLocator(LogLocator):
    """Ticks at 1, 2 and 5 of each power of ten where these are few, else at powers of ten alone."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        few = vmin > 0 and vmax < vmin * 10**_MOST_DIVIDED
        self.set_params(subs=(1, 2, 5) if few else (1,))
        return super().tick_values(vmin, vmax)


def number_ticks(axis: Any) -> None:
    """Let a logarithmic axis have ticks that are numbers, not powers; large and small ones with an SI prefix."""
    axis.set_major_locator(_NumberLocator())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))
