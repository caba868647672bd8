"""The run folder: `report.json`, `config.json` and `mapping.json`. docs/report.md lists every key.

What of a report is long, or has a key for each PE, layer or constant, lies in files beside `report.json`, which lists them: so that
the report of a run is a row of a table. `read_report` puts all of it together again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host.errors import HostError, need_file

SCHEMA = 3
PRICED_SCHEMAS = (1, 2, SCHEMA)  # of runs that can be priced again: their ledgers are the same

BESIDE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "conservation.json": {"conservation": ("sent", "delivered", "dropped", "links", "transfers")},
    "modelled.json": {"modelled": ("energy_parts_j", "stages_s", "links", "work", "settings", "assumed")},
    "neurobench.json": {"neurobench": ()},
    "result.json": {"result": ("each", "costs", "whole_model")},
    "details.json": {
        "counters": ("macs_by_layer", "malformed", "links"), "mapping": ("sram",), "chip": ("assumed", "unknown"),
        "provenance": ("libraries",), "machines": ("machines", "links_bytes", "refused", "restarts"),
        "recovery": ("restarts",),
    },
}  # fmt: skip
"""By file what it has of a report: blocks, and which of their keys, () for all."""

JOURNAL = "journal.msgpack"
"""What the host of a run with --restart knows (`host/run/journal.py`), while that runs."""

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
    short, beside = split_report(printable(report))
    for name, blocks in beside.items():
        write_json(folder / name, blocks)
    write_json(folder / "report.json", short)


def split_report(report: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a report stands in `report.json`, and the content of each file beside it, by name."""
    short, beside = dict(report), dict[str, Any]()
    for file, blocks in BESIDE.items():
        for block, keys in blocks.items():
            if not isinstance(whole := report.get(block), Mapping):
                continue
            if long := {key: whole[key] for key in keys or whole if key in whole}:
                beside.setdefault(file, {})[block] = long
                short[block] = {key: value for key, value in whole.items() if key not in long}
                if not short[block]:
                    del short[block]
    return {**short, "files": list(beside)}, beside


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
    for name in report.get("files", ()):
        for block, content in _read_beside(folder, str(name)).items():
            report[block] = {**(report.get(block) or {}), **content}
    return dict(report)


def _read_beside(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    if name not in BESIDE:
        raise HostError(f"run {folder}: report.json lists {name!r}; the files beside it are {', '.join(BESIDE)}")
    need_file(folder / name, f"run {folder}: {name}")
    try:
        blocks = json.loads((folder / name).read_text(encoding="utf-8-sig"))
        return {block: dict(blocks[block]) for block in BESIDE[name] if block in blocks}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise HostError(f"run {folder}: {name} cannot be read ({' '.join(str(error).split())[:120]})") from error
