"""The run folder: `report.json`, `config.json` and `mapping.json`. docs/report.md lists every key."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host.errors import HostError, need_file

SCHEMA = 2
PRICED_SCHEMAS = (1, SCHEMA)  # of runs that can be priced again: their ledgers are the same

ANSWERS = "answers.json"
"""What each single setting would change (`host/show/answers.py`), where a run has worked it out."""


def new_folder(path: Path) -> Path:
    """Create a run's folder; HostError where it exists already or cannot be written."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise HostError(f"--out {path}: exists already; a run never writes over another") from None
    except OSError as error:
        raise HostError(f"--out {path}: cannot be created ({error.strerror})") from error
    return path


def part_of(path: Path) -> Path:
    """Return where a large file lies while it is being written, so that whoever looks sees all of it or nothing."""
    return path.with_name(f".{path.name}.part")


def write_json(path: Path, content: Any) -> None:
    """Write one JSON file of a run folder."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_run(folder: Path, config: Mapping[str, Any], report: Mapping[str, Any], mapping: Any = None) -> None:
    """Write a run's files into its folder; without a `mapping` (a point that placed nothing by name) that file is left out.

    A file name that is no text stays as it is in `config.json`, which finds the file again; the report can be read by all.
    """
    write_json(folder / "config.json", config)
    if mapping is not None:
        write_json(folder / "mapping.json", mapping)
    write_json(folder / "report.json", printable(report))


def printable(content: Any) -> Any:
    """Return JSON content with each byte that is no text (as half a surrogate pair) written out."""
    if isinstance(content, str):
        return content.encode("utf-8", "backslashreplace").decode()
    if isinstance(content, Mapping):
        return {printable(name): printable(value) for name, value in content.items()}
    return [printable(value) for value in content] if isinstance(content, list | tuple) else content


def read_report(folder: Path, schemas: Sequence[int] = (SCHEMA,)) -> dict[str, Any]:
    """Return a run's report; HostError, one line, where it is not there, damaged, or of a schema that is not among `schemas`."""
    if not folder.is_dir():
        raise HostError(f"run {folder}: is no folder")
    if (folder / "report.json").exists():
        need_file(folder / "report.json", f"run {folder}: report.json")
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise HostError(f"run {folder}: is incomplete: has no report.json") from error
    except (OSError, ValueError, RecursionError) as error:
        raise HostError(f"run {folder}: report.json cannot be read ({' '.join(str(error).split())[:120]})") from error
    have = report.get("schema") if isinstance(report, dict) else None
    if have not in schemas:
        raise HostError(f"run {folder}: report.json of schema {have!r}; needs {' or '.join(map(str, schemas))}")
    return dict(report)
