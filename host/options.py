"""What every run has, checked before any process starts: one frozen record that travels to the host process.

Each workload adds its own options (`host/workloads/NAME/options.py`).
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from host.errors import HostError
from host.faults import Faults
from host.flags import Names, Number, OneOf, Text, Whole, YesNo, check_options, option, option_fields
from models import formats, shipped
from models.families import member, member_names

TRACE_POSITIONS = 200  # first positions of a run that its trace.json.gz shows
_TRANSPORTS, _DEFAULT_TRANSPORT = "noc.transports", "zmq"
CHIP, RUN = "chip and mapping", "run"  # headings of flags
ANSWERS = ("none", "priced", "placed")  # what settings would change: of prices alone, or of the placement, too
SAVED = ("events", "states", "outputs", "logits")  # what a run can keep (`host/run/saved.py`)


def mapping_names() -> list[str]:
    """Return the names of the mappings, the paper's first; their files stay unloaded."""
    return sorted(member_names("host.mapping.strategies"), key=lambda name: (name != "uniform", name))


def transport_names() -> list[str]:
    """Return the names of the transports, the default one first; their files stay unloaded."""
    return sorted(member_names(_TRANSPORTS), key=lambda name: (name != _DEFAULT_TRANSPORT, name))


def transport_named(name: str) -> Any:
    """Return the transport called `name`, a module (`noc/transports`); ModelError where there is none."""
    return member(_TRANSPORTS, name, "transport")


def transports_with(quality: str, value: bool = True) -> list[str]:
    """Return the names of the transports whose file says so (`PROCESSES`, `JOINS_MACHINES`)."""
    return [name for name in transport_names() if getattr(transport_named(name), quality, False) is value]


@dataclass(frozen=True)
class RunOptions:
    """The options of every run, with the names of their flags."""

    # fmt: off
    checkpoint: str | None = option(
        None, "as MODEL, the other way to name it",
        bounds=Text(), metavar="MODEL", file=True)
    batch: int = option(1, "independent sequences side by side", bounds=Whole(1), metavar="B")
    pes: int | None = option(
        None, "PEs to use (default: all that spare the busiest a unit; balanced: as few as fit)",
        bounds=Whole(1), metavar="N", group=CHIP)
    mapping: str = option(
        "uniform", f"{', '.join(mapping_names())}; uniform is the paper's",
        bounds=OneOf(mapping_names, "mapping"), metavar="NAME", group=CHIP)
    format: str = option(
        "csr", f"weights as {', '.join(formats.names())}",
        bounds=OneOf(formats.names, "weight format"), metavar="NAME", group=CHIP)
    chips: int = option(1, "chips, linked as on a board", bounds=Whole(1), metavar="N", group=CHIP)
    chip: str = option("spinnaker2", "spinnaker2 or spinnaker2-300mhz", bounds=Text(), metavar="NAME", group=CHIP)
    chip_file: str | None = option(
        None, "numbers to override, and down_cores, down_chips, down_links",
        bounds=Text(), metavar="TOML", group=CHIP, file=True)
    transport: str = option(
        _DEFAULT_TRANSPORT, f"{' or '.join(transport_names())}: processes, or all in one",
        bounds=OneOf(transport_names, "transport"), metavar="NAME", group=RUN)
    cluster: str | None = option(  # the workers of an engine instead of this machine (`host/cluster/cluster_config.py`)
        None,
        "run chips on Dask workers: tcp://SCHEDULER:8786, local:N (workers on this machine), or a TOML file (docs/cluster.md)",
        bounds=Text(), metavar="WHERE", group=RUN, sweep=False)
    restart: bool = option(
        False, "where a process or a worker is lost or stands still, replace it and go on, from the last segment boundary",
        bounds=YesNo(), group=RUN, sweep=False)
    snapshot: int = option(
        256, "with --restart: at most about N positions are run again, by snapshots where no segment boundary is as near; 0: none",
        bounds=Whole(0), metavar="N", group=RUN, sweep=False)
    stall_s: float = option(
        30.0, "give up after S seconds without progress",
        bounds=Number(0.0, above=True, unit="seconds"), metavar="S", flag="--stall", group=RUN, sweep=False)
    save: tuple[str, ...] | None = option(
        None, f"keep in the run folder, any of {','.join(SAVED)} (docs/report.md)",
        bounds=Names(SAVED), metavar="WHAT", group=RUN, sweep=False)
    outputs: str | None = option(
        None, "write what the network answers to this .npz, too; must not exist",
        bounds=Text(), metavar="FILE", group=RUN, sweep=False)
    verify: bool = option(False, "compare every event with a plain reference", bounds=YesNo(), group=RUN, sweep=False)
    answers: str | None = option(None, bounds=OneOf(lambda: list(ANSWERS), "answers"), sweep=False)
    faults: Faults = field(default_factory=Faults)
    # fmt: on

    @property
    def workload(self) -> str:
        """The workload whose options these are: the name of its folder."""
        return type(self).__module__.split(".")[-2]

    @property
    def streams_text(self) -> bool:
        """Whether the run makes a text that a person wants to see grow."""
        return False

    def check(self) -> None:
        """Raise HostError, one line, for a value out of its bounds or options that contradict each other."""
        check_options(self)
        if self.cluster is not None and self.transport not in (fit := transports_with("JOINS_MACHINES")):
            raise HostError(f"--cluster: goes with --transport {' or '.join(fit)}; in one process nothing is on another machine")
        if self.outputs is not None and not self.outputs.endswith(".npz"):
            raise HostError(f"--outputs {self.outputs}: needs a name that ends in .npz")
        if self.outputs is not None and os.path.lexists(self.outputs):
            raise HostError(f"--outputs {self.outputs}: exists already; nothing is overwritten")
        if self.outputs is not None and not os.access(Path(self.outputs).parent, os.W_OK):
            raise HostError(f"--outputs {self.outputs}: its folder does not exist or cannot be written")
        if self.restart and self.transport not in (fit := transports_with("PROCESSES")):
            raise HostError(f"--restart: goes with --transport {' or '.join(fit)}; in one process nobody dies alone")
        if self.faults.shuffle is not None and self.transport not in (fit := transports_with("PROCESSES", False)):
            order = "between processes the order is the operating system's"
            raise HostError(f"--fault shuffle: goes with --transport {' or '.join(fit)}; {order}")
        if self.faults.slow and self.transport not in (fit := transports_with("PROCESSES")):
            raise HostError(f"--fault slow: goes with --transport {' or '.join(fit)}; in one process nobody waits for anybody")

    def resolved(self) -> dict[str, Any]:
        """Return the options as a record, with the workload's name, as it goes to the host process."""
        return asdict(self) | {"workload": self.workload}

    def repeatable(self) -> dict[str, Any]:
        """Return the record with files as absolute paths: it repeats the run from any folder."""
        record = self.resolved()
        for entry in option_fields(type(self)):
            value = record[entry.name]
            if entry.metadata["file"] and value is not None and value not in shipped.names() and Path(value).exists():
                record[entry.name] = str(Path(value).resolve())
        del record["answers"]  # what is worked out of a run, not the run
        return record
