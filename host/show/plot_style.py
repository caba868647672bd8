"""How every plot looks: matplotlib's settings, without importing it."""

from typing import Any

from models.palette import FAINT, GROUND, INK, SERIES

STYLE: Any = {
    "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.prop_cycle": f"cycler(color={SERIES})",
    "legend.frameon": False, "legend.fontsize": 8.5, "image.composite_image": False,
    "svg.fonttype": "none", "svg.hashsalt": "gennaker",  # the same numbers, the same file
}  # fmt: skip
"""For figures that stand within a page: text as text, in the page's font."""
STANDALONE: Any = STYLE | {"svg.fonttype": "path", "savefig.facecolor": GROUND, "axes.axisbelow": True}
"""For files of their own: text as outlines, on white."""


def escape_formula(text: str) -> str:
    """Return a text with nothing in it that matplotlib takes for a formula."""
    return text.replace("$", r"\$")
