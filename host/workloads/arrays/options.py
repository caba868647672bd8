"""The options of `launch.py run` and `features`."""

from dataclasses import dataclass
from functools import partial

from host.errors import HostError
from host.flags import Number, Sizes, Text, Whole, option
from host.options import RunOptions

_WIDEST = 1_000_000
_VECTORS = "arrays"
_of_network = partial(option, group="seeded network, without --checkpoint (default: the paper's sizes)")
NETWORK = ("input", "layers", "hidden", "density", "threshold", "activity", "seed")


@dataclass(frozen=True)
class Options(RunOptions):
    """Arrays of numbers, and a checkpoint or a seeded network that hears them."""

    batch: int | None = option(  # type: ignore[assignment] # with all sequences, how many they are is known when they are read
        None, "sequences side by side (default: all of --inputs, else 1)", bounds=Whole(1), metavar="B"
    )
    inputs: str | None = option(
        None, "(time, units) or (sequences, time, units): .npy, .npz, .csv, .safetensors, several inputs by name",
        bounds=Text(), metavar="FILE", group=_VECTORS, file=True,
    )  # fmt: skip
    features: str | None = option(
        None, "such a file, the first --batch sequences of it (default: numbers from --seed)",
        bounds=Text(), metavar="FILE", group=_VECTORS, file=True,
    )  # fmt: skip
    tokens: int | None = option(
        None, "vectors of each sequence (default: all of the file, or 700)", bounds=Whole(1), metavar="N", group=_VECTORS
    )
    input: int | None = _of_network(None, "units of the input", bounds=Whole(1, _WIDEST), metavar="N")
    layers: tuple[int, ...] | None = _of_network(None, "units of each layer", bounds=Sizes(), metavar="N,N")
    hidden: int | None = _of_network(None, "units of every layer but the last", bounds=Whole(1, _WIDEST), metavar="N")
    density: float | None = _of_network(
        None, "share of weights that are not zero", bounds=Number(0.0, 1.0, above=True), metavar="X"
    )
    threshold: float | None = _of_network(None, "event threshold", bounds=Number(0.0, 1.0), metavar="X")
    activity: float | None = _of_network(
        None, "share of units with an event, for which the thresholds are set", bounds=Number(0.0, 1.0), metavar="X"
    )
    seed: int = _of_network(1, "of weights and numbers", bounds=Whole(0), metavar="N")

    def check(self) -> None:
        """Raise HostError, one line, for a value out of its bounds or options that contradict each other."""
        from host.workloads.site import SEEDED  # with all of the mapping, which no list of flags needs

        super().check()
        if self.inputs is not None and self.features is not None:
            raise HostError("--inputs and --features: choose one")
        names = [name for name in NETWORK[:-1] if getattr(self, name) is not None]
        if self.checkpoint not in (None, SEEDED) and names:
            raise HostError(f"checkpoint and {sorted(names)[0]}: choose one, {sorted(names)[0]} is of a seeded network")
        if self.threshold is not None and self.activity is not None:
            raise HostError("threshold and activity: choose one")
