"""The trainer's command line: `python -m models.training lm ...`, `... gesture ...`, `... snn ...`, and what measures them.

What a user gets wrong ends in one line on stderr and exit code 2; only a bug shows a traceback.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from models.dvs.samples import DvsError
from models.network import SEGMENT_STATES, ModelError
from models.text.tokeniser import TextError
from models.training.control import command_line as control
from models.training.control.settings import ControlSettings
from models.training.gesture.settings import GestureSettings
from models.training.language.settings import AUTHORS, LanguageSettings
from models.training.retrieval.settings import RetrievalSettings
from models.training.spiking.settings import SpikingSettings

if TYPE_CHECKING:
    import torch

LICENCES = {
    "standard-library": "PSF-2.0: documentation of Python, copyright Python Software Foundation",
    "wikitext": "CC BY-SA: WikiText by Merity et al., from Wikipedia",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


_MOST_THREADS = 1024
EXTRA = ("torch", "tqdm", "matplotlib")
_EVENTS = "synthetic, or a folder with DVS128 Gesture as distributed or as tonic leaves it (default synthetic)"
_METAVARS: dict[type, str] = {int: "N", float: "X", str: "TEXT"}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m models.training", description="Train an event-based GRU and write a checkpoint.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    lm = commands.add_parser("lm", help="train a language model, prune it, write a checkpoint", allow_abbrev=False)
    lm.add_argument(
        "--data", default="stdlib", metavar="WHAT", help="stdlib, a folder in WikiText's layout, or a text file (default stdlib)"
    )
    lm.add_argument(
        "--recipe", choices=("demo", "authors"), help="defaults of the flags below (default: authors for a folder, else demo)"
    )
    _running(lm)
    lm.add_argument("--licence", default=None, metavar="TEXT", help="licence of the text, kept in the checkpoint")
    group = lm.add_argument_group("hyperparameters (defaults: the demo recipe)")
    _flags_of(group, LanguageSettings)
    floors = commands.add_parser("floors", help="perplexities of n-gram models on a text", allow_abbrev=False)
    floors.add_argument("--data", default="stdlib", metavar="WHAT", help="as of lm")
    floors.add_argument("--min-count", type=int, default=3, metavar="N", help="as of lm")
    plot = commands.add_parser("plot", help="draw the logs of run folders", allow_abbrev=False)
    plot.add_argument("runs", nargs="+", metavar="[NAME=]DIR", help="run folders")
    plot.add_argument("--out", required=True, metavar="FILE", help="PNG or SVG")
    conform = commands.add_parser("conform", help="hold the emulator's kernels against the torch layer", allow_abbrev=False)
    conform.add_argument("file", metavar="CHECKPOINT", help="a checkpoint with stored tokens")
    conform.add_argument("--split", choices=("valid", "test"), default="test", help="which of its tokens (default test)")
    conform.add_argument("--tokens", type=int, metavar="N", help="how many of them are run (default 210: three segments)")
    conform.add_argument("--state", choices=SEGMENT_STATES, default=None, help="only this treatment of c (default: both)")
    _gesture_commands(commands)
    _control_command(commands)
    _retrieval_commands(commands)
    return parser


def _retrieval_commands(commands: Any) -> None:
    train = commands.add_parser("retrieval", help="train S-LISTA for harmonic retrieval, write a model", allow_abbrev=False)
    train.add_argument("--out", required=True, metavar="DIR", help="run folder; one that holds a state is gone on with")
    _flags_of(train.add_argument_group("hyperparameters"), RetrievalSettings)
    convert = commands.add_parser("convert-fs", help="convert a CNN of torch to Few-Spikes neurons", allow_abbrev=False)
    convert.add_argument("module", metavar="MODULE:FUNCTION", help="a function that returns a torch.nn.Sequential")
    convert.add_argument("out", metavar="CHECKPOINT", help="to write, for `launch.py run`")
    convert.add_argument("--calibrate", required=True, metavar="FILE", help=".npy with inputs (samples, ...)")
    convert.add_argument("--k", type=int, default=8, metavar="K", help="bits of a value (default 8)")
    convert.add_argument("--round", choices=("half-up", "floor"), default="half-up", help="default half-up")
    convert.add_argument(
        "--weights", choices=("int8", "float32"), default="int8", help="of all layers but the first (default int8)"
    )
    measure = commands.add_parser("retrieval-measure", help="errors of a model, its conversions and ISTA", allow_abbrev=False)
    measure.add_argument("file", metavar="MODEL", help="what `retrieval` wrote")
    measure.add_argument("--samples", type=int, default=200, metavar="N", help="snapshots of each SNR (default 200)")
    measure.add_argument("--k", type=int, nargs="+", default=[4, 6, 8, 16], metavar="K", help="bits (default 4 6 8 16)")


def _retrieval(flags: dict[str, Any]) -> int:
    from models.training.retrieval.export import finish
    from models.training.retrieval.trainer import train

    out = Path(flags.pop("out"))
    settings = RetrievalSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    train(settings, out, print)
    finish(settings, out, print)
    return 0


def _convert_fs(flags: dict[str, Any]) -> int:
    from models.training.retrieval.convert import convert

    rounds, int8 = flags["round"] == "half-up", flags["weights"] == "int8"
    convert(flags["module"], Path(flags["calibrate"]), Path(flags["out"]), flags["k"], rounds=rounds, int8=int8, say=print)
    return 0


def _retrieval_measure(flags: dict[str, Any]) -> int:
    from models.training.retrieval.export import check_bits, measure

    check_bits(flags["k"])
    if flags["samples"] < 1:
        raise ModelError(f"--samples {flags['samples']}: needs a whole number from 1")
    measure(Path(flags["file"]), flags["samples"], flags["k"], print)
    return 0


def _flags_of(group: argparse._ArgumentGroup, settings: type[Any]) -> None:
    """Make a flag of every field; one that is not given is None."""
    for entry in fields(settings):
        name, default = f"--{entry.name.replace('_', '-')}", entry.default
        text = f"{entry.metadata['help']} (default {default})"
        if isinstance(default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            kind = type(default)
            group.add_argument(name, type=kind, default=None, metavar=_METAVARS[kind], help=text.replace("%", "%%"))


def _running(command: argparse.ArgumentParser) -> None:
    """Add what every training command is told about where it runs."""
    command.add_argument("--out", required=True, metavar="DIR", help="run folder; one that holds a state is gone on with")
    command.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N (default cpu)")
    command.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: torch's choice)")


def _gesture_commands(commands: Any) -> None:
    gesture = commands.add_parser("gesture", help="train a gesture classifier on events, write a checkpoint", allow_abbrev=False)
    gesture.add_argument("--events", default="synthetic", metavar="WHAT", help=_EVENTS)
    _running(gesture)
    gesture.add_argument("--cache", metavar="DIR", help="where frames are kept for other runs (default: in the run folder)")
    _flags_of(gesture.add_argument_group("hyperparameters"), GestureSettings)
    snn = commands.add_parser("snn", help="train a spiking gesture classifier, write a checkpoint and NIR", allow_abbrev=False)
    snn.add_argument("--events", default="synthetic", metavar="WHAT", help=_EVENTS)
    _running(snn)
    snn.add_argument("--cache", metavar="DIR", help="where spikes are kept for other runs (default: in the run folder)")
    _flags_of(snn.add_argument_group("hyperparameters"), SpikingSettings)
    conform = commands.add_parser(
        "gesture-conform", help="hold the emulator against torch on every test sample of a gesture checkpoint", allow_abbrev=False
    )
    conform.add_argument("file", metavar="CHECKPOINT", help="a checkpoint with a gesture classifier")
    conform.add_argument("--events", default="synthetic", metavar="WHAT", help=_EVENTS)
    conform.add_argument("--samples", type=int, metavar="N", help="only the first N (default: all)")
    conform.add_argument("--cache", metavar="DIR", help="where frames are kept between runs (default: nowhere)")


def _control_command(commands: Any) -> None:
    command = commands.add_parser("control", help=control.HELP, allow_abbrev=False)
    command.add_argument("environment", metavar="ENVIRONMENT", help="cartpole, cartpole-v0, acrobot, or a name of gymnasium's")
    command.add_argument("--out", required=True, metavar="DIR", help="run folder; finished seeds and stages in it are kept")
    command.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")
    _flags_of(command.add_argument_group("hyperparameters"), ControlSettings)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    flags = vars(_parser().parse_args(arguments))
    command = flags.pop("command")
    try:
        return _COMMANDS[command](flags)
    except (ModelError, TextError, DvsError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        print(f"training: this Python lacks {error.name}; install the extra: pip install '.[train]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: interrupted; the same command goes on", file=sys.stderr)
        return 130


def _lm(flags: dict[str, Any]) -> int:
    from models.training.language.text_streams import read_text
    from models.training.language.trainer import LanguageTrainer

    data, recipe, out = flags.pop("data"), flags.pop("recipe"), Path(flags.pop("out"))
    device, threads, licence = flags.pop("device"), flags.pop("threads"), flags.pop("licence")
    recipe = recipe or ("authors" if Path(data).is_dir() else "demo")
    chosen = {name: value for name, value in flags.items() if value is not None}
    settings = LanguageSettings(**((AUTHORS if recipe == "authors" else {}) | chosen))
    settings.check()
    place = _prepared(device, threads)
    text = read_text(data, settings.min_count)
    trainer = LanguageTrainer(text, settings, out, place)
    trainer.begin({"data": data})
    sizes = ", ".join(f"{name} {len(ids):,}" for name, ids in text.splits.items())
    print(f"{text.source}: {sizes} tokens, {len(text.vocabulary):,} words")
    from models.training.common.progress_bar import progress_bar

    with progress_bar(trainer.progress.iteration, trainer.iterations) as trainer.on_progress:
        trainer.run()
    from models.training.language.export import finish

    finish(trainer, licence or LICENCES.get(text.name, "unknown"), print)
    return 0


def _gesture(flags: dict[str, Any]) -> int:
    from models.training.gesture.commands import train

    events, out, cache = flags.pop("events"), Path(flags.pop("out")), flags.pop("cache")
    device, threads = flags.pop("device"), flags.pop("threads")
    settings = GestureSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    train(events, settings, out, Path(cache) if cache else None, _prepared(device, threads), print)
    return 0


def _snn(flags: dict[str, Any]) -> int:
    from models.training.spiking.commands import train

    events, out, cache = flags.pop("events"), Path(flags.pop("out")), flags.pop("cache")
    device, threads = flags.pop("device"), flags.pop("threads")
    settings = SpikingSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    train(events, settings, out, Path(cache) if cache else None, _prepared(device, threads), print)
    return 0


def _gesture_conform(flags: dict[str, Any]) -> int:
    from models.training.gesture.commands import conform

    cache = Path(flags["cache"]) if flags["cache"] else None
    return 0 if conform(Path(flags["file"]), flags["events"], flags["samples"], cache, print) else 6


def _prepared(device: str, threads: int) -> torch.device:
    """Set torch up and return the device to train on; ModelError for one that is not there."""
    import torch

    if not 0 <= threads <= _MOST_THREADS:
        raise ModelError(f"--threads {threads}: needs 0 (torch's choice) to {_MOST_THREADS}")
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # Beta(0.03, 3) thresholds hold denormals
    cuda = re.fullmatch(r"cuda:?(\d*)", device, re.ASCII)
    if device != "cpu" and not (cuda and int(cuda[1] or 0) < torch.cuda.device_count()):
        raise ModelError(f"--device {device}: torch {torch.__version__} sees no such device; use --device cpu")
    return torch.device(device)


def _floors(flags: dict[str, Any]) -> int:
    from models.text.ngrams import KneserNey
    from models.training.language.text_streams import read_text

    text = read_text(flags["data"], flags["min_count"])
    print(f"{text.source}, {len(text.vocabulary):,} words; interpolated Kneser-Ney")
    print("order   valid    test")
    for order in (1, 2, 3, 4):
        model = KneserNey(text.splits["train"], len(text.vocabulary), order)
        print(f"{order:5}  {model.perplexity(text.splits['valid']):6.1f}  {model.perplexity(text.splits['test']):6.1f}")
    return 0


def _plot(flags: dict[str, Any]) -> int:
    from models.training.common.log_plot import plot

    named = [run.rpartition("=") for run in flags["runs"]]
    plot({name or Path(folder).name: Path(folder) / "log.csv" for name, _, folder in named}, Path(flags["out"]))
    return 0


def _conform(flags: dict[str, Any]) -> int:
    from models.checkpoint import load
    from models.training.language.conformance import conform

    model = load(Path(flags["file"]))
    modes = (flags["state"],) if flags["state"] else SEGMENT_STATES
    agreed = [conform(model, flags["split"], flags["tokens"], mode, print) for mode in modes]
    return 0 if all(agreed) else 6


def _control(flags: dict[str, Any]) -> int:
    return control.train(flags, partial(print, flush=True))


_COMMANDS = {
    "lm": _lm, "floors": _floors, "plot": _plot, "conform": _conform, "gesture": _gesture, "gesture-conform": _gesture_conform,
    "control": _control,
    "snn": _snn,
    "retrieval": _retrieval, "retrieval-measure": _retrieval_measure, "convert-fs": _convert_fs,
}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
