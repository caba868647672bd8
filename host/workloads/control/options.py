"""The options of `launch.py control`."""

from dataclasses import dataclass
from functools import partial

from host.errors import HostError
from host.flags import Number, OneOf, Text, Whole, YesNo, option, with_default, with_help
from host.options import RunOptions

ENCODINGS = ("current", "poisson")
BITS = ("8", "float")
DEFAULT_EPISODES = 10
DEFAULT_STEPS = 1000  # an episode, in an environment that sets no limit
_of_task = partial(option, group="environment")


@dataclass(frozen=True)
class Options(RunOptions):
    """An environment, and how a Q-network acts in it."""

    pes: int | None = with_help(RunOptions, "pes", "PEs to use (default: one a layer, or as few as fit)")
    mapping: str = with_default(RunOptions, "mapping", "balanced")
    format: str = with_default(RunOptions, "format", "packed")
    environment: str = _of_task(
        "cartpole", "cartpole, cartpole-v0, acrobot, reach, or a name of gymnasium's, as the first argument or here",
        bounds=Text(), metavar="NAME",
    )  # fmt: skip
    episodes: int | None = _of_task(
        None, f"how many episodes (default {DEFAULT_EPISODES}, or as many as run side by side)", bounds=Whole(1), metavar="N"
    )
    seed: int = _of_task(
        0, "of the first episode, the next one's is one more; and of spikes that are drawn", bounds=Whole(0), metavar="S"
    )
    steps: int | None = _of_task(
        None, f"cut an episode off after so many actions (default: the environment's limit, or {DEFAULT_STEPS})",
        bounds=Whole(1), metavar="N",
    )  # fmt: skip
    ticks: int | None = _of_task(None, "ticks an action (default: as the network was trained)", bounds=Whole(1, 4096), metavar="T")
    encode: str = _of_task(
        "current", "an observation as a constant current, or as spikes that are drawn at each tick (poisson)",
        bounds=OneOf(lambda: ENCODINGS), metavar="NAME",
    )  # fmt: skip
    carry: bool = _of_task(False, "keep membranes from one action to the next", bounds=YesNo())
    bits: str = _of_task("8", "weights in 8 bits, or float", bounds=OneOf(lambda: BITS), metavar="NAME")
    timer_us: float = _of_task(
        1000.0, "length of a tick where a timer starts each, for the price beside that of ticks back to back",
        bounds=Number(0.0, 1e7, above=True, unit="microseconds"), metavar="U",
    )  # fmt: skip
    neurons: str | None = _of_task(
        None, "reach: a table of the neurons that a decoder hears, cx, cy, lowest and highest rate a row (default: seeded)",
        bounds=Text(), metavar="CSV", file=True,
    )  # fmt: skip
    replay: str | None = _of_task(
        None, "feed the observations of an earlier run (its --outputs FILE) and compare the actions",
        bounds=Text(), metavar="FILE", file=True,
    )  # fmt: skip

    @property
    def episode_count(self) -> int:
        """How many episodes are run."""
        return self.episodes or max(DEFAULT_EPISODES, self.batch)

    def check(self) -> None:
        """Raise HostError, one line, for a value out of its bounds or options that contradict each other."""
        super().check()
        if self.episodes is not None and self.batch > self.episodes:
            raise HostError(f"--batch {self.batch}: has {self.episodes} episodes; use --batch {self.episodes} or fewer")
        if self.seed + self.episode_count > 1 << 63:
            raise HostError(f"--seed {self.seed}: needs less than 2**63 with all episodes")
