"""How every plot looks: colours and matplotlib's settings, without importing it."""

from typing import Any

INK = "#010203"  # text and lines; becomes the page's text colour, light or dark
FAINT = "#8a8f98"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a3a8b0", "#e69f00", "#56b4e9")  # told apart by the colour-blind too
STYLE: Any = {
    "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.prop_cycle": f"cycler(color={COLOURS})",
    "legend.frameon": False, "legend.fontsize": 8.5, "image.composite_image": False,
    "svg.fonttype": "none", "svg.hashsalt": "gennaker",  # the same numbers, the same file
}  # fmt: skip
"""For figures that stand within a page: text as text, in the page's font."""
STANDALONE: Any = STYLE | {"svg.fonttype": "path", "savefig.facecolor": "white", "axes.axisbelow": True}
"""For files of their own: text as outlines, on white."""


def escape_formula(text: str) -> str:
    """Return a text with nothing in it that matplotlib takes for a formula."""
    return text.replace("$", r"\$")
