"""Compile kernels, and keep the machine code between runs (`models/compute/kernel_cache.py`).

Kernels are explicit loops over arrays, compiled by numba without fast-math: the order of every float32 operation is the
order written in the source, so a result is the same on every machine. What is compiled of a user's own files
(`models/families.py`) goes by all of those.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.ccallback import CFunc

from models.compute.inside_code import InsideCompiler, InsideDispatcher, WholeInsideCompiler
from models.compute.kernel_cache import ROOT, KernelCache, KernelFolder, compiler_identity, sources_digest
from models.compute.kernel_compiler import KernelCompiler, WholeCompiler
from models.families import user_folders, user_sources

F = TypeVar("F", bound=Callable[..., Any])

_COMPILED = (
    "models/compute",
    "models/heads",
    "models/kernels",
    "models/formats",
    "models/operators",
    "models/tile_steps",
    "pe",
)  # a PE's tick inlines of several of these
_PACKAGES = ("models", "noc", "pe", "host")
_COMPLETE = "whole"  # begins the name of a mark in the cache's folder, when that has everything for a kind of run, and of a note
_dispatchers: list[Any] = []
_callbacks: list[Any] = []


def _folder_name() -> str:
    """Return a name that changes with the compiler and with all sources of what the fork server compiles."""
    sources: list[Path] = [path for folder in _COMPILED for path in (ROOT / folder).rglob("*.py")]
    return f"kernels-{hashlib.sha256((compiler_identity() + sources_digest(*sources)).encode()).hexdigest()[:16]}"


_folder = KernelFolder(_folder_name())


def user_digest() -> str:
    """Return a hash of all sources in a user's own folders that may be compiled; "" where there are none."""
    digest, sources = hashlib.sha256(), user_sources(["models"])
    for name, path in sources:
        digest.update(f"{name}\0".encode("utf-8", "surrogateescape") + path.read_bytes())
    return digest.hexdigest()[:16] if sources else ""


def _cache_of(function: Callable[..., Any], *, is_linked: bool = True) -> KernelCache:
    """Return the cache of a function's code; that of a user's own changes with all of her sources."""
    return KernelCache(function, _folder, user_digest() if _is_users_own(function) else "", is_linked=is_linked)


def _is_users_own(function: Callable[..., Any]) -> bool:
    return any(Path(function.__code__.co_filename).is_relative_to(folder) for folder in user_folders())


def _is_kernel(function: Callable[..., Any]) -> bool:
    """Tell whether a function is the project's, which knows what its compiler leaves out."""
    return any(Path(function.__code__.co_filename).is_relative_to(ROOT / package) for package in _PACKAGES)


def _compiler_of(function: Callable[..., Any]) -> Any:
    """Return the class of what compiles a function that has an address."""
    return KernelCompiler if _is_kernel(function) else WholeCompiler


# Nothing in C calls these; and what only compiled code calls has no entry for Python either. Both would be a good part of the work.
_CALLED: Any = {"error_model": "numpy", "fastmath": False, "no_cfunc_wrapper": True}
_INSIDE: Any = {**_CALLED, "inline": "never", "no_cpython_wrapper": True}


def compiled(function: F) -> F:
    """Compile `function` at its first call (numba, nopython, IEEE float32, cached on disk)."""
    # error_model "numpy": a division does not test for zero, which no kernel here can reach.
    dispatcher: Any = numba.njit(**_CALLED, pipeline_class=_compiler_of(function))(function)
    dispatcher._cache = _cache_of(function)
    _dispatchers.append(dispatcher)
    return cast(F, dispatcher)


def inlined(function: F) -> F:
    """Compile `function` for use inside other kernels only: it is never cached by itself, and Python cannot call it (TypeError)."""
    return _inside(function)


def always_inlined(function: F) -> F:
    """Compile `function` as `inlined` does, for a loop that pays for each call: the compiler may not leave it as one."""
    return _inside(function, forceinline=True)


def _inside(function: F, **options: Any) -> F:
    compiler = InsideCompiler if _is_kernel(function) else WholeInsideCompiler
    dispatcher: Any = numba.njit(**_INSIDE, **options, pipeline_class=compiler)(function)
    dispatcher.__class__ = InsideDispatcher
    return cast(F, dispatcher)


class Callback(CFunc):
    """A function that other code calls by its address, compiled when that is asked for."""

    _cache: Any
    _wrapper_address: Any  # None: it is not compiled yet

    @property
    def address(self) -> int:
        """The address of its code."""
        if self._wrapper_address is None:
            self.compile()
        return int(self._wrapper_address)


def compiled_callback(function: Callable[..., Any], signature: Any) -> Any:
    """Compile `function` for one of numba's signatures, once its address is asked for (cached on disk); a user's own at once: what
    is wrong with it belongs into the line on its file.
    """
    callback = Callback(
        function, (signature.args, signature.return_type), locals={}, options={}, pipeline_class=_compiler_of(function)
    )
    callback._cache = _cache_of(function, is_linked=False)
    if _is_users_own(function):
        callback.compile()
    _callbacks.append(callback)
    return callback


def compile_callbacks(modules: Collection[str] = (), *, begin: int = 0) -> None:
    """Compile every callback that was declared, or load it from the cache, so that no process forked from this one need do it;
    where `modules` are named, only theirs, and of all in turn those from number `begin` on.
    """
    for callback in _callbacks[begin:]:
        if not modules or callback._pyfunc.__module__ in modules:
            callback.address  # noqa: B018


def callback_count() -> int:
    """How many callbacks were declared until now."""
    return len(_callbacks)


def modules_to_compile(members: Iterable[str] = ()) -> list[str]:
    """Return the modules that have declared callbacks, and `members` of the project's, those with the longest sources first: they
    take the longest to compile.
    """
    files = {callback._pyfunc.__module__: Path(callback._pyfunc.__code__.co_filename) for callback in _callbacks}
    files |= {module: (ROOT / module.replace(".", "/")).with_suffix(".py") for module in members if module not in files}
    return sorted(files, key=lambda module: (-files[module].stat().st_size, module))


def cache_is_complete(need: str = "") -> bool:
    """Tell whether an earlier process that loaded `need` has left all that it compiled in the cache."""
    return _folder.read(_mark(need)) is not None


def cache_is_writable() -> bool:
    """Tell whether what is compiled can be kept; a warning says where it cannot."""
    return _folder.is_writable()


def mark_cache_complete(need: str = "") -> None:
    """Mark the cache as complete for whoever loads `need`; if the mark cannot be written, every start checks again."""
    _folder.write(_mark(need), b"")


def cache_read(name: str) -> bytes | None:
    """Return what was kept in the cache's folder under a name, for these sources; None where there is nothing."""
    return _folder.read(_mark(name))


def cache_write(name: str, content: bytes) -> None:
    """Keep something small in the cache's folder under a name; where it cannot be written, nothing."""
    _folder.write(_mark(name), content)


def _mark(need: str) -> str:
    return f"{_COMPLETE}-{hashlib.sha256(f'{need} {user_digest()}'.encode()).hexdigest()[:16]}"


def compiled_now() -> int:
    """How many kernel specialisations this process had to compile because the cache on disk did not hold them."""
    callbacks = sum(callback._wrapper_address is not None and not callback.cache_hits for callback in _callbacks)
    return callbacks + sum(sum(dispatcher.stats.cache_misses.values()) for dispatcher in _dispatchers)
