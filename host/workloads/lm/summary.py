"""What the summary says of a run of a language model."""

from collections.abc import Mapping
from typing import Any

_LONG = 1e12  # from here on a perplexity has more digits than anybody reads


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - no table to compare with
    """Return the lines: the text that was generated, or the perplexity; and words that the vocabulary lacks."""
    result, lines = report["result"], []
    if result.get("text") is not None:
        lines.append("text         " + result["text"].strip().replace("\n", "\n" + 13 * " "))
    unknown = result["unknown_words"] / max(result["words_run"], 1)
    beside = f", {100 * unknown:.3g} % of the words <unk>," if unknown else ""
    over, note = f"over {result['tokens']} tokens{beside} of {result['source']}", f"   ({result['note']})" if result["note"] else ""
    if (perplexity := result.get("perplexity")) is not None:
        lines.append(f"perplexity   {perplexity:{'.2f' if perplexity < _LONG else '.4g'}} {over}{note}")
    elif result.get("text") is None and result["tokens"]:  # a note says why no number holds it
        lines.append(f"perplexity   {result['note'].removeprefix('perplexity ')} {over}")
    if result.get("not_finite"):
        what = f"scores of {result['not_finite']} of {len(result['generated'])} words are no finite numbers"
        lines.append(f"overflow     {what}: the text means nothing")
    if result["unknown_words"]:
        lines.append(f"unknown      {result['unknown_words']:,} of {result['words_run']:,} words became <unk>")
    return lines
