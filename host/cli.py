"""The command line: reads flags, runs a `Cluster` under a monitor, writes the run folder, prints the outcome.

What a user gets wrong ends in one line on stderr and an exit code (`host/errors.py`); only a bug shows a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from host.commands import import_checkpoint
from host.errors import Exit, HostError
from host.launch.launcher import Cluster
from host.launch.outcome import Outcome
from host.mapping import strategies
from host.options import (
    DEFAULT_SAMPLES,
    DVS_SPLITS,
    SPLITS,
    STATES,
    TRACE_POSITIONS,
    TRANSPORTS,
    DvsOptions,
    Faults,
    LmOptions,
    RunOptions,
    new_folder,
    parse_fault,
)
from host.run.report import SCHEMA, summary, write_json
from host.show.monitor import open_monitor
from host.show.text_stream import TextStream
from models import formats
from models.network import ModelError
from models.text.tokeniser import TextError
from noc.chip import ChipError

EPILOG = """\
examples:
  python launch.py lm                      the paper's model on 150 PE processes
  python launch.py lm --text book.txt      score your own text
  python launch.py lm --prompt "the list"  let it go on writing
  python launch.py dvs                     gestures before an event camera
  python launch.py dvs --batch 6 --events DIR  your recordings, 6 at a time
  python launch.py fit --mapping balanced  what fits where; starts no process
  python launch.py info FILE               what a checkpoint holds and needs
  python launch.py verify --tokens 70      every event against a reference
  python launch.py import SRC DST          read an EvNN or torch.nn.GRU file
  python launch.py paper                   the paper's tables, ours beside them
  python launch.py scale FILE.toml         a grid of settings: table, plots
  python launch.py price RUN --set NAME=X  what it would cost then
  python launch.py lm --chips 4 --cluster local:2  chips on Dask workers

exit codes: 0 done, 2 wrong input, 3 does not fit, 4 a process died, 5 one
  stalled, 6 verify found a difference, 7 packets lost, 130 interrupted,
  143 terminated; 1 is a bug and shows a traceback"""

PRICE_EPILOG = """\
--set NAME=VALUE, as often as needed:
  clock=150MHz|300MHz              with its supply and power states
  schedule=sequential|pipelined    layers one after another, or side by side
  messages=dma|packets|qpe|multicast
  payload=vector|events            a shard sends its whole slice, or its events
  exponential=soft|unit            newlib, or the chip's exponential unit
  dram=waited|prefetched   zero_skip=no|yes (csr)   dense_loop=dot|event (dense)
  CONSTANT=NUMBER                  any constant of host/cost/costs.toml
  chip.NUMBER=NUMBER               any number of noc/spinnaker2.toml

examples:
  python launch.py price RUN --set clock=300MHz --set schedule=pipelined
  python launch.py price RUN --set waiting_power_share=0 --chip other.toml"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(int(Exit.USAGE), f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="launch.py",
        description="Gennaker: a multiprocess emulator of the SpiNNaker2 neuromorphic chip.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    lm = commands.add_parser("lm", help="run a language model on the emulated chip", allow_abbrev=False)
    verify = commands.add_parser("verify", help="run it and compare every event with a plain reference", allow_abbrev=False)
    dvs = commands.add_parser("dvs", help="classify gestures of an event camera on the emulated chip", allow_abbrev=False)
    fit = commands.add_parser("fit", help="show the mapping and the SRAM table, start nothing", allow_abbrev=False)
    info = commands.add_parser("info", help="show what a checkpoint holds and what it needs, start nothing", allow_abbrev=False)
    for command in (lm, verify):
        _model_flags(command)
        _text_flags(command)
        _chip_flags(command)
        _run_flags(command)
    _dvs_flags(dvs)
    _chip_flags(dvs, "dense")
    _run_flags(dvs)
    import_checkpoint.add_flags(commands.add_parser("import", help="read a checkpoint of EvNN or torch.nn.GRU", allow_abbrev=False))
    _model_flags(fit, positional=True)
    _chip_flags(fit)
    info.add_argument("file", metavar="FILE", help="a checkpoint file")
    for command in (fit, info):
        command.add_argument("--batch", type=int, default=1, metavar="B", help="independent sequences side by side (default 1)")
    _figure_commands(commands)
    fit.add_argument("--compare", action="store_true", help="all mappings side by side: packets on links, time, energy")
    fit.add_argument("--all", action="store_true", help="one line a PE instead of the fullest of each layer")
    price = commands.add_parser("price", help="price a recorded run again, without running it", allow_abbrev=False)
    _price_flags(price)
    return parser


