"""Writes the shell completions that lie beside this file: `python completions/write.py`, with shtab installed.

They are part of the package (`share/` of where it is installed), so that a shell finds them; a test holds them to the flags.
"""

import argparse
import sys
from pathlib import Path

import shtab

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from host.cli import whole_parser  # noqa: E402

SHELLS = {"gennaker": "bash", "_gennaker": "zsh"}
_FILES = {"DIR", "DST", "FILE", "FILE.toml", "MODEL", "OUT", "RUN", "SRC", "TOML"}  # what the help calls a file or a folder


def completion(shell: str) -> str:
    """Return the completion of the whole command line for bash or zsh."""
    parser = whole_parser("gennaker")
    for command in _parsers(parser):
        for action in command._actions:
            if action.metavar in _FILES or (not action.option_strings and str(action.dest).upper() in _FILES):
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # where a shell offers files
    return str(shtab.complete(parser, shell)).rstrip() + "\n"


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return a parser and those of its commands."""
    commands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(each for action in commands for each in action.choices.values())]


if __name__ == "__main__":
    for name, shell in SHELLS.items():
        (FOLDER / name).write_text(completion(shell), encoding="utf-8")
