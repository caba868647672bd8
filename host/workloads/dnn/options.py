"""The options of `launch.py dnn`."""

from dataclasses import dataclass
from functools import partial
from math import isfinite

from host.errors import HostError
from host.flags import OneOf, Text, Whole, YesNo, option, with_default, with_help
from host.options import RunOptions

RESIDENT = ("no", "weights", "activations", "both")
SHARES = ("none", "once")
OVERLAPS = ("none", "double")
REDUCES = ("worker", "mesh")
TILES = ("fastest", "whole_depth", "fewest", "smallest")
_of_data = partial(option, group="data (default: the test data that the model carries)")
_of_program = partial(option, group="tiles")
_CHECKPOINT = "as MODEL: a quantised checkpoint, an ONNX file, .pt2, or a shipped model"


@dataclass(frozen=True)
class Options(RunOptions):
    """A network, its samples, and how its layers are cut."""

    checkpoint: str | None = with_help(RunOptions, "checkpoint", _CHECKPOINT)
    batch: int = with_default(RunOptions, "batch", 16)
    inputs: str | None = _of_data(
        None, "samples: .npy (samples, ...), .npz with an array an input (int8 as it is, other numbers by the input's scale), a "
        "folder of images or .npy, or a text with a sample a line", bounds=Text(), metavar="FILE", file=True,
    )  # fmt: skip
    pixels: str = _of_data("0:1", "numbers that black and white of an image stand for", bounds=Text(), metavar="LOW:HIGH")
    labels: str | None = _of_data(
        None, "classes that the samples are of: .npy of whole numbers (one a sample, or one a place of the output, of which -1 is "
        "not judged), or a text with one a line", bounds=Text(), metavar="FILE", file=True,
    )  # fmt: skip
    samples: int | None = _of_data(None, "how many samples (default: all)", bounds=Whole(1), metavar="N")
    calibrate: str | None = _of_data(
        None, "samples to quantise a float network by: .npy or .npz", bounds=Text(), metavar="FILE", file=True
    )
    alone: bool = _of_data(False, "leave out what the float network answers", bounds=YesNo())
    tiles: str = _of_program(
        "whole_depth",
        f"{', '.join(TILES)}: which of the tilings that fit; fastest may cut the depth of products, and so may fewest, of which "
        "the fewest transfers go through routers",
        bounds=OneOf(lambda: TILES), metavar="NAME",
    )  # fmt: skip
    share: str = _of_program(
        "none", f"{' or '.join(SHARES)}: whether a tile that several workers need is read once and handed on",
        bounds=OneOf(lambda: SHARES), metavar="HOW",
    )  # fmt: skip
    overlap: str = _of_program(
        "none", f"{' or '.join(OVERLAPS)}: whether a worker fetches its next tile before it computes one",
        bounds=OneOf(lambda: OVERLAPS), metavar="HOW",
    )  # fmt: skip
    reduce: str = _of_program(
        "worker", f"{' or '.join(REDUCES)}: one worker does all parts of a cut depth, or several, whose sums go over the mesh",
        bounds=OneOf(lambda: REDUCES), metavar="WHERE",
    )  # fmt: skip
    resident: str = _of_program(
        "no", f"{', '.join(RESIDENT)}: what stays in SRAM, weights from pass to pass, activations from layer to layer",
        bounds=OneOf(lambda: RESIDENT), metavar="WHAT",
    )  # fmt: skip

    @property
    def pixel_range(self) -> tuple[float, float]:
        """What black and white of an image stand for; HostError for what are no two numbers."""
        low, _, high = self.pixels.partition(":")
        try:
            black, white = float(low), float(high)
        except ValueError:
            raise HostError(f"--pixels {self.pixels}: needs two numbers, as 0:1 or -1:1") from None
        if not (isfinite(black) and isfinite(white)):
            raise HostError(f"--pixels {self.pixels}: needs two finite numbers")
        return black, white

    def check(self) -> None:
        """Raise HostError, one line, for a value out of its bounds or options that contradict each other."""
        super().check()
        _ = self.pixel_range
        if self.labels is not None and self.inputs is None:
            raise HostError("--labels: belong to --inputs; the model's own test data have theirs")
        if self.pes is not None and self.pes < 2:
            raise HostError(f"--pes {self.pes}: needs at least 2, a scheduler and a worker")
