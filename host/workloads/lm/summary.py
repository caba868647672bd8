"""What the summary says of a run of a language model."""

from collections.abc import Mapping
from typing import Any


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - no table to compare with
    """Return the lines: the text that was generated, or the perplexity; and words that the vocabulary lacks."""
    result, lines = report["result"], []
    if result.get("text") is not None:
        lines.append("text         " + result["text"].strip().replace("\n", "\n" + 13 * " "))
    if result.get("perplexity") is not None:
        note = f"   ({result['note']})" if result["note"] else ""
        lines.append(f"perplexity   {result['perplexity']:.2f} over {result['tokens']} tokens of {result['source']}{note}")
    if result["unknown_words"]:
        lines.append(f"unknown      {result['unknown_words']:,} of {result['words_run']:,} words became <unk>")
    return lines
