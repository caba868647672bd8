"""What the page of a run on recordings shows beside what every run does: which gesture was taken for which, and every sample."""

from collections.abc import Mapping
from typing import Any

from host.show.blocks import Figure, Html, details, heading, listing, paragraph, section, table
from host.show.confusion_figure import confusion_figure
from host.workloads.dvs.results import compare_in_words

_COLUMNS = ("sample", "subject", "class", "found", "by torch")


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on gestures; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    blocks: list[Html] = [paragraph(f"{compare_in_words(result)}.")]
    if result["damages"]:
        blocks += [heading("Damaged"), listing(result["damages"])]
    rows = []
    for sample in result["predictions"]:
        classes = (sample[key] for key in ("label", "prediction", "baseline"))
        names = (None if number is None else result["classes"][number] for number in classes)
        rows.append((sample["name"], sample["subject"], *names))
    samples = details(f"All {len(rows)} samples", table(_COLUMNS, rows, long=0))
    return [section("Gestures", [*blocks, samples])]


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawing of the confusion; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    return [confusion_figure(result["confusion"], result["classes"])]
