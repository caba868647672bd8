"""The commands of the retrieval trainer: `retrieval`, `convert-fs` and `retrieval-measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.network import ModelError
from models.training.common.flags import Commands, add_out_flag, add_settings_flags
from models.training.retrieval.settings import RetrievalSettings


def add_commands(commands: Commands) -> None:
    """Add the parsers of `retrieval`, `convert-fs` and `retrieval-measure`."""
    train = commands.add_parser("retrieval", help="train S-LISTA for harmonic retrieval, write a model", allow_abbrev=False)
    add_out_flag(train)
    add_settings_flags(train.add_argument_group("hyperparameters"), RetrievalSettings)
    train.set_defaults(run=_retrieval)

    convert = commands.add_parser("convert-fs", help="convert a CNN of torch to Few-Spikes neurons", allow_abbrev=False)
    convert.add_argument("module", metavar="MODULE:FUNCTION", help="a function that returns a torch.nn.Sequential")
    convert.add_argument("out", metavar="CHECKPOINT", help="to write, for `launch.py run`")
    convert.add_argument("--calibrate", required=True, metavar="FILE", help=".npy with inputs (samples, ...)")
    convert.add_argument("--k", type=int, default=8, metavar="K", help="bits of a value (default 8)")
    convert.add_argument("--round", choices=("half-up", "floor"), default="half-up", help="default half-up")
    convert.add_argument(
        "--weights", choices=("int8", "float32"), default="int8", help="of all layers but the first (default int8)"
    )
    convert.set_defaults(run=_convert_fs)

    measure = commands.add_parser("retrieval-measure", help="errors of a model, its conversions and ISTA", allow_abbrev=False)
    measure.add_argument("file", metavar="MODEL", help="what `retrieval` wrote")
    measure.add_argument("--samples", type=int, default=200, metavar="N", help="snapshots of each SNR (default 200)")
    measure.add_argument("--k", type=int, nargs="+", default=[4, 6, 8, 16], metavar="K", help="bits (default 4 6 8 16)")
    measure.set_defaults(run=_retrieval_measure)


def _retrieval(flags: dict[str, Any]) -> int:
    from models.training.retrieval.export import finish
    from models.training.retrieval.trainer import train_all

    out = Path(flags.pop("out"))
    settings = RetrievalSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    best, seeds = train_all(settings, out, print)
    finish(best, seeds, out, print)
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
