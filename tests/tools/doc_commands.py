"""Commands in the blocks of the documentation, as somebody who copies a line would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"(\$ |\$\w+ )?((\.venv/bin/)?(python|pip)|launch\.py|gennaker|make|dask|docker|apt) [\w.'-]|\$\w+ -")
_COMMENT = re.compile(r"\s+#\s.*")
_OPTIONAL = re.compile(r"\s*\[--[^\]]*\]")
_VARIABLE = re.compile(r'(\w+)="(.*)"')


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a page: its words, and the lines that the page shows below it (where the line begins with `$`)."""

    page: str
    words: tuple[str, ...]
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"

    @property
    def program(self) -> tuple[str, ...]:
        """`launch.py`, ("-m", module), or another program's name."""
        if self.words[0].endswith("python"):
            return self.words[1:3] if self.words[1] == "-m" else self.words[1:2]
        return (Path(self.words[0]).name,)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is behind the program."""
        return self.words[len(self.program) + (self.words[0].endswith("python")) :]


def commands_of(page: Path) -> list[Command]:
    """Return the commands of a page, in its order: without comments and optional parts, with a block's variables replaced."""
    return [command for block in blocks(page, "") for command in _commands_in(page.name, block)]


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language; "" for those that name none."""
    return [block for name, block in _BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def _commands_in(page: str, block: str) -> Iterator[Command]:
    variables, lines = dict[str, str](), block.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        plain = _OPTIONAL.sub("", _COMMENT.sub("", line))
        for name, value in variables.items():
            plain = plain.replace(f"${name}", value)
        if assigned := _VARIABLE.fullmatch(plain):
            variables[assigned[1]] = assigned[2]
        elif _PROGRAM.match(plain):
            shown = list[str]()
            if plain.startswith("$ "):
                shown = lines[number + 1 :]
            yield Command(page=page, words=tuple(shlex.split(plain.removeprefix("$ "))), output=tuple(shown))
