"""The options of `launch.py snn`."""

from dataclasses import dataclass
from functools import partial

from host.errors import HostError
from host.flags import Number, OneOf, Text, Whole, YesNo, option, with_default, with_help
from host.options import RunOptions

SPLITS = ("train", "test")
POLARITIES = ("off-on", "on-off", "merged")
ANSWERS = ("counts", "mean", "last", "max")
DEFAULT_SAMPLES = 11  # one of each gesture
_of_recordings = partial(option, group="recordings (default: a synthetic event camera)")
_of_bins = partial(option, group="bins of time (default: the checkpoint's, else 34 of 50 ms)")
_of_network = partial(option, group="8 bits and answer")
_CHECKPOINT = "as MODEL: a NIR file, a checkpoint (default: the shipped one), or 'seeded' for random weights of the published size"


@dataclass(frozen=True)
class Options(RunOptions):
    """Events of a camera, and how they become spikes."""

    checkpoint: str | None = with_help(RunOptions, "checkpoint", _CHECKPOINT)
    format: str = with_default(RunOptions, "format", "conv")
    events: str | None = _of_recordings(
        None, "a folder that one of `launch.py list readers` reads, or 'synthetic'", bounds=Text(), metavar="DIR", file=True
    )
    split: str | None = _of_recordings(None, f"{' or '.join(SPLITS)} (default test)", bounds=OneOf(lambda: SPLITS), metavar="NAME")
    samples: int | None = _of_recordings(
        None, f"how many to classify (default {DEFAULT_SAMPLES}, or all if there are fewer)", bounds=Whole(1), metavar="N"
    )
    inputs: str | None = _of_recordings(
        None, "instead of events: .npz with `inputs` (samples, steps, ...) of spikes or counts, and `labels` where they are known",
        bounds=Text(), metavar="FILE", file=True,
    )  # fmt: skip
    bin_ms: float | None = _of_bins(None, "length of a step in the recording", bounds=Number(0.001, 60_000), metavar="MS")
    steps: int | None = _of_bins(None, "steps of a sample", bounds=Whole(1, 1_000_000), metavar="N")
    size: int | None = _of_bins(None, "pixels along a side of the input", bounds=Whole(1, 128), metavar="N")
    polarity: str | None = _of_bins(
        None, f"channels of the input: {', '.join(POLARITIES)}", bounds=OneOf(lambda: POLARITIES), metavar="NAME"
    )
    binary: bool = _of_bins(False, "several events of a pixel and bin are one spike", bounds=YesNo())
    count: bool = _of_bins(False, "events of a pixel and bin are counted", bounds=YesNo())
    denoise_ms: float | None = _of_bins(
        None, "leave out events without another beside them in so many ms before (0: keep all)", bounds=Number(0, 60_000),
        metavar="MS",
    )  # fmt: skip
    bits: int | None = _of_network(None, "quantise the network to so many bits", bounds=Whole(2, 8), metavar="N")
    percentile: float | None = _of_network(
        None, "with --bits: the magnitude that becomes the largest number (default 100)", bounds=Number(0, 100, above=True),
        metavar="P",
    )  # fmt: skip
    per_channel: bool = _of_network(False, "with --bits: a scale for each channel out", bounds=YesNo())
    alone: bool = _of_network(False, "with --bits: leave out what the network answers before quantising", bounds=YesNo())
    answer: str | None = _of_network(
        None, "counts of spikes, or of a readout that sends its membrane: mean (default), last, max",
        bounds=OneOf(lambda: ANSWERS), metavar="NAME",
    )  # fmt: skip
    timer_us: float = _of_network(
        1000.0, "the chip's timer step: steps that take longer are counted, which the chip does not do",
        bounds=Number(0, above=True), metavar="US",
    )  # fmt: skip
    raster: str | None = _of_network(
        None, "layer whose spikes are shown (default: the last hidden one)", bounds=Text(), metavar="NAME"
    )
    membrane: str | None = _of_network(None, "membrane to show, as LAYER:UNIT", bounds=Text(), metavar="WHICH")

    def check(self) -> None:
        """Raise HostError, one line, for a value out of its bounds or options that contradict each other."""
        super().check()
        if self.binary and self.count:
            raise HostError("--binary and --count: choose one")
        for name in ("events", "split", "bin_ms", "size", "polarity", "binary", "count", "denoise_ms"):
            value = getattr(self, name)
            if self.inputs is not None and value is not None and value is not False:
                raise HostError(f"--inputs and --{name.replace('_', '-')}: choose one, the file holds what each step hears")
        for name in ("percentile", "per_channel", "alone"):
            if self.bits is None and getattr(self, name):
                raise HostError(f"--{name.replace('_', '-')}: needs --bits")