def _figure_commands(commands: Any) -> None:
    paper = commands.add_parser("paper", help="make the paper's tables and Figure 2, ours beside them", allow_abbrev=False)
    paper.add_argument(
        "--checkpoint", metavar="FILE", help="a checkpoint file, or 'seeded' (default: the trained model that is shipped)"
    )
    paper.add_argument("--out", metavar="DIR", help="folder for tables, figure and runs; must not exist (default runs/paper-TIME)")
    paper.add_argument("--transport", default="zmq", metavar="NAME", help=f"{' or '.join(TRANSPORTS)} (default zmq)")
    paper.add_argument("--write-docs", action="store_true", help="also refresh docs/paper.md and docs/figure2")
    scale = commands.add_parser("scale", help="run a grid of settings: one table and plots", allow_abbrev=False)
    scale.add_argument("file", metavar="FILE.toml", help="the experiment (docs/scaling.md, experiments/)")
    scale.add_argument("--out", metavar="DIR", help="folder for table, plots and runs (default runs/scale-NAME)")
    scale.add_argument("--resume", action="store_true", help="go on where an interrupted sweep stopped")


def _price_flags(parser: argparse.ArgumentParser) -> None:
    parser.description = "Price a recorded run again: other settings, constants or another chip.\nRuns and writes nothing."
    parser.epilog = PRICE_EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", metavar="RUN", help="the folder of a run of `lm` or `verify`")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, constant or number of the chip"
    )
    parser.add_argument("--costs", metavar="TOML", help="constants and settings to change, in the form of host/cost/costs.toml")
    parser.add_argument("--chip", metavar="NAME|TOML", help="another chip, instead of the run's and what it overrode")
    parser.add_argument("--machines", type=int, metavar="N", help="what N machines would send each other (docs/cluster.md)")
    parser.add_argument("--json", action="store_true", help="print the prices as JSON")


def _model_flags(parser: argparse.ArgumentParser, positional: bool = False) -> None:
    what = "a checkpoint file, or 'seeded' for random weights (default: the trained model that is shipped)"
    parser.add_argument("--checkpoint", metavar="FILE", help=what)
    if positional:
        parser.add_argument("file", metavar="CHECKPOINT", nargs="?", help="the same, without the flag")


def _text_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        metavar="NAME",
        help=f"cell states at a segment's beginning: {' or '.join(STATES)} (default: as the checkpoint says)",
    )
    text = parser.add_argument_group("text (default: what the checkpoint holds, else the standard library's documentation)")
    text.add_argument("--split", metavar="NAME", help=f"{' or '.join(SPLITS)}, where the text has splits (default test)")
    text.add_argument("--text", metavar="FILE", help="any UTF-8 text file")
    text.add_argument("--wikitext", metavar="DIR", help="a folder with wiki.test.tokens (WikiText's layout)")
    text.add_argument("--tokens", type=int, metavar="N", help="how many tokens to score, of each sequence (default 700)")
    text.add_argument("--prompt", metavar="TEXT", help="continue this text instead of scoring one")
    text.add_argument("--generate", type=int, metavar="N", help="words to generate after --prompt (default 40)")
    text.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="with --prompt; 0 takes the likeliest word (default 1)"
    )
    text.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="with --prompt; draw among the K likeliest words (default 0: all)"
    )
    text.add_argument("--seed", type=int, default=1, metavar="N", help="with --prompt; of the words drawn (default 1)")
    text.add_argument("--batch", type=int, default=1, metavar="B", help="independent sequences side by side (default 1)")


