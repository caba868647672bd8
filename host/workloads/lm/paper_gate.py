"""The paper's equation 4 as printed, beside the form of the authors' code: Table II of both, on the same matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from host.cost.priced import PricedPositions
from host.errors import HostError
from host.mapping.placement import PlacedPe, Placement, place
from host.mapping.request import UnitSet
from host.show.summary import published
from host.show.text_table import format_markdown
from host.workloads.lm.options import Options
from host.workloads.paper_chapter import PaperSection, UnrunPrice, deviation
from host.workloads.site import load_run_chip
from models.kernels import egru_cell
from models.network import Network
from models.seeded import seeded_egru

TEMPLATE = Path(__file__).with_name("paper_gate.md").read_text(encoding="utf-8")
RUN, SEEDED_AFTER = "lm-inside", "seeded-after"
_WORK_FIRST = ("beside=work_first",)


@dataclass(frozen=True)
class Forms:
    """A network's price in the form that it has, and with its reset gates inside: r first, naive, and naive on units dealt by
    the sum of their weights.
    """

    after: PricedPositions
    first: PricedPositions
    naive: PricedPositions
    uneven: PricedPositions


def inside_of(network: Network) -> Network:
    """Return a line of EGRU layers with the same matrices and the reset gates inside. For prices alone: what the numbers have
    learnt is of the other form. HostError for another network.
    """
    populations = [network.populations[0]]
    for number in network.layers:
        layer = network.populations[number]
        if layer.kernel != "egru":
            raise HostError(f"paper: {layer.name} is of neuron model {layer.kernel!r}; needs a line of EGRU layers")
        rows = {projection.port: projection.weights.to_rows() for projection in layer.projections}
        populations += egru_cell.layer_of(
            len(populations), len(populations) - 1, kernel=rows["input"], recurrent=rows["recurrent"], params=layer.params,
            bias=layer.vectors["bias"], threshold=layer.vectors["threshold"], name=str(number),
        )  # fmt: skip
    return Network(tuple(populations))


def unrun(network: Network, options: Options) -> dict[str, UnrunPrice]:
    """Return what is priced of a line of EGRU layers in both forms, over the tokens and on the PEs of `options`; events do not
    matter to these prices.
    """
    after, inside, tokens = _placed(network, options), _placed(inside_of(network), options), options.tokens or 1
    return {
        "after": UnrunPrice(after, tokens),
        "first": UnrunPrice(inside, tokens),
        "naive": UnrunPrice(inside, tokens, _WORK_FIRST),
        "uneven": UnrunPrice(_dealt_as(inside, after), tokens, _WORK_FIRST),
    }


def seeded_after(options: Options) -> dict[str, UnrunPrice]:
    """Return what is priced of the seeded network in the authors' form."""
    return {SEEDED_AFTER: UnrunPrice(_placed(seeded_egru(), options), options.tokens or 1)}


def _placed(network: Network, options: Options) -> Placement:
    return place(network, load_run_chip(options), mapping=options.mapping, form=options.format, pes=options.pes, quick=True)


def forms_of(costs: Mapping[str, PricedPositions]) -> Forms:
    """Return the prices of both forms."""
    return Forms(**{name: costs[name] for name in Forms.__dataclass_fields__})


def _dealt_as(inside: Placement, after: Placement) -> Placement:
    """Return a placement of gates and cells whose units lie where those of the other form's layers do."""
    groups = dict(zip(after.network.layers, inside.network.groups, strict=True))
    pes = tuple(
        PlacedPe(pe=one.pe, share=tuple(UnitSet(n, part.units) for part in one.share for n in groups[part.population]), regions=())
        for one in after.pes
    )
    return replace(inside, pes=pes)


def gate_section(forms: Forms, run: PricedPositions, run_after: PricedPositions) -> PaperSection:
    """Return the section; `run` is the price of a run with the reset gates inside, `run_after` that of the other form of its
    network.
    """
    table = gate_table(forms)
    text = TEMPLATE.format(
        table=table, run=run_text(run, run_after), uneven_ms=1e3 * forms.uneven.time_s,
        **{name: deviation(token_s(getattr(forms, name)), token_s(forms.after)) for name in ("first", "naive", "uneven")},
    )  # fmt: skip
    return PaperSection(3, "Table II with the reset gate inside the product (equation 4 as printed)", table, text.rstrip())


def gate_table(forms: Forms) -> str:
    """Return Table II of the published chip, the authors' form and both orders of the printed one, of one sequence."""
    chip, columns = published()["table2"]["spinnaker2"], (forms.after, forms.first, forms.naive)
    rows: list[Sequence[str]] = []
    for label, key, factor, field, digits in (
        ("Power (W)", "power_w", 1.0, "power_w", 3), ("Time (ms)", "time_ms", 1e3, "time_s", 2),
        ("Energy (J)", "energy_j", 1.0, "energy_j", 4),
    ):  # fmt: skip
        values = [factor * getattr(column, field) for column in columns]
        cells = [f"{value:.{digits}f} ({deviation(value, chip[key])})" for value in values]
        rows.append((label, f"{chip[key]:g}", *cells))
    later = [f"{1e3 * token_s(one):.3f} ({deviation(token_s(one), token_s(forms.after))})" for one in columns]
    rows.append(("A token behind the first (ms)", "not stated", f"{1e3 * token_s(forms.after):.3f}", *later[1:]))
    for label, name in (("Messages", "messages_sent"), ("Flits", "flits_sent")):
        rows.append((f"{label} of the run", "not stated", *(f"{one.work[name]:,}" for one in columns)))
    heads = ("Measurement", "SpiNNaker2", "here, r after", "inside, r first", "inside, naive")
    return format_markdown(heads, rows)


def token_s(cost: PricedPositions) -> float:
    """Return the seconds of a token behind the first, which has heard no y yet, on average."""
    later = cost.layer_s[1:]
    return float(later.sum()) / max(len(later), 1)


def run_text(run: PricedPositions, run_after: PricedPositions) -> str:
    """Return what a run on processes says of the same."""
    ms, after_ms, more = 1e3 * run.time_s, 1e3 * run_after.time_s, deviation(token_s(run), token_s(run_after))
    return (
        f"The run behind this section is of a seeded network of the paper's sizes with its gates inside: {ms:.2f} ms, where the\n"
        f"same matrices in the other form take {after_ms:.2f} ms ({more} a token behind the first)."
    )
