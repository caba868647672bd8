"""The command line: finds the command, reads its flags, runs it.

What a user gets wrong ends in one line on stderr and an exit code (`host/errors.py`); only a bug shows a traceback. Only the
file of the command that is asked for is loaded, so that `launch.py` starts fast.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from host.commands import command_names, load_command
from host.errors import Exit, HostError, as_typed, complain, program_name
from host.workloads.registry import Workload, workloads
from models.families import check_user_folders
from models.network import ModelError
from models.text.tokeniser import TextError
from noc.chip import ChipError

_EXIT_CODES = """\
exit codes: 0 done, 2 wrong input, 3 does not fit, 4 a process died, 5 one
  stalled, 6 verify found a difference, 7 packets lost, 130 interrupted,
  143 terminated; 1 is a bug and shows a traceback"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(complain(f"{message}; see {self.prog} --help", Exit.USAGE))

    def format_help(self) -> str:
        return as_typed(super().format_help())


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> NoReturn:
        parser.exit(_print_version())


def _print_version() -> int:
    from host.provenance import version

    sys.stdout.write(f"gennaker {version()}\n")
    return int(Exit.OK)


def _workload_commands() -> dict[str, Workload]:
    return {command: workload for workload in workloads().values() for command in workload.commands}


def whole_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of all commands, for a program of this name; shells complete by it."""
    return _parser((), name)


def _parser(asked: Iterable[str], program: str | None = None) -> argparse.ArgumentParser:
    """Return a parser of the command that is asked for, or of all where none is."""
    runs, others = _workload_commands(), command_names()
    chosen = [name for name in (*runs, *others) if name in asked][:1] or [*runs, *others]
    about, epilog = "Gennaker: a multiprocess emulator of the SpiNNaker2 neuromorphic chip.", _epilog() if len(chosen) > 1 else None
    layout = argparse.RawDescriptionHelpFormatter
    title = program or program_name()
    parser = _Parser(prog=title, description=about, epilog=epilog, formatter_class=layout, allow_abbrev=False)
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version of the program and end"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in chosen:
        if name in runs:
            from host.commands import _run_workload

            command = commands.add_parser(name, help=runs[name].commands[name].text, allow_abbrev=False)
            _run_workload.add_flags(command, runs[name])
        else:
            module = load_command(name)
            module.add_flags(commands.add_parser(name, help=module.HELP, allow_abbrev=False))
    return parser


def _epilog() -> str:
    """Return examples of every command, and the exit codes."""
    examples = [example for workload in workloads().values() for example in workload.about.EXAMPLES]
    examples += [example for name in command_names() for example in load_command(name).EXAMPLES]
    lines = [f"  python launch.py {arguments:<31} {text}" for arguments, text in examples]
    return "\n".join(["examples:", *lines, "", _EXIT_CODES])


def _command(arguments: Sequence[str] | None) -> Callable[[], int]:
    """Return what the arguments ask for."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:  # without the parser of all commands, which takes a second to make
        return _print_version
    asked = [word for word in words if not word.startswith("-")]
    flags: dict[str, Any] = vars(_parser(asked[:1]).parse_args(arguments))
    command = flags.pop("command")
    workload = _workload_commands().get(command)
    if workload is None:
        return lambda: int(load_command(command).run(flags))
    from host.commands import _run_workload

    return lambda: _run_workload.run(workload, command, flags)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    if sys.stdout is None:  # closed by the caller, as some schedulers do
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    if isinstance(sys.stdout, TextIOWrapper):  # names of files may have bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        Path.cwd()
    except FileNotFoundError:
        return complain("the current folder is gone; change to one that exists", Exit.USAGE)
    try:
        check_user_folders()
        return _command(arguments)()
    except HostError as error:
        return complain(str(error), error.code)
    except (ModelError, TextError, ChipError) as error:
        return complain(str(error), Exit.USAGE)
    except KeyboardInterrupt:
        return complain("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as in `launch.py fit | head`
        sys.stderr.close()
        return int(Exit.OK)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return complain(f"output cannot be written ({error.strerror})", Exit.USAGE)
