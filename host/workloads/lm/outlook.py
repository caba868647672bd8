"""The language model in float32 and in int8, by weight format: rows of `launch.py paper --outlook`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.show.summary import published
from host.workloads.lm.options import Options
from host.workloads.outlook_row import OutlookRow
from models.checkpoint import load
from models.shipped import path_of

VECTORS, WIDE = "lm-vectors", "lm-wide"
_NOT_THERE = "not shipped"
_FORMS = (
    ("LM float32, csr, as published", "lm", "csr", "uniform", True),
    ("LM float32, packed", "lm", "packed", "uniform", True),
    ("LM float32, packed, fewest PEs", "lm", "packed", "balanced", False),
    ("LM int8, packed", "lm-int8", "packed", "uniform", True),
    ("LM int8, packed, fewest PEs", "lm-int8", "packed", "balanced", False),
    ("LM int8, vectors 16 x 1", VECTORS, "vectors", "uniform", False),
    ("LM int8, vectors 16 x 1, fewest PEs", VECTORS, "vectors", "balanced", False),
    ("LM int8, twice the units, vectors", WIDE, "vectors", "uniform", False),
    ("LM int8, twice the units, fewest PEs", WIDE, "vectors", "balanced", False),
)  # title, checkpoint, format, mapping, whether on the paper's number of PEs


def outlook_rows() -> list[OutlookRow]:
    """Return the language model's forms, each over the paper's number of words."""
    words, pes = int(published()["assumed"]["tokens"]), int(published()["table2"]["pes"])
    rows, perplexities = [], dict[str, float | None]()
    for title, name, form, mapping, as_paper in _FORMS:
        path = path_of(name)
        if path is None:
            rows.append(OutlookRow(title, "", None, note=_NOT_THERE))
            continue
        options = Options(checkpoint=str(path), tokens=words, format=form, mapping=mapping, pes=pes if as_paper else None)
        if name not in perplexities:
            perplexities[name] = perplexity_on_test(load(path).provenance)
        perplexity = perplexities[name]
        quality = "perplexity not recorded" if perplexity is None else f"perplexity {perplexity:.2f}"
        rows.append(OutlookRow(title, quality, options, words))
    return rows


def perplexity_on_test(provenance: Mapping[str, Any]) -> float | None:
    """Return a checkpoint's perplexity on its whole test text, as its provenance has it; None where that is of other numbers.

    What was quantised after training has its own under `quantised`; what was trained on `bits` was scored on the same numbers.
    """
    quantised, settings = provenance.get("quantised"), provenance.get("settings")
    scored = provenance.get("test_carried")
    found = scored.get("perplexity") if isinstance(scored, Mapping) else None
    if isinstance(quantised, Mapping):
        on_numbers = isinstance(settings, Mapping) and settings.get("bits") == quantised.get("weights")
        found = quantised.get("test_perplexity", found if on_numbers else None)
    return float(found) if isinstance(found, int | float) else None
