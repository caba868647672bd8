"""One palette: no colour stands anywhere but in `models/palette.py`, and what it names can be told apart."""

import re
from pathlib import Path

import pytest

from models import palette

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    path for folder in ("bench", "gennaker", "host", "models", "noc", "pe") for kind in ("py", "css")
    for path in sorted((ROOT / folder).rglob(f"*.{kind}")) if path != Path(palette.__file__)
]  # fmt: skip
COLOUR = re.compile(
    r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b(?=[;\"])|color\(\d|\b(?:tab10|viridis|plasma|Set[123])\b"
    r"|colou?r=[\"'](?:C\d|[a-z]+)[\"']"
)


def test_no_colour_is_named_anywhere_else():
    found = [(str(path.relative_to(ROOT)), match[0]) for path in FILES for match in COLOUR.finditer(path.read_text("utf-8"))]
    assert found == []
    assert COLOUR.search(Path(palette.__file__).read_text("utf-8"))


def luminance(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", [palette.PAGE_LIGHT, palette.PAGE_DARK])
def test_text_of_the_page_is_readable_light_and_dark(page):
    """4.5 to 1: what the WCAG ask of text."""
    for text in ("ink", "faint", "accent", "warn"):
        for ground in ("ground", "card"):
            assert contrast(page[text], page[ground]) >= 4.5, (text, ground)


def test_what_stands_side_by_side_differs():
    assert len(set(palette.SERIES)) == len(set(palette.TERMINAL_SERIES)) == len(palette.SERIES) == len(palette.TERMINAL_SERIES)
    assert len(set(palette.HEAT)) == 6