def _dvs_flags(parser: argparse.ArgumentParser) -> None:
    what = "a checkpoint file, 'plain' for the shipped model that hands on y, or 'seeded' for random weights"
    parser.add_argument("--checkpoint", metavar="FILE", help=f"{what} (default: the shipped model that hands on traces)")
    parser.add_argument("--verify", action="store_true", help="compare every event with a plain reference")
    samples = parser.add_argument_group("recordings (default: a synthetic event camera)")
    samples.add_argument(
        "--events", metavar="DIR", help="a folder of DVS128 Gesture, as distributed or as tonic leaves it; or 'synthetic'"
    )
    samples.add_argument("--split", metavar="NAME", help=f"{' or '.join(DVS_SPLITS)} (default test)")
    samples.add_argument(
        "--samples", type=int, metavar="N", help=f"how many to classify (default {DEFAULT_SAMPLES}, or all if there are fewer)"
    )
    samples.add_argument("--batch", type=int, default=1, metavar="B", help="samples side by side (default 1)")


def _chip_flags(parser: argparse.ArgumentParser, form: str = "csr") -> None:
    chip = parser.add_argument_group("chip and mapping")
    chip.add_argument(
        "--pes",
        type=int,
        metavar="N",
        help="PEs to use (default: all that spare the busiest a unit; balanced: as few as fit)",
    )
    chip.add_argument(
        "--mapping", default="uniform", metavar="NAME", help=f"{', '.join(strategies.names())} (default uniform, the paper's)"
    )
    chip.add_argument(
        "--format", default=form, metavar="NAME", help=f"weights as {', '.join(formats.names())} (default {form}, the paper's)"
    )
    chip.add_argument("--chips", type=int, default=1, metavar="N", help="chips, linked as on a board (default 1)")
    chip.add_argument("--chip", default="spinnaker2", metavar="NAME", help="spinnaker2 or spinnaker2-300mhz (default spinnaker2)")
    chip.add_argument("--chip-file", metavar="TOML", help="numbers to override, and down_cores, down_chips, down_links")


