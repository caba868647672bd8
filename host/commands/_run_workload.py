"""The commands that run a workload: `launch.py lm` and whatever other folders of `host/workloads` name."""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from host.cluster import remote_backend
from host.commands._drawing_process import draw_beside
from host.commands._labelled_lines import print_labelled
from host.commands._model_argument import add_model, take_model
from host.commands._piped_inputs import drop_copies, keep_piped_inputs
from host.errors import HostError, complain
from host.faults import parse_fault
from host.flags import add_flags as add_option_flags
from host.launch.outcome import Outcome
from host.launch.recorded_run import run_into
from host.launch.resume_file import FILE as RESUME
from host.launch.resume_file import Unfinished, read_unfinished
from host.options import RUN, TRACE_POSITIONS, RunOptions
from host.run_folder import new_folder
from host.show import sweep_plots
from host.show.monitor import Monitor, open_monitor
from host.show.summary import published, summary
from host.workloads.registry import Workload, restore_options, workload_named
from models import shipped
from models.input_file import MOST_SETTINGS_BYTES, WAIT_S, InputError, read_input

_FIRST = "first_argument"  # of a workload that has one beside MODEL


def add_flags(parser: argparse.ArgumentParser, workload: Workload) -> None:
    """Add the flags of a workload's options, and those of every run."""
    if (argument := getattr(workload.about, "ARGUMENT", None)) is not None:
        entry = next(entry for entry in fields(workload.options) if entry.name == argument)
        text = f"{entry.metadata['help']} (default {entry.default})"
        parser.add_argument(_FIRST, metavar=argument.upper(), nargs="?", help=text)
    add_model(parser, "the trained one that is shipped" if workload.about.SHIPPED else "a seeded network")
    groups = add_option_flags(parser, workload.options)
    run = groups[RUN]
    run.add_argument("--config", metavar="FILE", help="options of an earlier run (its config.json); flags given beside it go first")
    run.add_argument("--out", metavar="DIR", help="folder for the report; must not exist (default runs/COMMAND-TIME-ID)")
    text = "go on with a run that had --restart and whose launcher was killed, from the journal in its folder"
    run.add_argument("--resume", metavar="RUN", help=text)
    text = "the live view (default, but where a text is streamed), or plain progress lines"
    run.add_argument("--monitor", action=argparse.BooleanOptionalAction, default=None, help=text)
    run.add_argument("--no-pictures", action="store_true", help="leave out report.html and trace.json.gz")
    text = "positions in trace.json.gz (default %(default)s)"
    run.add_argument("--trace-positions", type=int, default=TRACE_POSITIONS, metavar="N", help=text)
    text = (
        "a recoverable fault that must change no bit: slow=NAME:SECONDS (a PE, router@1, link 0>1), late=TICK:TICKS, shuffle=SEED, "
        "drop=S,dup=S,reorder=S,corrupt=S,seed=N (of messages on links, S of 1)"
    )
    run.add_argument("--fault", action="append", default=[], metavar="F", help=text)


def run(workload: Workload, command: str, flags: Mapping[str, Any]) -> int:
    """Run, write the run folder, print what came of it; return the exit code."""
    if flags["trace_positions"] < 0:
        raise HostError(f"--trace-positions {flags['trace_positions']}: needs at least 0")
    unfinished = _read_unfinished(workload, flags) if flags["resume"] else None
    if unfinished is not None:
        options, folder = unfinished.options, Path(flags["resume"])
    else:
        options = replace(read_flags(workload, command, flags), answers="priced" if flags["no_pictures"] else "placed")
        options.check()
        name = f"{command}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        folder = new_folder(Path(flags["out"]) if flags["out"] else Path("runs") / name)
    streams = options.streams_text and not flags["monitor"]
    try:
        if unfinished is None:
            options = keep_piped_inputs(options, folder)
        with _monitor(workload, streams, flags["monitor"] is not False) as (mapped, observe):
            meanwhile, remote = (lambda: None) if flags["no_pictures"] else load_drawing, remote_backend(options)
            outcome = run_into(
                folder, options, mapped=mapped, observe=observe, meanwhile=meanwhile, remote=remote, unfinished=unfinished
            )  # fmt: skip
    finally:
        if not any((folder / name).exists() for name in ("config.json", RESUME)):
            drop_copies(folder)
        with contextlib.suppress(OSError):
            folder.rmdir()  # where nothing was written: refused, or ended before anything ran
    code = _print_outcome(workload, outcome, folder, streams)
    if not flags["no_pictures"] and (folder / "report.json").exists():
        sweep_plots.require()
        from host.show.pictures import make_pictures  # not above: `load_drawing` says when

        print(f"pictures     {make_pictures(folder, flags['trace_positions'], workload.page(), draw_beside)}")
    return code


