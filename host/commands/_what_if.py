"""`launch.py price RUN --what-if`: the bottleneck of a recorded run, and what each single setting would change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.cost.what_if import PricingTerms
from host.show.answers import format_what_if
from host.show.status import unit_of
from host.show.text_table import wrap_words

_NARROWEST, _WIDEST = 80, 140


def print_what_if(folder: Path, report: Mapping[str, Any], pricing: PricingTerms, *, as_json: bool) -> None:
    """Print the answers of a recorded run, whose report this is, on top of the prices that `pricing` has."""
    from host.run.placed_answers import answers_of_folder  # loads the compiler, which no other price needs

    answers = answers_of_folder(folder, pricing, report)
    if as_json:
        print(json.dumps(answers, indent=1, allow_nan=False))
        return
    columns = min(max(shutil.get_terminal_size((_NARROWEST, 24)).columns, _NARROWEST), _WIDEST)
    for sentence in (answers["bottleneck"]["sentence"], answers["advice"]["sentence"]):
        print("\n".join(wrap_words(sentence, columns)))
    print()
    print("\n".join(format_what_if(answers, unit_of(report), columns)))
