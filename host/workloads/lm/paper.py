"""The paper's language model: Tables I and II and Figure 2, ours beside them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from host.cost.priced import PricedPositions
from host.errors import HostError
from host.mapping.placement import Placement, place
from host.show import sweep_plots
from host.show.summary import published
from host.show.text_table import format_markdown
from host.workloads.lm import SHIPPED, paper_gate
from host.workloads.lm.options import Options
from host.workloads.paper_chapter import (
    COST_HEAD,
    PaperChapter,
    PaperPart,
    PaperRun,
    PaperSection,
    cost_rows,
    deviation,
    other_misses,
)
from host.workloads.site import SEEDED, load_run_chip, open_model
from models import formats
from models.checkpoint import Model
from models.network import ModelError, Network
from models.seeded import seeded_egru

TEMPLATE = Path(__file__).with_name("paper.md").read_text(encoding="utf-8").rstrip()


class Memory(NamedTuple):
    """The busiest PE's bytes by role (`pe.sram.footprint`) in the paper's format; by format, its bytes of weights and the PEs
    that the mapping `balanced` needs (None: does not fit).
    """

    worst: Mapping[str, int]
    weights: Mapping[str, int | None]
    fewest_pes: Mapping[str, int | None]


class Perplexity(NamedTuple):
    """The emulator's perplexity and the trainer's own over the same tokens, each None where there is none."""

    here: float | None = None
    trainer: float | None = None
    overflow: str = ""  # what it is here where no number holds it


def takes(checkpoint: str) -> bool:
    """Tell whether a checkpoint is a language model; HostError and the like for what is no checkpoint."""
    model, _ = open_model(checkpoint, SHIPPED)
    return model is None or model.embedding is not None


def paper_part(checkpoint: str | None, transport: str) -> PaperPart:
    """Return the run of a checkpoint, and what makes its chapter; HostError and the like, one line, for what cannot run. The other
    form of the gates stands beside a network that is a line of EGRU layers in float32, and beside no other.
    """
    paper, tokens = published()["table2"], published()["assumed"]["tokens"]
    options = Options(checkpoint=checkpoint, tokens=tokens, pes=paper["pes"], transport=transport)
    options.check()
    model, title = open_model(checkpoint, SHIPPED)
    network = seeded_egru() if model is None else model.network
    memory = memory_of(network, options)
    inside = replace(options, checkpoint=SEEDED, gate="inside")
    published_ms = paper["spinnaker2"]["time_ms"]

    has_sizes = is_as_the_papers(network)
    is_egru = {network.populations[n].kernel for n in network.layers} == {"egru"}

    def chapter(reports: Mapping[str, Mapping[str, Any]], costs: Mapping[str, PricedPositions]) -> PaperChapter:
        chapter = compose_chapter(title, memory, perplexity_of(model, reports["lm"]), costs["lm"], is_papers=has_sizes)
        if not is_egru:
            return chapter
        section = paper_gate.gate_section(paper_gate.forms_of(costs), costs[paper_gate.RUN], costs[paper_gate.SEEDED_AFTER])
        return chapter._replace(sections=(*chapter.sections, section))

    runs = {"lm": PaperRun(options, "language, ms", published_ms)}
    if not is_egru:
        return PaperPart(place=1, runs=runs, chapter=chapter)
    runs[paper_gate.RUN] = PaperRun(inside, "gate inside, ms", published_ms)
    return PaperPart(
        place=1, runs=runs, chapter=chapter, unrun=paper_gate.unrun(network, options) | paper_gate.seeded_after(options)
    )


def is_as_the_papers(network: Network) -> bool:
    """Tell whether a network has the sizes and neuron models of the paper's."""
    populations, others = network.populations, seeded_egru().populations
    return [(one.units, one.kernel) for one in populations] == [(one.units, one.kernel) for one in others]


def memory_of(network: Network, options: Options) -> Memory:
    """Return what the network needs on the busiest PE, and in the other formats."""
    chip = load_run_chip(options)

    def placed(form: str, mapping: str, pes: int | None) -> Placement | None:
        try:
            return place(network, chip, mapping=mapping, form=form, pes=pes, quick=True)  # nobody reads what would fit
        except (HostError, ModelError):
            return None

    same = {form: placed(form, options.mapping, options.pes) for form in formats.names_for(network.weights)}
    fewest = {form: placed(form, "balanced", None) for form in formats.names_for(network.weights)}
    return Memory(
        worst=place(network, chip, mapping=options.mapping, form=options.format, pes=options.pes).worst(),
        weights={form: other.worst()["weights"] if other else None for form, other in same.items()},
        fewest_pes={form: len(other.pes) if other else None for form, other in fewest.items()},
    )


def perplexity_of(model: Model | None, report: Mapping[str, Any]) -> Perplexity:
    """Return the run's perplexity beside the trainer's, where the checkpoint's provenance has it over the same tokens.

    The provenance then holds `first_tokens`, a list of {"split", "tokens", "state", "perplexity"}. A seeded network has
    no perplexity to speak of.
    """
    if model is None:
        return Perplexity()
    result, entries = report["result"], model.provenance.get("first_tokens")
    same = {"split": "test", "tokens": result["tokens"], "state": result["state"]}
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    numbers = [entry.get("perplexity") for entry in listed if same.items() <= entry.items()]
    trainer = next((float(number) for number in numbers if isinstance(number, int | float)), None)
    return Perplexity(result["perplexity"], trainer, "" if result["perplexity"] is not None else result["note"])


