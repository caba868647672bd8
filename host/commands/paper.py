"""`launch.py paper`: the paper's tables and Figure 2, from runs of the emulator.

The language model and the gesture network go through the same run path as `lm` and `dvs`, at the shipped prices; each run
keeps its folder. What the tables look like and say is in `paper_tables.py`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from host.commands.paper_tables import (
    PUBLISHED,
    Figures,
    Memory,
    Perplexity,
    document,
    others_table,
    stages_table,
    table_1,
    table_2,
    table_3,
)
from host.cost.ledger import load
from host.errors import Exit, HostError
from host.experiments.headless import priced_at, run_into
from host.launch.outcome import Outcome
from host.mapping.placement import Placement, place
from host.options import DvsOptions, LmOptions, RunOptions, new_folder
from host.show import sweep_plots
from host.workloads.dvs.prepare import PLAIN, SHIPPED_PLAIN
from host.workloads.features.workload import save_features, seeded_features
from host.workloads.job import chip_of, model_of
from models import formats
from models.checkpoint import Model, save
from models.checkpoint import load as read_model
from models.network import ModelError, Network
from models.seeded import seeded_egru

ROOT = Path(__file__).resolve().parents[2]
FILES = ("paper.md", "figure2.png", "figure2.svg")
OTHERS = {
    "branch refill of 2 cycles": ("branch_refill_cycles=2",),
    "one wait state of SRAM": ("chip.sram_wait_states=1",),
    "exponential unit": ("exponential=unit",),
    "messages written by the core": ("messages=packets",),
    "DRAM prefetched": ("dram=prefetched",),
    "waiting PEs sleep": ("waiting_power_share=0",),
    "layers pipelined": ("schedule=pipelined",),
    "300 MHz, 0.8 V": ("clock=300MHz",),
}
"""Names of changed settings -> what changes; none of them makes a price depend on activity, which a seed decides."""


def paper(flags: dict[str, Any]) -> int:
    """Run, price, print and write; HostError, one line, for what cannot be run or written."""
    sweep_plots.require()
    out = Path(flags["out"]) if flags["out"] else Path("runs") / time.strftime("paper-%Y%m%d-%H%M%S", time.gmtime())
    options = LmOptions(
        checkpoint=flags["checkpoint"],
        tokens=PUBLISHED["assumed"]["tokens"],
        pes=PUBLISHED["table2"]["pes"],
        transport=flags["transport"],
    )
    options.check()
    folder = new_folder(out)
    figures = measure(options, folder)
    text = document(figures)
    (folder / "paper.md").write_text(text, encoding="utf-8")
    title = f"Modelled time by stage: {options.tokens} tokens, {options.pes} PEs, {1e3 * figures.language.time_s:.1f} ms"
    sweep_plots.figure_2(figures.language.stages_s, title, folder / "figure2")
    if flags["write_docs"]:
        for name in FILES:
            shutil.copyfile(folder / name, ROOT / "docs" / name)
    _say("")
    for name, table in (
        ("Table I: memory of the busiest PE", table_1(figures.memory)),
        (f"Table II: language model ({figures.model})", table_2(figures)),
        ("Table III: gesture prediction, time and energy a sequence", table_3(figures)),
        ("Figure 2: time by stage and layer", stages_table(figures)),
        ("One setting or constant changed at a time", others_table(figures)),
    ):
        _say(f"{name}\n{table}\n")
    _say(f"written      {', '.join(str(folder / name) for name in FILES)}, and the runs beside them")
    return int(Exit.OK)


def measure(options: LmOptions, folder: Path) -> Figures:
    """Run the language model of `options` and the gesture network into `folder`, and price them.

    HostError with the run's exit code and cause where one does not come through.
    """
    model, title = model_of(options)
    network = seeded_egru() if model is None else model.network
    memory = memory_of(network, options)
    report = _run(folder / "lm", options)
    accuracy, batches = _gestures(options, folder), PUBLISHED["table3"]["batches"]
    ledgers = [load(folder / name) for name in ("lm", *(f"gesture-{batch}" for batch in batches))]
    language, *gestures = (priced_at(ledger) for ledger in ledgers)
    others = {name: [priced_at(ledger, settings) for ledger in ledgers] for name, settings in OTHERS.items()}
    return Figures(title, model is None, memory, perplexity_of(model, report), language, gestures, others, accuracy)


def _gestures(options: LmOptions, folder: Path) -> float | None:
    """Run the gesture network once for each of the paper's batches; return the accuracy that its trainer measured.

    It is the shipped one that hands on y, as the paper prints it. Where that is not there, a seeded one of the same sizes
    takes its place on seeded features: time and energy are the same, and there is no accuracy.
    """
    usual = {"pes": PUBLISHED["table3"]["pes"], "format": "dense", "transport": options.transport, "chip": options.chip}
    batches = PUBLISHED["table3"]["batches"]
    if SHIPPED_PLAIN.is_file():
        for batch in batches:
            _run(folder / f"gesture-{batch}", DvsOptions(checkpoint=PLAIN, batch=batch, samples=batch, **usual))
        gesture = read_model(SHIPPED_PLAIN).gesture
        accuracy = gesture.record.get("accuracy") if gesture is not None else None
        return float(accuracy) if isinstance(accuracy, int | float) else None
    sizes = PUBLISHED["gesture"]
    bare, vectors = folder / "gesture.safetensors", folder / "features.safetensors"
    save(bare, Model(seeded_egru(sizes["input_units"], sizes["layers"], density=1.0)))
    save_features(vectors, seeded_features(max(batches), PUBLISHED["assumed"]["frames"], sizes["input_units"]))
    for batch in batches:
        _run(folder / f"gesture-{batch}", LmOptions(checkpoint=str(bare), features=str(vectors), batch=batch, **usual))
    return None


def _run(folder: Path, options: RunOptions) -> dict[str, Any]:
    """Run into `folder` and return the report."""
    began = time.perf_counter()
    _say(f"running      {folder.name}: {options.pes} PEs, batch {options.batch} ... ", end="")
    outcome: Outcome = run_into(folder, options, pictures=True)
    _say(f"{time.perf_counter() - began:.1f} s" if outcome.problem is None else "failed")
    if outcome.problem is not None or outcome.report is None:
        raise HostError(f"{folder.name}: {outcome.problem or 'no report'}", outcome.code)
    return outcome.report


def memory_of(network: Network, options: LmOptions) -> Memory:
    """Return what the network needs on the busiest PE, and in the other formats."""
    chip = chip_of(options)

    def placed(form: str, mapping: str, pes: int | None) -> Placement | None:
        try:
            return place(network, chip, mapping=mapping, form=form, pes=pes)
        except (HostError, ModelError):
            return None

    here = place(network, chip, mapping=options.mapping, form=options.format, pes=options.pes)
    same = {form: placed(form, options.mapping, options.pes) for form in formats.names()}
    fewest = {form: placed(form, "balanced", None) for form in formats.names()}
    return Memory(
        here.worst(),
        {form: other.worst()["weights"] if other else None for form, other in same.items()},
        {form: len(other.pes) if other else None for form, other in fewest.items()},
    )


def perplexity_of(model: Model | None, report: dict[str, Any]) -> Perplexity:
    """Return the run's perplexity beside the trainer's, where the checkpoint's provenance has it over the same tokens.

    The provenance then holds `first_tokens`, a list of {"split", "tokens", "state", "perplexity"}. A seeded network has
    no perplexity to speak of.
    """
    if model is None:
        return Perplexity()
    lm = report["lm"]
    entries = model.provenance.get("first_tokens", [])
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and (entry.get("split"), entry.get("tokens"), entry.get("state")) == (
            "test",
            lm["tokens"],
            lm["state"],
        ):
            number = entry.get("perplexity")
            return Perplexity(lm["perplexity"], float(number) if isinstance(number, int | float) else None)
    return Perplexity(lm["perplexity"], None)


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)
