"""The gesture network in float32 and in int8, on the core and on the MAC array: rows of `launch.py paper --outlook`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.show.summary import published
from host.workloads.dvs.options import Options
from host.workloads.outlook_row import OutlookRow
from models.checkpoint import Model, load
from models.shipped import path_of

_FORMS = (
    ("gesture float32, dense, as published", "gesture-plain", "dense", None),
    ("gesture int8, dense", "gesture-int8", "dense", None),
    ("gesture int8, array", "gesture-int8", "array", None),
    ("gesture int8, array, half the PEs", "gesture-int8", "array", 64),
)


def outlook_rows() -> list[OutlookRow]:
    """Return the gesture network's forms, one sample of 68 frames each."""
    rows, pes = [], int(published()["table3"]["pes"])
    for title, name, form, fewer in _FORMS:
        path = path_of(name)
        if path is None:
            rows.append(OutlookRow(title, "", None, note="not shipped"))
            continue
        accuracy = _accuracy(load(path))
        quality = f"accuracy {100 * accuracy:.1f} %" if isinstance(accuracy, int | float) else "accuracy not recorded"
        rows.append(OutlookRow(title, quality, Options(checkpoint=str(path), samples=1, format=form, pes=fewer or pes)))
    return rows


def _accuracy(model: Model) -> Any:
    """Return a checkpoint's accuracy on the test set, as it says; of one that was quantised, what was measured after that."""
    quantised = model.provenance.get("quantised")
    if isinstance(quantised, Mapping):
        return quantised.get("test_accuracy")
    return None if model.gesture is None else model.gesture.record.get("accuracy")
