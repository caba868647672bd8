"""The paper's gesture prediction: Table III, ours beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from host.cost.priced import PricedPositions
from host.show.summary import published
from host.show.text_table import format_markdown
from host.workloads.dvs.options import Options
from host.workloads.dvs.prepare import PLAIN, SHIPPED_PLAIN
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
from host.workloads.site import SEEDED, load_model, model_path

TEMPLATE = Path(__file__).with_name("paper.md").read_text(encoding="utf-8").rstrip()
SEEDED_NETWORK = "a seeded one of the right shapes, which hands on traces (they take time, too): an accuracy needs a trained one"
TRAINED_NETWORK = """\
the trained one that hands on y (`launch.py dvs --checkpoint plain`); its accuracy is what its trainer measured on the
synthetic event camera of this project and not comparable with one on DVS128 Gesture"""
OTHER_NETWORK = """\
{}; its accuracy is what its trainer measured on its own test set and not comparable with the paper's, unless that was
the test set of DVS128 Gesture"""
SIZES = "512 features, two layers of 256 units"


class Other(NamedTuple):
    """A network that is not the one shipped for the table: its name, and its sizes in words."""

    name: str
    sizes: str


def takes(checkpoint: str) -> bool:
    """Tell whether a checkpoint is a gesture network; HostError and the like for no checkpoint."""
    path = model_path(checkpoint, "")
    return path is not None and load_model(path).gesture is not None


def paper_part(checkpoint: str | None, transport: str) -> PaperPart:
    """Return a run for each of the paper's batches, and what makes their chapter.

    Without a checkpoint the network is the shipped one that hands on y, as the paper prints it. Where that is not there, the seeded
    one of the same sizes takes its place. It hands on traces, so time and energy are 2 to 3 % higher, and it has no accuracy.
    """
    paper, runs = published()["table3"], {}
    path = model_path(checkpoint, SHIPPED_PLAIN) or Path()
    gesture = load_model(path).gesture if path.is_file() else None
    for batch, time_ms in zip(paper["batches"], paper["spinnaker2"]["time_ms"], strict=True):
        network = checkpoint or (SEEDED if gesture is None else PLAIN)
        options = Options(checkpoint=network, batch=batch, samples=batch, pes=paper["pes"], transport=transport)
        options.check()
        runs[f"gesture-{batch}"] = PaperRun(options, "gesture, ms" if batch == 1 else f"gesture, batch {batch}", time_ms)
    accuracy = None if gesture is None else gesture.record.get("accuracy")
    accuracy = float(accuracy) if isinstance(accuracy, int | float) else None  # its trainer's, on the trainer's test set
    other = None if checkpoint is None or path == model_path(None, SHIPPED_PLAIN) else sizes_of(path)
    return PaperPart(3, runs, lambda _, costs: compose_chapter([costs[name] for name in runs], accuracy, other=other))


def sizes_of(path: Path) -> Other:
    """Return what a checkpoint's network is called, and how large it is."""
    network = load_model(path).network
    features, layers = ([f"{network.populations[n].units:,}" for n in numbers] for numbers in (network.inputs, network.layers))
    return Other(path.name, f"{' and '.join(features)} features, layers of {' and '.join(layers)} units")


def compose_chapter(costs: Sequence[PricedPositions], accuracy: float | None, other: Other | None = None) -> PaperChapter:
    """Return the chapter of what the paper's batches cost; `accuracy` is None for a seeded network, and where a checkpoint has none
    on record. `other`: a network that is not the one shipped for this table.
    """
    paper, table = published()["table3"], table_3(costs, accuracy, "not trained" if other is None else "not recorded")
    chip, batch, (first, *_, last) = paper["spinnaker2"], paper["batches"][-1], costs
    text, misses, undecided = TEMPLATE.format(
        paper=published(),
        table=table,
        sizes=SIZES if other is None else other.sizes,
        network=OTHER_NETWORK.format(other.name) if other else SEEDED_NETWORK if accuracy is None else TRAINED_NETWORK,
        batch=batch,
        time=deviation(1e3 * first.time_s, chip["time_ms"][0]),
        batch_time=deviation(1e3 * last.time_s / batch, chip["time_ms"][-1]),
        batch_power=deviation(last.power_w, chip["power_w"][-1]),
        saved=f"{100 * (1 - last.time_s / batch / first.time_s):.1f} %",
        published_saved=f"{100 * (1 - chip['time_ms'][-1] / chip['time_ms'][0]):.1f} %",
    ).split("\n---\n")
    if other is not None:
        energy = deviation(first.energy_j, chip["energy_j"][0])
        misses = other_misses(f"Gesture network ({other.name})", deviation(1e3 * first.time_s, chip["time_ms"][0]), energy)
    section = PaperSection(3, "Table III: gesture prediction, time and energy a sequence", table, text)
    return PaperChapter([section], misses, undecided)


def table_3(costs: Sequence[PricedPositions], accuracy: float | None, unknown: str = "not trained") -> str:
    """Return Table III: the gesture network, time and energy normalised over the batch; `unknown`: why there is no accuracy."""
    paper, rows = published()["table3"], []
    ours = ("none", "", unknown) if accuracy is None else (f"{100 * accuracy:.2f}", "", "other data")
    for number, (batch, cost) in enumerate(zip(paper["batches"], costs, strict=True)):
        gpu, chip = ({key: values[number] for key, values in paper[name].items()} for name in ("a100", "spinnaker2"))
        rows += cost_rows(gpu, chip, cost, batch=batch, digits=3)
        rows.append(("Accuracy (%)", f"{gpu['accuracy_percent']}", f"{chip['accuracy_percent']}", *ours))
    return format_markdown(COST_HEAD, rows)
