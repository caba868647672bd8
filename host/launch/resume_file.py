"""`resume.json`: what a run folder has of a run that may be gone on with, until its report is written.

Whoever runs it holds a lock on the file, which the kernel lets go of however that process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.errors import HostError
from host.options import RunOptions
from host.provenance import content_sha256
from host.run_folder import JOURNAL, part_of, write_json
from host.workloads.registry import restore_options

FILE = "resume.json"


@dataclass(frozen=True)
class Unfinished:
    """A run that was begun: its options, when, and by which command line."""

    options: RunOptions
    began: str
    command: list[str]


@contextlib.contextmanager
def kept(folder: Path, run: Unfinished) -> Iterator[None]:
    """Let the run be gone on with by others, should this process be killed; HostError where another process runs it."""
    path = folder / FILE
    record = run.options.repeatable() | {"answers": run.options.answers}
    if not path.exists():
        write_json(part_of(path), {"code": content_sha256(), "began": run.began, "command": run.command, "options": record})
        part_of(path).replace(path)
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HostError(f"--resume {folder}: is being run by another process") from None
        yield
        for left in (path, folder / JOURNAL, part_of(folder / JOURNAL)):
            left.unlink(missing_ok=True)


def read_unfinished(folder: Path, workload: str) -> Unfinished:
    """Return the run that a folder has; HostError, one line, where that is over, had no --restart, is another workload's, is
    damaged, or was begun by another version of the project.
    """
    who = f"--resume {folder}"
    if not folder.is_dir():
        raise HostError(f"{who}: is no folder")
    if (folder / "report.json").exists():
        raise HostError(f"{who}: is over, has a report; run {folder / 'config.json'} again by --config")
    try:
        record: dict[str, Any] = json.loads((folder / FILE).read_text("utf-8"))
        code, options = record["code"], dict(record["options"])
        began, command = str(record["began"]), [str(word) for word in record["command"]]
    except FileNotFoundError:
        raise HostError(f"{who}: has no {FILE}; a run that can be gone on with has --restart") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(f"{who}: {FILE} cannot be read ({' '.join(str(error).split())[:120]})") from error
    if options.get("workload") != workload:
        raise HostError(f"{who}: is a run of the workload {options.get('workload')!r}, not of {workload!r}; use its command")
    if code != content_sha256():
        raise HostError(f"{who}: was begun by version {code[:12]} of the project, this is {content_sha256()[:12]}; run it anew")
    answers = options.pop("answers", None)
    return Unfinished(replace(restore_options(options, who), answers=answers), began, command)
