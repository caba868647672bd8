"""What a user asks for, resolved and checked before any process starts: one frozen record that travels to the host
process. What every run has is `RunOptions`; each workload adds its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from host.errors import HostError
from host.mapping import strategies
from models import formats

TRACE_POSITIONS = 200  # of a run that its trace.json.gz shows, from the first
TRANSPORTS = ("zmq", "mem")
RECORDED, EXPECTED = "recorded", "expected"  # in the place of a transport, for points of an experiment that run nothing
# As models/checkpoint/metadata.py and models/checkpoint/file.py have them, which are too heavy for the launcher.
STATES = ("zeroed", "carried")
SPLITS = ("valid", "test")
DVS_SPLITS = ("train", "test")
_MAX_TEMPERATURE = 1e6  # far beyond this every word is as likely as any other
MAX_GENERATE = 1_000_000
DEFAULT_TOKENS = 700  # ten of the authors' segments of 70
DEFAULT_SAMPLES = 44  # four of each of the eleven gestures


@dataclass(frozen=True)
class Faults:
    """Recoverable faults to inject: they must not change one bit of any answer.

    `slow`: name of a PE, a router ("router@1") or a link between chips ("0>1") -> seconds before each message; `late`:
    (first tick, ticks) at which the DRAM delivers nothing; `shuffle`: seed of a random order of arrival (transport `mem`).
    """

    slow: dict[str, float]
    late: tuple[tuple[int, int], ...] = ()
    shuffle: int | None = None

    def of_router(self, name: str) -> dict[str, float]:
        """Return the seconds that a router waits before each message, by sender, "" for all others."""
        late = {"": self.slow[name]} if name in self.slow else {}
        for link, seconds in self.slow.items():
            came_from, arrow, to = link.partition(">")
            if arrow and f"router@{to}" == name:
                late[f"router@{came_from}"] = seconds + late.get("", 0.0)
        return late

    def is_late(self, tick: int) -> bool:
        """Tell whether the DRAM delivers nothing at `tick`."""
        return any(first <= tick < first + ticks for first, ticks in self.late)


@dataclass(frozen=True)
class RunOptions:
    """What every run has, with the names of the flags. `workload` says which record it is, for the host process."""

    checkpoint: str | None = None
    batch: int = 1
    chips: int = 1
    pes: int | None = None
    mapping: str = "uniform"
    format: str = "csr"
    transport: str = "zmq"
    chip: str = "spinnaker2"
    chip_file: str | None = None
    cluster: str | None = None  # an engine's workers instead of this machine (`host/cluster/cluster_config.py`)
    restart: bool = False
    stall_s: float = 30.0
    verify: bool = False
    faults: Faults = Faults({})
    workload: str = field(default="", init=False)

    def check(self) -> None:
        """Raise HostError or ModelError, one line each, for what cannot be."""
        strategies.require(self.mapping)
        formats.require(self.format)
        if self.transport not in TRANSPORTS:
            raise HostError(f"unknown transport {self.transport!r}: have {', '.join(TRANSPORTS)}")
        _at_least(1, chips=self.chips, pes=self.pes, batch=self.batch)
        if not (math.isfinite(self.stall_s) and self.stall_s > 0):
            raise HostError(f"--stall {self.stall_s}: needs a finite number of seconds above 0")
        if self.cluster is not None and self.transport != "zmq":
            raise HostError("--cluster: goes with --transport zmq; in one process nothing is on another machine")
        if self.restart and self.cluster is None:
            raise HostError("--restart: goes with --cluster; without workers there is none to lose")
        if self.faults.shuffle is not None and self.transport != "mem":
            raise HostError("--fault shuffle: goes with --transport mem; between processes the order is the operating system's")
        if self.faults.slow and self.transport != "zmq":
            raise HostError("--fault slow: goes with --transport zmq; in one process nobody waits for anybody")

    def resolved(self) -> dict[str, Any]:
        """Return the options as written into the run folder; `restored` reads them again."""
        return asdict(self)


@dataclass(frozen=True)
class LmOptions(RunOptions):
    """The options of `launch.py lm`."""

    text: str | None = None
    wikitext: str | None = None
    features: str | None = None  # a file of feature vectors to feed instead of words (`host/workloads/features/workload.py`)
    split: str | None = None
    tokens: int | None = None
    prompt: str | None = None
    generate: int = 0
    temperature: float = 1.0
    top_k: int = 0
    seed: int = 1
    state: str | None = None
    workload: str = field(default="lm", init=False)

    def check(self) -> None:
        """Raise HostError or ModelError, one line each, for what cannot be."""
        super().check()
        _at_least(1, tokens=self.tokens)
        _at_least(0, generate=self.generate, top_k=self.top_k, seed=self.seed)
        if not 0 <= self.temperature <= _MAX_TEMPERATURE:  # also refuses NaN
            raise HostError(f"--temperature {self.temperature}: needs a finite number from 0 to {_MAX_TEMPERATURE:g}")
        texts = {"--text": self.text, "--wikitext": self.wikitext, "--prompt": self.prompt, "features": self.features}
        given = [flag for flag, value in texts.items() if value is not None]
        if len(given) > 1:
            raise HostError(f"{' and '.join(given)}: choose one")
        _one_of("state", self.state, STATES)
        _one_of("split", self.split, SPLITS)
        if self.split is not None and (self.text is not None or self.prompt is not None):
            raise HostError(f"--split {self.split}: goes with a text that has splits, not with {given[0]}")
        if self.features is not None and self.checkpoint is None:
            raise HostError("features: need a checkpoint whose input they fit")
        if self.prompt is not None and not 1 <= self.generate <= MAX_GENERATE:
            raise HostError(f"--generate {self.generate}: needs 1 to {MAX_GENERATE:,} words")
        if self.prompt is None and self.generate:
            raise HostError("--generate needs --prompt")
        if self.prompt is not None and self.tokens is not None:
            raise HostError("--tokens goes with a text; a prompt goes with --generate")
        if self.prompt is not None and self.batch != 1:
            raise HostError(f"--batch {self.batch}: a prompt is continued one sequence at a time; use --batch 1")


@dataclass(frozen=True)
class DvsOptions(RunOptions):
    """The options of `launch.py dvs`."""

    format: str = "dense"
    events: str | None = None  # a folder of recordings; None or "synthetic": the synthetic camera
    split: str | None = None
    samples: int | None = None
    workload: str = field(default="dvs", init=False)

    def check(self) -> None:
        """Raise HostError or ModelError, one line each, for what cannot be."""
        super().check()
        _at_least(1, samples=self.samples)
        _one_of("split", self.split, DVS_SPLITS)


def restored(record: Mapping[str, Any]) -> RunOptions:
    """Return the options that `resolved` gave, after their way to another process."""
    kind: type[RunOptions] = {"lm": LmOptions, "dvs": DvsOptions}[record["workload"]]
    faults = record["faults"]
    late = tuple((int(first), int(ticks)) for first, ticks in faults["late"])
    rest = {name: value for name, value in record.items() if name not in ("workload", "faults")}
    return kind(**rest, faults=Faults(faults["slow"], late, faults["shuffle"]))


def _at_least(least: int, **flags: int | None) -> None:
    for name, value in flags.items():
        if value is not None and value < least:
            raise HostError(f"--{name.replace('_', '-')} {value}: needs at least {least}")


def _one_of(flag: str, name: str | None, names: Sequence[str]) -> None:
    if name is not None and name not in names:
        raise HostError(f"--{flag} {name!r}: have {', '.join(names)}")


def parse_fault(texts: list[str]) -> Faults:
    """Read `--fault slow=NAME:SECONDS`, `late=TICK:TICKS`, `shuffle=SEED`; HostError for anything else."""
    slow: dict[str, float] = {}
    late: list[tuple[int, int]] = []
    shuffle = None
    for text in texts:
        kind, _, rest = text.partition("=")
        left, _, right = rest.rpartition(":")
        try:
            if kind == "slow":
                slow[left] = float(right)
            elif kind == "late":
                late.append((int(left), int(right)))
            elif kind == "shuffle":
                shuffle = int(rest)
            else:
                raise HostError(f"--fault {text!r}: unknown kind {kind!r}; have slow=NAME:SECONDS, late=TICK:TICKS, shuffle=SEED")
        except (ValueError, OverflowError) as error:
            if isinstance(error, HostError):
                raise
            raise HostError(f"--fault {text!r}: {kind} needs numbers behind '='") from error
    if any(not name or not 0 <= seconds < 60 for name, seconds in slow.items()):
        raise HostError("--fault slow: needs the name of a PE, router or link and 0 to 60 seconds")
    if any(first < 0 or ticks < 1 for first, ticks in late):
        raise HostError("--fault late: needs a tick from 0 and at least 1 tick")
    return Faults(slow, tuple(late), shuffle)


def new_folder(path: Path) -> Path:
    """Create a run's folder; HostError where it exists already or cannot be written."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise HostError(f"--out {path}: exists already; a run never writes over another") from None
    except OSError as error:
        raise HostError(f"--out {path}: cannot be created ({error.strerror})") from error
    return path
