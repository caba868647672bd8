"""The trainers' command line: `python -m models.training COMMAND ...`, whose commands the trainers' folders bring.

What a user gets wrong ends in one line on stderr and exit code 2; only a bug shows a traceback.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from typing import NoReturn

import models.training
from models.dvs.samples import DvsError
from models.families import member_names
from models.network import ModelError
from models.text.tokeniser import TextError

EXTRA = ("torch", "tqdm", "matplotlib", "sklearn")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    """Return the parser with the commands of every trainer; ModelError where two trainers have one name."""
    parser = _Parser(prog="python -m models.training", description="Train an event-based GRU and write a checkpoint.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for trainer in member_names(models.training, folders=True):
        path = f"{models.training.__name__}.{trainer}.command_line"
        if importlib.util.find_spec(path):
            importlib.import_module(path).add_commands(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    try:
        flags = vars(_parser().parse_args(arguments))
        code: int = flags.pop("run")(flags)
        return code
    except (ModelError, TextError, DvsError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        print(f"training: this Python lacks {error.name}; install the extra: pip install '.[train]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: interrupted; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
