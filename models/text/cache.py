"""A tokenised corpus kept between runs, in the user's cache folder.

It stores and finds a record of JSON values and trusts nothing it reads: a cache that is missing, damaged, from other
sources or not writable is never an error, only slower. What the record means, `corpus.py` knows.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def cache_file(sources: Iterable[Path], *, place: str) -> Path | None:
    """Return where the corpus made by these source files, this Python and the data at `place` is kept.

    `$XDG_CACHE_HOME/gennaker/corpus-HASH.json`, or `~/.cache/...` where the variable is not set to an absolute path (as
    the XDG base directory specification has it). None where there is no home folder or a source cannot be read.
    """
    digest = hashlib.sha256(f"{sys.version}\0{place}\0".encode("utf-8", "surrogateescape"))
    try:
        for source in sources:
            digest.update(hashlib.sha256(source.read_bytes()).digest())
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = named if named.is_absolute() else Path.home() / ".cache"
    except (OSError, RuntimeError):  # Path.home() raises RuntimeError for a user without a home
        return None
    return base / "gennaker" / f"corpus-{digest.hexdigest()[:16]}.json"


def load_record(path: Path) -> dict[str, Any] | None:
    """Return the record stored at `path`, or None if there is none that is whole."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        record, digest = stored["record"], stored["sha256"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return record if isinstance(record, dict) and digest == _digest(record) else None


def store(path: Path, record: dict[str, Any]) -> None:
    """Write `record` to `path` so that a reader sees all of it or nothing; a failure to write is ignored."""
    import tempfile  # only a first run needs it

    text = json.dumps({"sha256": _digest(record), "record": record})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    except OSError:
        return
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
