"""Finds workloads by the names of their folders (`models/families.py`), and reads a folder's parts when they are needed.

A folder `host/workloads/NAME/` has

- `__init__.py`, light to import: `COMMANDS` (command of `launch.py` -> its help and the options that it sets), `EXAMPLES`
  (arguments and what they do, for the help), `UNIT` (what one position of one sequence is called), `METRICS` (name ->
  `Metric` without a value), `SHIPPED` (the checkpoint in models/shipped that runs where none is named, or "";
  `shipped_for(options)` where that depends on them); and where it is so, `KERNELS` (the neuron models of networks that it
  makes by itself, which are loaded before PEs start, or `kernels_for(options)`; what else PEs need: `modules_for(options)`),
  `HEADS` (what its host calls of models/heads, loaded before it starts),
  `PRICED` (name of a metric that a price changes -> how: `TIME`, `ENERGY`, `PER_ENERGY` or `STEPS` of `contract.py`),
  `ARGUMENT` (an option that may be typed as the first argument, before MODEL), `DEFAULT = True` (it runs where no workload
  is named), `claims(settings)` (an experiment that names no workload means this one) and `FORMER` (names that it had before,
  which config files and experiments may still say);
- `options.py`, light to import, too: `Options`, a `RunOptions` with fields of its own;
- `prepare.py`: `prepare(options) -> Job`, and where points of a sweep have files in common, `share_files(options, folder)`;
- `example.py`: `smallest(folder)`, which writes the files of the smallest run there is into a folder and returns the options
  that run it, by name; tests hold every workload to the same by it;
- and where it has them: `summary.py` (`summary_lines(report, published)`), `page.py` (`sections(report)` and
  `figures(report)`), `panel.py`
  (`PANEL`), `info.py` (`describe(model)`), `paper.py` (`takes(checkpoint) -> bool`,
  `paper_part(checkpoint, transport) -> PaperPart`).
"""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import host.workloads
from host.errors import Exit, HostError
from host.faults import Faults
from host.flags import read_options
from host.options import RunOptions
from host.workloads.contract import Command, Job, Metric
from models.families import member_names


@dataclass(frozen=True)
class Workload:
    """One workload: its folder's name, and what its files say."""

    name: str

    @property
    def about(self) -> Any:
        """The folder's `__init__.py`."""
        return importlib.import_module(f"{host.workloads.__name__}.{self.name}")

    @property
    def commands(self) -> Mapping[str, Command]:
        """Its commands of `launch.py`."""
        return cast("Mapping[str, Command]", self.about.COMMANDS)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Its metrics by name, without values."""
        return cast("Mapping[str, Metric]", self.about.METRICS)

    @property
    def priced(self) -> Mapping[str, str]:
        """The metrics that a price changes, and how each follows from it."""
        return cast("Mapping[str, str]", getattr(self.about, "PRICED", {}))

    @property
    def options(self) -> type[RunOptions]:
        """Its options."""
        return cast("type[RunOptions]", self.part("options", "Options"))

    def part(self, file: str, name: str, default: Any = None) -> Any:
        """Return what one of the folder's files calls `name`; the default where there is no such file, or no such name in it."""
        path = f"{host.workloads.__name__}.{self.name}.{file}"
        module = importlib.import_module(path) if importlib.util.find_spec(path) else None
        return getattr(module, name, default)

    def page(self) -> Any:
        """Return what it adds to the page of a run (`host/show/pictures.py`)."""
        from host.show.pictures import WorkloadPage

        nothing = WorkloadPage()
        return WorkloadPage(
            sections=self.part("page", "sections", nothing.sections), figures=self.part("page", "figures", nothing.figures),
            position_names=self.part("page", "position_names", nothing.position_names),
        )  # fmt: skip


@cache
def workloads() -> Mapping[str, Workload]:
    """Return every workload by its name, ascending."""
    return {name: Workload(name) for name in member_names(host.workloads, folders=True)}


def workload_named(name: Any) -> Workload | None:
    """Return the workload of a name, or of a name that it had before; None where there is none."""
    if not isinstance(name, str):
        return None
    former = (one for one in workloads().values() if name in getattr(one.about, "FORMER", ()))
    return workloads().get(name) or next(former, None)


def workload_of(options: RunOptions) -> Workload:
    """Return the workload whose options these are."""
    return workloads()[options.workload]


def default_workload() -> Workload:
    """Return the workload that runs where none is named; HostError where none is made for that."""
    for workload in workloads().values():
        if getattr(workload.about, "DEFAULT", False):
            return workload
    raise HostError(f"which workload? have {', '.join(workloads()) or 'none'}")


def claimed_workload(settings: Mapping[str, Any]) -> Workload:
    """Return the workload that an experiment's settings mean: the one they name, else the first that claims them, else the default.

    Raises HostError for a name that is none.
    """
    name = settings.get("workload")
    if name is None:
        claiming = (w for w in workloads().values() if (claims := getattr(w.about, "claims", None)) and claims(settings))
        return next(claiming, None) or default_workload()
    workload = workload_named(name)
    if workload is None:
        raise HostError(f"workload {name!r}: have {', '.join(workloads())}")
    return workload


def prepare(options: RunOptions) -> Job:
    """Return the job of these options; HostError, ModelError, TextError or ChipError, one line each, for what cannot run."""
    from noc.dram import DramError, DramOverflow

    options.check()
    try:
        return cast("Job", workload_of(options).part("prepare", "prepare")(options))
    except DramError as error:
        raise HostError(str(error), Exit.DOES_NOT_FIT if isinstance(error, DramOverflow) else Exit.USAGE) from error


def restore_options(record: Mapping[str, Any], who: str = "options") -> RunOptions:
    """Return the options that `RunOptions.resolved` made a record of; HostError, one line, for a record that is none."""
    workload = workload_named(record.get("workload")) if isinstance(record, Mapping) else None
    if workload is None:
        have = record.get("workload") if isinstance(record, Mapping) else type(record).__name__
        raise HostError(f"{who}: needs the options of a workload ({', '.join(workloads())}), has {have!r}")
    options = workload.options
    rest = {name: value for name, value in record.items() if name not in ("workload", "faults")}
    try:
        faults = Faults.from_record(record["faults"]) if "faults" in record else Faults()
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(f"{who}: faults cannot be read ({type(error).__name__}: {error})") from error
    return options(**read_options(options, rest, who), faults=faults)
