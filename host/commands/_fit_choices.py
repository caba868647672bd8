"""Every format and mapping of a network in one table: what fits, on how many PEs, and what it is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from host.cost.cost_table import load_table
from host.cost.price import price
from host.errors import HostError
from host.mapping import strategies
from host.mapping.placement import Placement, place
from host.run.expected_run import expected_run
from host.show.quantities import format_digits, format_quantity, prefix_of
from host.show.text_table import format_table, wrap_words
from models import formats
from models.network import ModelError, Network
from noc.chip import ChipSpec

_BAR = 6  # characters
_EARLIER, _LATER = 3, 5  # positions of the two expected runs whose difference is a position's cost
_CLOSE = 0.02  # of time x energy: what is as near to the least is as good, and the first of the list is taken


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A format and a mapping: whether the network `fits`, else `why` not; the PEs it takes; weights, variables and free bytes of
    the data banks of its fullest PE, and their `fill`, from 0 to 1; seconds and joules that a position is expected to take.
    """

    format: str
    mapping: str
    fits: bool
    why: str = ""
    pes: int | None = None
    weights_bytes: int | None = None
    variables_bytes: int | None = None
    free_bytes: int | None = None
    fill: float | None = None
    time_s: float | None = None
    energy_j: float | None = None

    @property
    def flags(self) -> str:
        """The flags of a run for it."""
        return f"--format {self.format} --mapping {self.mapping}"


def choices_of(
    network: Network, chip: ChipSpec, rates: Mapping[int, float], *, lanes: int, chips: int, pes: int | None
) -> list[Choice]:
    """Return every format with every mapping, at `rates` of events; `pes`: on so many PEs, else on as many as the mapping takes.

    Chips are filled in order, without the search for the best ones that a run makes.
    """
    choices = []
    for form in formats.names_for(network.weights):
        for mapping in strategies.names():
            choice = Choice(format=form, mapping=mapping, fits=False)
            try:
                placement = place(network, chip, mapping=mapping, form=form, pes=pes, lanes=lanes, chips=chips, quick=True)
            except (HostError, ModelError) as error:
                choices.append(replace(choice, why=_reason(str(error))))
                continue
            choices.append(_filled(choice, placement, rates))
    return choices


def _filled(choice: Choice, placement: Placement, rates: Mapping[int, float]) -> Choice:
    worst, data_bytes = placement.worst(), placement.request.size.data_bytes
    choice = replace(
        choice, fits=True, pes=len(placement.pes), weights_bytes=worst["weights"], variables_bytes=worst["variables"],
        free_bytes=worst["free"], fill=1 - worst["free"] / data_bytes,
    )  # fmt: skip
    try:
        time_s, energy_j = expected_cost(placement, rates)
    except HostError as error:
        return replace(choice, why=str(error))
    return replace(choice, time_s=time_s, energy_j=energy_j)


def expected_cost(placement: Placement, rates: Mapping[int, float]) -> tuple[float, float]:
    """Return the seconds and joules that a position is expected to take once all that is heard late is there.

    HostError where that cannot be said without a run.
    """
    several, few = (expected_run(placement, rates, positions) for positions in (_LATER, _EARLIER))
    table = load_table(used=several.twins)
    prices = [price(ledger, placement.chip, table, bands=False) for ledger in (several, few)]
    more = _LATER - _EARLIER
    return (prices[0].time_s - prices[1].time_s) / more, (prices[0].energy_j - prices[1].energy_j) / more


def _reason(text: str) -> str:
    """Return why something does not fit in a few words: the first part of the line that refuses it."""
    return text.partition("; ")[0]


def fastest(choices: Sequence[Choice]) -> Choice | None:
    """Return the first choice that takes about the least time x energy; None where none fits or is priced."""
    priced = [(one.time_s * one.energy_j, one) for one in choices if one.time_s and one.energy_j]
    least = min((product for product, _ in priced), default=0.0)
    return next((one for product, one in priced if product <= (1 + _CLOSE) * least), None)


def smallest(choices: Sequence[Choice]) -> Choice | None:
    """Return the choice that takes the fewest PEs; None where none fits."""
    fitting = [(one.pes or 0, one.time_s or 0.0, n) for n, one in enumerate(choices) if one.fits]
    return choices[min(fitting)[2]] if fitting else None


def format_choices(choices: Sequence[Choice], columns: int = 80) -> list[str]:
    """Return the table as lines, and a word on which to take."""
    best, least = fastest(choices), smallest(choices)
    (time_power, time_prefix), (energy_power, energy_prefix) = (
        prefix_of(value) if best and value else (0, "") for value in ((best.time_s, best.energy_j) if best else (None, None))
    )
    head = [
        "format",
        "mapping",
        "PEs",
        "weights, B",
        "free, B",
        "fullest PE",
        f"{time_prefix}s/position",
        f"{energy_prefix}J/position",
    ]
    rows: list[list[str]] = [head]
    reasons: dict[str, list[str]] = {}
    for one in choices:
        if not one.fits:
            rows.append([one.format, one.mapping, "does not fit"])
            reasons.setdefault(one.why, []).append(f"{one.format} {one.mapping}")
            continue
        fill = one.fill or 0.0
        cells = [
            one.format,
            one.mapping,
            f"{one.pes:,}",
            f"{one.weights_bytes:,}",
            f"{one.free_bytes:,}",
            f"{_bar(fill)} {100 * fill:3.0f} %",
        ]
        if one.time_s is not None and one.energy_j is not None:
            cells += [format_digits(one.time_s / 10.0**time_power), format_digits(one.energy_j / 10.0**energy_power)]
        else:
            cells += ["?", "?"]
            reasons.setdefault(one.why, []).append(f"{one.format} {one.mapping}")
        rows.append(cells)
    lines = [line.rstrip() for line in format_table(rows, left=(0, 1), separator=" ")]
    for why, whom in reasons.items():
        lines += wrap_words(f"{', '.join(whom)}: {why}", columns, indent=2)
    return [*lines, *_advice(best, least, columns)]


def _advice(best: Choice | None, least: Choice | None, columns: int) -> list[str]:
    if best is None:
        return []
    cost = f"{format_quantity(best.time_s, 's')} and {format_quantity(best.energy_j, 'J')} a position on {best.pes:,} PEs"
    lines = wrap_words(f"take {best.flags}: the least time x energy, {cost}", columns, indent=2)
    if least is not None and least.pes != best.pes:
        lines += wrap_words(f"fewest PEs: {least.flags}, {least.pes:,}", columns, indent=2)
    return lines


def _bar(fill: float) -> str:
    full = min(max(round(_BAR * fill), 1 if fill > 0 else 0), _BAR)
    return "█" * full + "░" * (_BAR - full)


def records(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Return the table as JSON can hold it."""
    return [asdict(one) for one in choices]
