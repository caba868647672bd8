"""The figures of a run as files: `figures/NAME.svg` and `figures/NAME.pdf`, each to be read by itself."""

from collections.abc import Iterable
from pathlib import Path

from host.show.blocks import Figure
from host.show.canvas import Normal, Text, styled
from host.show.inline_svg import standalone
from host.show.page import FIGURES
from host.show.plot_style import STANDALONE

_BARE = {"Creator": None, "Producer": None, "CreationDate": None}  # the same numbers, the same file


def write_svgs(figures: Iterable[Figure], folder: Path) -> None:
    """Write each figure, as it is on the page, into a run's `folder`; OSError where that cannot be."""
    (folder / FIGURES).mkdir(exist_ok=True)
    for one in figures:
        (folder / FIGURES / f"{one.name}.svg").write_text(standalone(one.svg), "utf-8", "backslashreplace")


@styled(STANDALONE)
def write_pdfs(figures: Iterable[Figure], folder: Path) -> None:
    """Write each figure as PDF into a run's `folder`; OSError where that cannot be. Text is drawn as outlines: a font that is
    embedded, as journals ask for it, takes five times as long.
    """
    (folder / FIGURES).mkdir(exist_ok=True)
    for one in figures:
        for text in one.drawn.findobj(Text):
            text.set_path_effects([Normal()])  # matplotlib's way to have a text's outlines
        one.drawn.savefig(folder / FIGURES / f"{one.name}.pdf", metadata=_BARE)
