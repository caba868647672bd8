"""A workload's smallest example: run in this process's hands, typed as flags, or played on the plain reference."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from host.cli import main
from host.cluster import remote_backend
from host.flags import YesNo, flag_of, option_fields
from host.launch.outcome import Outcome
from host.launch.recorded_run import run_into
from host.options import RunOptions
from host.workloads.contract import Feed, Job
from host.workloads.lane_sets import read_lanes
from host.workloads.registry import Workload
from host.workloads.section_events import all_sending
from models.families import member_names
from models.network import Network
from models.numerics import PAYLOADS
from models.reference import Reference
from noc.packet import Section
from tests.tools.command_lines import Done, run_command


def launch(*arguments: object, cwd: Path) -> Done:
    """Run `launch.py` within this process, in another current folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return run_command(main, arguments, lambda: (out.getvalue(), err.getvalue()))


class Ran(NamedTuple):
    """A run, with what a monitor was told of it."""

    folder: Path
    outcome: Outcome
    layout: dict[str, Any]
    statuses: list[dict[str, Any]]

    @property
    def report(self) -> dict[str, Any]:
        assert self.outcome.report is not None, self.outcome.problem
        return self.outcome.report


class Example:
    """A workload's smallest example, in a folder of its own; runs with the same options are run once."""

    def __init__(self, workload: Workload, folder: Path, chosen: dict[str, Any] | None = None) -> None:
        self.workload, self.folder = workload, folder
        self.chosen: dict[str, Any] = chosen or workload.part("example", "smallest")(folder)
        self.command = next(name for name, command in workload.commands.items() if not command.presets)
        self._runs: dict[str, Ran] = {}
        self._folders = (folder / f"run-{number}" for number in range(1000))

    def options(self, **options: Any) -> RunOptions:
        chosen = self.workload.options(**self.chosen | options)
        chosen.check()
        return chosen

    def flags(self, **options: Any) -> list[str]:
        """Return the options as a user types them; None leaves one out, and a file is named as from the example's folder."""
        words, chosen = [], self.chosen | options
        for entry in option_fields(self.workload.options):
            value = chosen.get(entry.name)
            if value in (None, False):
                continue
            if entry.metadata["file"]:
                value = Path(value).relative_to(self.folder)
            words.append(flag_of(entry))
            if not isinstance(entry.metadata["bounds"], YesNo):
                words.append(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        return words

    def new_folder(self) -> Path:
        """Return a folder that is not there yet."""
        return next(self._folders)

    def run(self, **options: Any) -> Ran:
        """Run with these options over those of the example."""
        key = json.dumps(options, default=repr, sort_keys=True)
        if key not in self._runs:
            self._runs[key] = self.run_and_strike(lambda: None, **options)
        return self._runs[key]

    def run_and_strike(self, strike: Callable[[], None], **options: Any) -> Ran:
        """Run, and call `strike` once when the first positions have come through."""
        folder, chosen = self.new_folder(), self.options(**options)
        folder.mkdir()
        layout: dict[str, Any] = {}
        statuses: list[dict[str, Any]] = []
        pending = [strike]

        def observe(status: dict[str, Any]) -> None:
            statuses.append(dict(status))
            if pending and status["phase"] == "running" and status["done"]:
                pending.pop()()

        outcome = run_into(folder, chosen, mapped=layout.update, observe=observe, remote=remote_backend(chosen))
        return Ran(folder, outcome, layout, statuses)


def has_reference(network: Network) -> bool:
    """Tell whether all neuron models of a network have a plain reference."""
    names = member_names("models.reference")
    return all(network.populations[n].kernel in names for n in network.layers)


class Played:
    """A job played on the plain reference, which stays as it is where the job is exchanged for one that goes on."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.feeds: list[Feed] = []
        self._network = job.placement.network
        self._references = [Reference(self._network) for _ in range(job.placement.request.lanes)]

    def play(self, positions: int) -> None:
        """Feed positions and answer each, until so many have been fed in all or there are no more."""
        while not self.job.source.exhausted() and len(self.feeds) < positions:
            feed = self.job.source.next()
            assert feed is not None, "every answer is in"
            self.feeds.append(feed)
            self.job.readout.answer(feed.position, {self._network.output: [self._step(feed)]})

    def _step(self, feed: Feed) -> Section:
        lanes, output, (into,) = len(self._references), self._network.output, self._network.inputs
        sending = all_sending(self._network, lanes)
        inputs = sending[into].spread(Section(into, feed.flags, feed.position, *feed.events[into], b"", feed.lanes), lanes)
        begin, reset, idle = read_lanes(feed.flags, feed.lanes, lanes)
        rows = [
            reference.step({into: inputs[lane]}, fresh=begin[lane], reset=reset[lane], idle=idle[lane])[output][0]
            for lane, reference in enumerate(self._references)
        ]
        outputs = np.concatenate(rows)
        keys = np.arange(0) if sending[output].dense else np.flatnonzero(outputs)
        values = outputs if sending[output].dense else outputs[keys]
        payload = values.tobytes() if PAYLOADS[self._network.populations[output].payload] else b""
        return Section(output, feed.flags, feed.position, keys.astype("<u4").tobytes(), payload, b"", feed.lanes)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of nested dicts and lists with its path."""
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{path}.{name}")
    else:
        yield path, value