def _read_unfinished(workload: Workload, flags: Mapping[str, Any]) -> Unfinished:
    """Return the run that `--resume` names; HostError where options are given beside it."""
    options, names = dict(flags), {entry.name for entry in fields(workload.options)}
    take_model(options)
    beside = [name for name in options if name in names] + [name for name in ("config", "out", "fault") if options[name]]
    if beside:
        raise HostError(f"--resume {flags['resume']}: a run has its options already; leave out {', '.join(beside)}")
    return read_unfinished(Path(flags["resume"]), workload.name)


def read_flags(workload: Workload, command: str, flags: Mapping[str, Any]) -> RunOptions:
    """Return the options: the command's presets, over them those of `--config`, over them the flags that were given."""
    names = {entry.name for entry in fields(workload.options)}
    given = dict(flags)
    if (first := given.pop(_FIRST, None)) is not None:
        argument = workload.about.ARGUMENT
        if argument in given:
            raise HostError(f"{argument.upper()} {first} and --{argument} {given[argument]}: choose one, they are the same")
        given[argument] = first
    take_model(given)
    given = {name: value for name, value in given.items() if name in names}
    options = _read_config(Path(flags["config"]), workload, command) if flags["config"] else workload.options()
    if flags["fault"]:
        given["faults"] = parse_fault(flags["fault"])
    options = replace(options, **{**workload.commands[command].presets, **given})
    if workload.commands[command].needs_model and options.checkpoint is None:
        raise HostError(f"{command}: needs MODEL, a checkpoint file, {', '.join(shipped.names())} or seeded")
    return options


def _read_config(path: Path, workload: Workload, command: str) -> RunOptions:
    """Return the options in a config file; HostError where it cannot be read or is another workload's."""
    who = f"--config {path}"
    try:
        record = json.loads(read_input(path, MOST_SETTINGS_BYTES, WAIT_S))
    except InputError as error:
        raise HostError(f"{who}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise HostError(f"{who}: cannot be read as JSON ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(record, dict) or workload_named(record.get("workload")) != workload:
        have = record.get("workload") if isinstance(record, dict) else type(record).__name__
        raise HostError(f"{who}: needs the options of {workload.name!r}, as `{command}` runs it, has {have!r}")
    return restore_options(record, who)


def load_drawing() -> None:
    """Load what draws, so that it is there at the end; where that fails, it is told of when it should draw."""
    with contextlib.suppress(Exception):  # of whatever kind a user's settings cause
        import host.show.pictures  # noqa: F401
        from host.show.sections import all_sections

        all_sections()


@contextlib.contextmanager
def _monitor(
    workload: Workload, streams: bool, live: bool
) -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[dict[str, Any]], None]]]:
    """Yield what opens the view of a run and what updates it: the live view, plain lines, or the text as it is generated."""
    monitors: list[Monitor] = []

    def mapped(layout: dict[str, Any]) -> None:
        if streams:
            monitors.append(workload.part("text_stream", "TextStream")(layout, sys.stdout))
        else:
            monitors.append(open_monitor(layout, live, panel=workload.part("panel", "PANEL")))

    try:
        yield mapped, lambda status: monitors[0].update(status)  # noqa: PLW0108 - there is no monitor yet
    finally:
        for monitor in monitors:
            monitor.close()


def _print_outcome(workload: Workload, outcome: Outcome, folder: Path, streamed: bool) -> int:
    """Print the summary and where the report lies; return the exit code."""
    if outcome.report is not None:
        lines: Sequence[str] = workload.part("summary", "summary_lines", lambda *_: [])(outcome.report, published())
        text = summary(outcome.report, [line for line in lines if not (streamed and line.startswith("text "))])
        print_labelled(text.splitlines())
    if outcome.mismatch is not None and outcome.mismatch["difference"] is None:
        print(f"verified     {outcome.mismatch['compared']:,} unit states agree with the reference, bit for bit")
    if folder.exists():
        partial = " (partial)" if outcome.report is None or outcome.report["partial"] else ""
        print(f"report       {folder / 'report.json'}{partial}")
    return complain(outcome.problem, outcome.code) if outcome.problem else int(outcome.code)
