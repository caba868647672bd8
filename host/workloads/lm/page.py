"""What the page of a language model's run shows beside what every run does: the generated text."""

from collections.abc import Mapping
from typing import Any

from host.show.blocks import Html, paragraph, preformatted, section


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the text, where words were drawn."""
    result = report.get("result") or {}
    if not result.get("text"):
        return []
    drawn = len(result.get("generated") or ())
    words = f"The prompt, and {drawn:,} {'word' if drawn == 1 else 'words'} drawn after it."
    return [section("Text", [paragraph(words, "faint"), preformatted(result["text"])])]