def _run_flags(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument(
        "--transport", default="zmq", metavar="NAME", help=f"{' or '.join(TRANSPORTS)}: processes, or all in one (default zmq)"
    )
    run.add_argument(
        "--cluster", metavar="WHERE",
        help="run chips on Dask workers: tcp://SCHEDULER:8786, local:N (workers on this machine), or a TOML file (docs/cluster.md)",
    )  # fmt: skip
    run.add_argument(
        "--restart", action="store_true", help="with --cluster: where a worker is lost, go on from the last segment boundary"
    )
    run.add_argument("--out", metavar="DIR", help="folder for the report; must not exist (default runs/COMMAND-TIME-ID)")
    run.add_argument(
        "--monitor", action=argparse.BooleanOptionalAction, default=None,
        help="the live view (default, but for --prompt, whose text is streamed), or plain progress lines",
    )  # fmt: skip
    run.add_argument("--no-pictures", action="store_true", help="leave out report.html and trace.json.gz")
    run.add_argument(
        "--trace-positions", type=int, default=TRACE_POSITIONS, metavar="N", help="positions in trace.json.gz (default %(default)s)"
    )  # fmt: skip
    run.add_argument(
        "--stall",
        type=float,
        default=30.0,
        metavar="S",
        dest="stall_s",
        help="give up after S seconds without progress (default 30)",
    )
    run.add_argument(
        "--fault", action="append", default=[], metavar="F",
        help="a recoverable fault that must change no bit: slow=NAME:SECONDS (a PE, router@1, link 0>1), late=TICK:TICKS, "
        "shuffle=SEED",
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    if sys.stdout is None:  # closed by the caller, as some schedulers do
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    try:
        flags = vars(_parser().parse_args(arguments))
        command = flags.pop("command")
        if command == "fit":
            from host.commands.fit import fit

            return fit(flags)
        if command == "paper":
            from host.commands.paper import paper

            return paper(flags)
        if command == "scale":
            from host.experiments.sweep import scale

            return scale(flags)
        if command == "info":
            from host.commands.info import info

            return info(flags)
        if command == "import":
            return import_checkpoint.run(flags)
        if command == "price":
            from host.commands.price import reprice

            return reprice(flags)
        return _run(command, flags)
    except HostError as error:
        return _complain(str(error), error.code)
    except (ModelError, TextError, ChipError) as error:
        return _complain(str(error), Exit.USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as in `launch.py fit | head`
        sys.stderr.close()
        return int(Exit.OK)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return _complain(f"output cannot be written ({error.strerror})", Exit.USAGE)


def _complain(text: str, code: Exit) -> int:
    print(f"gennaker: {text}", file=sys.stderr)
    return int(code)


def _run(command: str, flags: dict[str, Any]) -> int:
    out, monitor, fault = flags.pop("out"), flags.pop("monitor"), flags.pop("fault")
    pictures, traced = not flags.pop("no_pictures"), flags.pop("trace_positions")
    if traced < 0:
        raise HostError(f"--trace-positions {traced}: needs at least 0")
    options = _options(command, flags, parse_fault(fault))
    options.check()
    name = f"{command}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    folder = new_folder(Path(out) if out else Path("runs") / name)
    try:
        streamed = isinstance(options, LmOptions) and options.prompt is not None and not monitor
        outcome = _watched(options, None if streamed else monitor is not False, folder, load_drawing if pictures else lambda: None)
        if outcome.report is not None or outcome.mapping:
            _write(folder, options, outcome)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # where nothing was written: refused, or ended before anything ran
    code = _tell(outcome, folder, streamed)
    if pictures and (folder / "report.json").exists():
        from host.show.figures import make_pictures  # not above: `load_drawing` says when

        print(f"pictures     {make_pictures(folder, traced)}")
    return code


def _options(command: str, flags: dict[str, Any], faults: Faults) -> RunOptions:
    if command == "dvs":
        return DvsOptions(**flags, faults=faults)
    if flags["generate"] is None:
        flags["generate"] = 40 if flags["prompt"] is not None else 0
    return LmOptions(**flags, verify=command == "verify", faults=faults)


def load_drawing() -> None:
    """Load what draws, so that it is there at the end; where that fails, it is told of when it should draw."""
    with contextlib.suppress(ImportError):
        import host.show.figures  # noqa: F401


def _watched(options: RunOptions, live: bool | None, folder: Path, meanwhile: Callable[[], None]) -> Outcome:
    """Run the cluster under the live view, plain lines, or (None) the text as it is generated."""
    monitors: list[Any] = []
    try:
        return Cluster(
            options,
            lambda layout: monitors.append(TextStream(layout, sys.stdout) if live is None else open_monitor(layout, live)),
            lambda status: monitors[0].update(status),  # noqa: PLW0108 - the monitor comes later
            folder=folder,
            meanwhile=meanwhile,
        ).run()
    finally:
        for monitor in monitors:
            monitor.close()


def _write(folder: Path, options: RunOptions, outcome: Outcome) -> None:
    report = outcome.report or {"schema": SCHEMA, "partial": True, "problem": outcome.problem}
    if outcome.mismatch is not None:
        report["verify"] = outcome.mismatch
    try:
        # What was left to the mapping or the text is written as it came out, so that the file alone repeats the run.
        used = {"pes": len(outcome.mapping)} if outcome.mapping else {}
        write_json(folder / "config.json", options.resolved() | used)
        write_json(folder / "mapping.json", outcome.mapping)
        write_json(folder / "report.json", report)
    except OSError as error:
        raise HostError(f"--out {folder}: cannot be written ({error.strerror})") from error


def _tell(outcome: Outcome, folder: Path, streamed: bool) -> int:
    if outcome.report is not None:
        print(summary(outcome.report, text=not streamed))
    if outcome.mismatch is not None and outcome.mismatch["difference"] is None:
        print(f"verified     {outcome.mismatch['compared']:,} unit states agree with the reference, bit for bit")
    if folder.exists():
        partial = " (partial)" if outcome.report is None or outcome.report["partial"] else ""
        print(f"report       {folder / 'report.json'}{partial}")
    return _complain(outcome.problem, outcome.code) if outcome.problem else int(outcome.code)
