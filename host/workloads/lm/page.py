"""What the page of a language model's run shows beside what every run does: the generated text."""

from collections.abc import Mapping
from typing import Any

from host.show.blocks import Html, preformatted, section


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the text, where one was generated."""
    text = (report.get("result") or {}).get("text")
    return [section("Text", [preformatted(text)])] if text else []
