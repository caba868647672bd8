"""The options of `launch.py retrieval`."""

from dataclasses import dataclass
from functools import partial

from host.flags import OneOf, Sizes, Text, Whole, YesNo, option, with_default, with_help
from host.options import RunOptions

ROUNDINGS, WEIGHTS = ("half-up", "floor"), ("int8", "float32")
_of_snapshots = partial(option, group="snapshots (default: seeded ones)")
_of_network = partial(option, group="network")
_MODEL = "a file of `python -m models.training retrieval` (default: the shipped one of --dims)"


@dataclass(frozen=True)
class Options(RunOptions):
    """Snapshots, and the S-LISTA that hears them."""

    checkpoint: str | None = with_help(RunOptions, "checkpoint", _MODEL)
    mapping: str = with_default(RunOptions, "mapping", "balanced")
    format: str = with_default(RunOptions, "format", "packed")
    samples: int = _of_snapshots(20, "how many, of each SNR", bounds=Whole(1, 1_000_000), metavar="N")
    snr: tuple[int, ...] = _of_snapshots((15,), "signal to noise in whole dB, several with commas", bounds=Sizes(), metavar="DB,DB")
    targets: int = _of_snapshots(4, "frequencies of a snapshot at most", bounds=Whole(1, 16), metavar="N")
    off_grid: bool = _of_snapshots(False, "frequencies anywhere between the grid's", bounds=YesNo())
    seed: int = _of_snapshots(1_000, "of the snapshots", bounds=Whole(0), metavar="N")
    inputs: str | None = _of_snapshots(
        None, "your own, complex (snapshots, samples ...) in a .npy file", bounds=Text(), metavar="FILE", file=True
    )
    k: int = _of_network(8, "ticks, and bits, of a value", bounds=Whole(1, 16), metavar="K")
    round: str = _of_network(
        "half-up", "half-up or floor: how a value loses its lower bits", bounds=OneOf(lambda: ROUNDINGS), metavar="HOW"
    )
    weights: str = _of_network("int8", "int8 or float32", bounds=OneOf(lambda: WEIGHTS), metavar="TYPE")
    layers: int | None = _of_network(None, "only the first L (default: all)", bounds=Whole(1, 32), metavar="L")
    dims: int = _of_network(1, "dimensions of the shipped model, 1 to 3", bounds=Whole(1, 3), metavar="N")
