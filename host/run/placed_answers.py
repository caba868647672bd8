"""The answers of a run: what each setting of its price would change, and each other format, mapping and number of chips.

Another placement is priced from the recorded counts, dealt out to it (`host/run/replaced_ledger.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from host.cost.ledger import Ledger, RunLedger
from host.cost.priced import Priced
from host.cost.what_if import OTHERS, Answer, PricingTerms, compared, what_if
from host.errors import HostError
from host.mapping.alternatives import GROUPS, Alternative, alternatives
from host.mapping.placement import Placement
from host.run.replaced_ledger import replaced_ledger
from host.show.answers import answers_block
from host.workloads.registry import prepare, restore_options
from models.network import ModelError
from models.text.tokeniser import TextError
from noc.chip import ChipError

_MOST_COUNTS = 20_000_000  # of events in a ledger: some gigabytes while they are dealt out


def answers_of(pricing: PricingTerms, placement: Placement | str, sram_bytes: int | None = None) -> dict[str, Any]:
    """Return the answers of a run (`host/show/answers.py`): what each setting of its price, other format, mapping and number of
    chips would change.

    `placement` is that of the ledger; a text says why there is none. `sram_bytes`: that of the fullest PE.
    """
    priced = pricing.price()
    rows = what_if(pricing, priced, sram_bytes)
    rows += unplaced_answers(placement) if isinstance(placement, str) else placed_answers(pricing, placement, priced)
    return answers_block(pricing.ledger, priced, rows, sram_bytes)


def bottleneck_alone(pricing: PricingTerms, why: str) -> dict[str, Any]:
    """Return the answers of a run that is too long for a table beside it: its bottleneck."""
    return answers_block(pricing.ledger, pricing.price(), unplaced_answers(why, ("settings",)), None)


def answers_of_folder(folder: Path, pricing: PricingTerms, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers of a recorded run with this report; another placement is worked out where its files are still there."""
    worst = ((report.get("mapping") or {}).get("sram") or {}).get("worst")
    try:
        placement: Placement | str = recorded_placement(folder)
    except HostError as error:
        placement = f"needs a run: {error}"
    return answers_of(pricing, placement, sram_bytes=worst["weights"] + worst["variables"] if worst else None)


def placed_answers(pricing: PricingTerms, placement: Placement, priced: Priced) -> list[Answer]:
    """Return a row for each other format, mapping and number of chips; one that does not fit says so in its note.

    `placement` is that of the ledger, `priced` its price as it is.
    """
    return [_answer(one, pricing, placement, priced) for one in alternatives(placement)]


def sram_bytes_of(placement: Placement) -> int:
    """Return the bytes of weights and variables of a placement's fullest PE."""
    worst = placement.worst()
    return worst["weights"] + worst["variables"]


def recorded_placement(folder: Path) -> Placement:
    """Return the placement of a recorded run, made again from the options in its folder; HostError, one line, where its files are
    gone or have changed.
    """
    who = f"run {folder}: config.json"
    try:
        options = restore_options(json.loads((folder / "config.json").read_text("utf-8")), who)
        return prepare(replace(options, outputs=None, save=None, cluster=None, restart=False)).placement
    except (OSError, json.JSONDecodeError) as error:
        raise HostError(f"{who}: cannot be read ({error})") from error
    except (ModelError, TextError, ChipError) as error:
        raise HostError(str(error)) from error


def _in_memory(run: RunLedger) -> Ledger:
    """Return a run's ledger in memory; HostError, one line, where it is too long for that."""
    if isinstance(run, Ledger):
        return run
    if (counts := run.positions * len(run.turns.shard)) > _MOST_COUNTS:
        raise HostError(f"needs a run: {counts:,} counts are too many to be dealt out anew, at most {_MOST_COUNTS:,} are")
    return run.part(0, run.positions)


def unplaced_answers(why: str, groups: Sequence[str] = GROUPS) -> list[Answer]:
    """Return a row without figures for each of `groups`, those that change a placement, and why they have none."""
    return [Answer(group=group, value=OTHERS, was="", note=why) for group in groups]


def _answer(one: Alternative, pricing: PricingTerms, placement: Placement, priced: Priced) -> Answer:
    row = Answer(group=one.group, value=one.value, was=one.was, flags=one.flags)
    try:
        placed = one.place()
        pricing.alive()
        ledger, expected = replaced_ledger(_in_memory(pricing.ledger), placement, placed)
        after = replace(pricing, ledger=ledger).price()
    except (HostError, ChipError) as error:
        return replace(row, note=str(error))
    count = f"{len(placed.pes)} PEs" if len(placed.pes) != len(placement.pes) else ""
    return compared(replace(row, sram_bytes=sram_bytes_of(placed), expected=expected, note=count), after, priced)
