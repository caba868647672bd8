"""The options of `launch.py dvs`."""

from dataclasses import dataclass
from functools import partial

from host.flags import OneOf, Text, Whole, option, with_default, with_help
from host.options import RunOptions

SPLITS = ("train", "test")
DEFAULT_SAMPLES = 44  # four of each of the eleven gestures
_of_recordings = partial(option, group="recordings (default: a synthetic event camera)")
_CHECKPOINT = (
    "a checkpoint file, 'plain' for the shipped model that hands on y, or 'seeded' for random weights "
    "(default: the shipped model that hands on traces)"
)


@dataclass(frozen=True)
class Options(RunOptions):
    """Recordings of an event camera."""

    checkpoint: str | None = with_help(RunOptions, "checkpoint", _CHECKPOINT)
    format: str = with_default(RunOptions, "format", "dense")
    events: str | None = _of_recordings(
        None, "a folder of DVS128 Gesture, as distributed or as tonic leaves it, what another of `launch.py list readers` reads, "
        "or 'synthetic'",
        bounds=Text(), metavar="DIR", file=True,
    )  # fmt: skip
    split: str | None = _of_recordings(None, f"{' or '.join(SPLITS)} (default test)", bounds=OneOf(lambda: SPLITS), metavar="NAME")
    samples: int | None = _of_recordings(
        None, f"how many to classify (default {DEFAULT_SAMPLES}, or all if there are fewer)", bounds=Whole(1), metavar="N"
    )
