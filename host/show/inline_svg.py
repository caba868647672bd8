"""A figure as SVG that stands within a page, and the same as a file of its own."""

import re
from html import escape
from io import StringIO

from host.show.canvas import Figure, styled
from host.show.plot_style import STYLE
from models.palette import GROUND, INK

_FONTS = "DejaVu Sans, Arial, Helvetica, sans-serif"


@styled(STYLE)
def svg(figure: Figure, prefix: str) -> str:
    """Return a figure as SVG to stand within a page: as wide as its place, in the page's text colour, its hints as titles.

    `prefix` sets its identifiers apart from those of other figures on the page.
    """
    out = StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for size in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    for gid, hints in figure.hints.items():
        text = _hinted(text, gid, hints)
    # Names of groups are of no use here, and would be there once for each figure.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", text)
    # A hundredth of a point is finer than any screen; factors of transforms keep their digits.
    text = re.sub(r'\bd="[^"]*"', lambda match: re.sub(r"\.(\d\d)\d+", r".\1", match[0]), text)
    return text.replace(INK, "currentColor").strip()


def _hinted(text: str, gid: str, hints: tuple[str, ...]) -> str:
    """Return an SVG in which the paths of the group `gid` have titles, one after the other."""
    begin = text.index(f'<g id="{gid}"')
    end = text.index("</g>", begin)
    titles = iter(hints)
    paths = re.sub(r"(<path\b[^>]*?)/>", lambda path: f"{path[1]}><title>{escape(next(titles))}</title></path>", text[begin:end])
    return text[:begin] + paths + text[end:]


def standalone(text: str) -> str:
    """Return SVG of a page as a file of its own: in points, on white, in dark ink."""
    wide, high = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()  # type: ignore[union-attr]
    look = f'width="{wide}pt" height="{high}pt" color="{INK}" font-family="{_FONTS}" style="background: {GROUND}"'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text.replace("<svg", f"<svg {look}", 1)}\n'
