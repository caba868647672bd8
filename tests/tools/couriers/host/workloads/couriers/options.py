"""The options of the command `couriers`."""

from dataclasses import dataclass

from host.flags import Whole, option
from host.options import RunOptions


@dataclass(frozen=True)
class Options(RunOptions):
    """Those of every run, and how many steps."""

    steps: int = option(30, "steps to run", bounds=Whole(1), metavar="N")
    stores: int = option(1, "1: fill the DRAMs that are used; 2: one that is not, too", bounds=Whole(1), metavar="N")