def compose_chapter(
    model: str, memory: Memory, perplexity: Perplexity, cost: PricedPositions, *, is_papers: bool = True
) -> PaperChapter:  # fmt: skip
    """Return the chapter of what a run gave; `model` says which network ran, and `is_papers` whether it is one as the paper's."""
    paper = published()
    chip, pes, tokens = paper["table2"]["spinnaker2"], paper["table2"]["pes"], paper["assumed"]["tokens"]
    products = sum(stages["egru_input"] + stages["egru_internal"] for stages in cost.stages_s.values())
    tables = {"table_1": table_1(memory), "table_2": table_2(perplexity, cost), "stages": stages_table(cost)}
    time, energy = deviation(1e3 * cost.time_s, chip["time_ms"]), deviation(cost.energy_j, chip["energy_j"])
    text_1, text_2, figure_2, reading, misses, undecided = TEMPLATE.format(
        model=model, paper=paper, **tables, perplexity=_perplexity_text(perplexity),
        products=f"{100 * products / cost.time_s:.0f} %", time=time, power=deviation(cost.power_w, chip["power_w"]),
        energy=energy,
    ).split("\n---\n")  # fmt: skip
    if is_papers:
        figure_2 = f"{figure_2}\n{reading}"
    else:
        misses = other_misses(f"Language model ({model})", time, energy)
    sections = (
        PaperSection(1, "Table I: memory of the busiest PE", tables["table_1"], text_1),
        PaperSection(2, f"Table II: language model ({model})", tables["table_2"], text_2),
        PaperSection(4, "Figure 2: time by stage and layer", tables["stages"], figure_2),
    )
    title = f"Modelled time by stage: {tokens} tokens, {pes} PEs, {1e3 * cost.time_s:.1f} ms"
    return PaperChapter(sections, misses, undecided, lambda folder: sweep_plots.figure_2(cost.stages_s, title, folder / "figure2"))


def table_1(memory: Memory) -> str:
    """Return Table I: the busiest PE's memory, in bytes, with what the other formats need of weights."""
    paper, worst = published()["table1"], memory.worst
    weights = worst["weights"]
    rows = [
        ("Instruction", f"{paper['instruction_kb']}", f"{worst['program']:,}", "taken from the paper"),
        ("Debug", f"{paper['debug_kb']:g}", f"{worst['debug']:,}", "taken from the paper"),
        _two_readings("Weights", paper["weights_kb"], weights),
        _two_readings("Variables", paper["variables_kb"], worst["variables"] - worst["spill"]),
        ("  behind the program", "not stated", f"{worst['spill']:,}", ""),
        ("  free for data", "not stated", f"{worst['free']:,}", ""),
    ]
    for name, size in memory.weights.items():
        if name != "csr":
            cell, error = ("does not fit", "") if size is None else (f"{size:,}", deviation(size, weights) + " of csr")
            rows.append((f"Weights as {name}", "", cell, error))
    for name, pes in memory.fewest_pes.items():
        rows.append((f"PEs needed, {name}", "", "does not fit" if pes is None else str(pes), "mapping balanced"))
    return format_markdown(("Memory", "paper, KB", "here, bytes", "error"), rows)


def _two_readings(label: str, kb: float, size: int) -> tuple[str, ...]:
    return label, f"{kb}", f"{size:,}", f"{deviation(size, 1000 * kb)} (KiB: {deviation(size, 1024 * kb)})"


def table_2(perplexity: Perplexity, cost: PricedPositions) -> str:
    """Return Table II: the language model, batch 1."""
    gpu, chip = published()["table2"]["a100"], published()["table2"]["spinnaker2"]
    here = perplexity.overflow.removeprefix("perplexity ") or "none" if perplexity.here is None else f"{perplexity.here:.4g}"
    trainer = "" if perplexity.trainer is None else f"trainer {perplexity.trainer:.4g}"
    row = ("Test PPL", f"{gpu['perplexity']}", f"{chip['perplexity']}", here, trainer, "other text")
    return format_markdown(COST_HEAD, [*cost_rows(gpu, chip, cost, batch=1, digits=4), row])


def stages_table(cost: PricedPositions) -> str:
    """Return Figure 2's bars as numbers: milliseconds by stage and layer over the run, and each stage's share."""
    layers, rows = cost.stages_s, []
    total = sum(sum(stages.values()) for stages in layers.values())
    for stage in cost.stages:
        cells = [1e3 * stages[stage] for stages in layers.values()]
        rows.append((stage, *(f"{ms:.2f}" for ms in cells), f"{sum(cells):.2f}", f"{sum(cells) / total / 10:.1f} %"))
    return format_markdown(("Stage, ms", *layers, "all", "share"), rows)


def _perplexity_text(perplexity: Perplexity) -> str:
    here, trainer, overflow = perplexity
    cannot = "The paper's 81.4 is on WikiText-2: no text of ours is comparable with it."
    if overflow:
        return f"The emulator's {overflow}: the model is broken. {cannot}"
    if here is None:
        return f"A seeded network has learnt nothing: its perplexity is not shown. {cannot}"
    if trainer is None:
        return f"The checkpoint does not say what its trainer measured over these tokens, so ours stands alone. {cannot}"
    agree = "equal" if f"{here:.4g}" == f"{trainer:.4g}" else "NOT equal"
    return f"The emulator's perplexity over these tokens and the trainer's own are {agree} to four digits. {cannot}"
