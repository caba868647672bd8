"""Compile kernels, and keep the machine code between runs.

Kernels are explicit loops over arrays, compiled by numba without fast-math: the order of every float32 operation is the
order written in the source, so a result is the same on every machine. The compiled code is cached in a folder whose
name is a hash of all sources that may be compiled, because numba's own check looks at one source file at a time and would
miss a change in a function that another file inlines. A file hashed in vain only costs a compilation. What is compiled of a
user's own files (`models/families.py`) has a folder in it, whose name is a hash of those.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from models.families import user_folders, user_sources

F = TypeVar("F", bound=Callable[..., Any])

_SOURCES = Path(__file__).resolve().parents[1]  # models/
_COMPILED = ("compute", "heads", "kernels", "formats", "../pe")  # a PE's tick inlines functions of several of these
_CONSTANTS = "../noc/packet.py"  # flags of a section, which compiled code has in itself
_COMPLETE = "whole"  # begins the name of a file in the cache's folder, when that has everything for a kind of run
_dispatchers: list[Any] = []
_at_once: list[Any] = []


def _cache_folder() -> Path:
    """The folder for compiled code: under the user's cache, or the temporary folder where that cannot be written."""
    digest = hashlib.sha256()
    sources = (source for folder in _COMPILED for source in (_SOURCES / folder).resolve().rglob("*.py"))
    for source in sorted((*sources, (_SOURCES / _CONSTANTS).resolve())):
        digest.update(source.read_bytes())
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = (chosen if chosen.is_absolute() else Path.home() / ".cache") / "gennaker"  # relative ones are to be ignored
    folder = base / f"kernels-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        # A per-user name, so that nobody else's machine code is ever loaded from a shared folder.
        fallback = Path(tempfile.gettempdir()) / f"gennaker-{os.getuid()}-{digest.hexdigest()[:16]}"
        fallback.mkdir(mode=0o700, exist_ok=True)
        if fallback.stat().st_uid != os.getuid():
            msg = f"cache folder {fallback} belongs to user {fallback.stat().st_uid}, not to {os.getuid()}; set XDG_CACHE_HOME"
            raise PermissionError(msg) from None
        return fallback


_folder = None if "NUMBA_CACHE_DIR" in os.environ else _cache_folder()  # a user's own choice goes first
if _folder is not None:
    numba.config.CACHE_DIR = str(_folder)  # type: ignore[attr-defined]  # set at import, by name


def user_digest() -> str:
    """Return a hash of all sources in a user's own folders that may be compiled; "" where there are none."""
    digest, sources = hashlib.sha256(), user_sources(["models"])
    for name, path in sources:
        digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16] if sources else ""


@contextlib.contextmanager
def cache_of(function: Callable[..., Any]) -> Iterator[None]:
    """While it lasts, let what is compiled of `function`'s file be cached where it belongs."""
    is_own = any(Path(function.__code__.co_filename).is_relative_to(folder) for folder in user_folders())
    if _folder is None or not is_own:
        yield
        return
    numba.config.CACHE_DIR = str(_folder / f"members-{user_digest()}")  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.config.CACHE_DIR = str(_folder)  # type: ignore[attr-defined]


def compiled(function: F) -> F:
    """Compile `function` at its first call (numba, nopython, IEEE float32, cached on disk)."""
    # error_model "numpy": a division does not test for zero, which no kernel here can reach.
    with cache_of(function):
        dispatcher = numba.njit(cache=True, error_model="numpy", fastmath=False)(function)
    _dispatchers.append(dispatcher)
    return cast(F, dispatcher)


def inlined(function: F) -> F:
    """Compile `function` for use inside other kernels only: it is never cached by itself."""
    return cast(F, numba.njit(error_model="numpy", fastmath=False, inline="never")(function))


def always_inlined(function: F) -> F:
    """Compile `function` as `inlined` does, for a loop that pays for each call: the compiler may not leave it as one."""
    return cast(F, numba.njit(error_model="numpy", fastmath=False, inline="never", forceinline=True)(function))


def remember(function: Any) -> Any:
    """Count what was compiled at once, for `compiled_now`; return it."""
    _at_once.append(function)
    return function


def cache_is_complete(need: str = "") -> bool:
    """Tell whether an earlier process that loaded `need` has left all that it compiled in the cache; a user's own folder is not
    asked.
    """
    return _folder is None or (_folder / _mark(need)).exists()


def mark_cache_complete(need: str = "") -> None:
    """Mark the cache as complete for whoever loads `need`; if the mark cannot be written, every start checks again."""
    if _folder is not None:
        with contextlib.suppress(OSError):
            (_folder / _mark(need)).touch()


def _mark(need: str) -> str:
    return f"{_COMPLETE}-{hashlib.sha256(f'{need} {user_digest()}'.encode()).hexdigest()[:16]}"


def compiled_now() -> int:
    """How many kernel specialisations this process had to compile because the cache on disk did not hold them."""
    at_once = sum(not function.cache_hits for function in _at_once)
    return at_once + sum(sum(dispatcher.stats.cache_misses.values()) for dispatcher in _dispatchers)
