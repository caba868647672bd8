"""The trainer's command line: `python -m models.training lm ...`, `... floors`, `... plot`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from models.network import ModelError
from models.text.words import TextError
from models.training.settings import AUTHORS, Settings

LICENCES = {
    "standard-library": "PSF-2.0: documentation of Python, copyright Python Software Foundation",
    "wikitext": "CC BY-SA: WikiText by Merity et al., from Wikipedia",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.training", description="Train an event-based GRU and write a checkpoint."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    lm = commands.add_parser("lm", help="train a language model, prune it, write a checkpoint", allow_abbrev=False)
    lm.add_argument(
        "--data", default="stdlib", metavar="WHAT", help="stdlib, a folder in WikiText's layout, or a text file (default stdlib)"
    )
    lm.add_argument(
        "--recipe", choices=("demo", "authors"), help="defaults of the flags below (default: authors for a folder, else demo)"
    )
    lm.add_argument("--out", required=True, metavar="DIR", help="run folder; one that holds a state is gone on with")
    lm.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default cpu)")
    lm.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: torch's choice)")
    lm.add_argument("--licence", default=None, metavar="TEXT", help="licence of the text, kept in the checkpoint")
    group = lm.add_argument_group("hyperparameters (defaults: the demo recipe)")
    for entry in fields(Settings):
        flag, default = f"--{entry.name.replace('_', '-')}", entry.default
        text = f"{entry.metadata['help']} (default {default})"
        if isinstance(default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            group.add_argument(flag, type=type(default), default=None, metavar=type(default).__name__[0].upper(), help=text)
    floors = commands.add_parser("floors", help="perplexities of n-gram models on a text", allow_abbrev=False)
    floors.add_argument("--data", default="stdlib", metavar="WHAT", help="as of lm")
    floors.add_argument("--min-count", type=int, default=3, metavar="N", help="as of lm")
    plot = commands.add_parser("plot", help="draw the logs of run folders", allow_abbrev=False)
    plot.add_argument("runs", nargs="+", metavar="[NAME=]DIR", help="run folders")
    plot.add_argument("--out", required=True, metavar="FILE", help="PNG or SVG")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    flags = vars(_parser().parse_args(arguments))
    command = flags.pop("command")
    try:
        return {"lm": _lm, "floors": _floors, "plot": _plot}[command](flags)
    except (ModelError, TextError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"training: this Python lacks {error.name}; install the extra: pip install '.[train]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: interrupted; the same command goes on", file=sys.stderr)
        return 130


def _lm(flags: dict[str, Any]) -> int:
    import torch

    from models.training.streams import read_text
    from models.training.trainer import Trainer

    data, recipe, out = flags.pop("data"), flags.pop("recipe"), Path(flags.pop("out"))
    device, threads, licence = flags.pop("device"), flags.pop("threads"), flags.pop("licence")
    recipe = recipe or ("authors" if Path(data).is_dir() else "demo")
    chosen = {name: value for name, value in flags.items() if value is not None}
    settings = Settings(**((AUTHORS if recipe == "authors" else {}) | chosen))
    settings.check()
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # Beta(0.03, 3) thresholds hold denormals
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"--device {device}: torch {torch.__version__} sees no such device; use --device cpu")
    text = read_text(data, settings.min_count)
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps({"data": data} | asdict(settings), indent=1), encoding="utf-8")
    sizes = ", ".join(f"{name} {len(ids):,}" for name, ids in text.splits.items())
    print(f"{text.source}: {sizes} tokens, {len(text.vocabulary):,} words")
    from models.training.bar import progress_bar

    with progress_bar() as told:
        trainer = Trainer(text, settings, out, torch.device(device), told)
        trainer.run()
    from models.training.finish import finish

    finish(trainer, licence or LICENCES.get(text.name, "unknown"), print)
    return 0


def _floors(flags: dict[str, Any]) -> int:
    from models.text.ngrams import KneserNey
    from models.training.streams import read_text

    text = read_text(flags["data"], flags["min_count"])
    print(f"{text.source}, {len(text.vocabulary):,} words; interpolated Kneser-Ney")
    print("order   valid    test")
    for order in (1, 2, 3, 4):
        model = KneserNey(text.splits["train"], len(text.vocabulary), order)
        print(f"{order:5}  {model.perplexity(text.splits['valid']):6.1f}  {model.perplexity(text.splits['test']):6.1f}")
    return 0


def _plot(flags: dict[str, Any]) -> int:
    from models.training.plot import plot

    named = [run.rpartition("=") for run in flags["runs"]]
    plot({name or Path(folder).name: Path(folder) / "log.csv" for name, _, folder in named}, Path(flags["out"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
