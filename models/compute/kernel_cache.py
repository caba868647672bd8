"""The cache of compiled kernels on disk: `KernelCache`, which numba asks for a function's machine code and hands new code to.

One file holds the code of one function for one signature. Its name and its digest depend on everything that the code was
made from: the sources of the function's module and of all modules of the project that it imports, the compiler, the
processor, and the compiler's settings. A file is used if its digest is right and it belongs to this user or to root;
else it is a miss, and one warning says so. The cache lies in a user's `NUMBA_CACHE_DIR`, under `XDG_CACHE_HOME`, or in
`~/.cache`; where none of them can be written, in a private folder under the temporary one; else nothing is kept.

The bookkeeping of numba's own cache is left alone: it compares the time stamp of one source file, trusts what it reads,
and falls back to the folder of the sources.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys  # type: ignore[attr-defined]
from numba.core.serialize import dumps, loads

from models.families import user_folders

ROOT = Path(__file__).resolve().parents[2]
# What compiled code may be made of. Where the project is installed, all other libraries lie beside it.
_PACKAGES = ("models", "noc", "pe", "host", "tests")
_MAGIC = b"Gennaker's compiled kernel, 1\n"
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+([\w.]+))", re.MULTILINE)
# Of numba's settings those that change no code. Anything else that is set differently is another compiler.
_HARMLESS = {"CACHE_DIR", "CACHE_LOCATOR_CLASSES", "DEBUG_CACHE", "COLOR_SCHEME", "NUMBA_NUM_THREADS", "NUMBA_DEFAULT_NUM_THREADS"}
_log = logging.getLogger("gennaker")


@cache
def compiler_identity() -> str:
    """Return in words what compiles here: Python, the libraries, the processor with its features, and numba's settings."""
    settings = {name: getattr(numba.config, name) for name in dir(numba.config) if name.isupper() and name not in _HARMLESS}
    versions = sys.version, sys.abiflags, numba.__version__, llvmlite.__version__, llvm.llvm_version_info, np.__version__
    processor = llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return repr((versions, processor, sorted(settings.items())))


def sources_of(*files: Path) -> list[Path]:
    """Return these source files and every file of the project, and of a user's own folders, that they import, however far away."""
    seen: set[Path] = set()
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += (path for module in _source(file)[1] for path in _imported(file, module))
    return sorted(seen)


def sources_digest(*files: Path) -> str:
    """Return the SHA-256 (hex) of these source files and of all that they import of the project and a user's own folders."""
    digest = hashlib.sha256()
    for file in sources_of(*files):
        name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name
        digest.update(f"{name} {_source(file)[0]}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _source(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return the SHA-256 of a source file, and the modules that it imports by statement."""
    try:
        about = file.stat()
        return _content(file, about.st_mtime_ns, about.st_size, about.st_ino)
    except OSError:  # gone, since it was loaded
        return "", ()


@cache
def _content(file: Path, *stamp: int) -> tuple[str, tuple[str, ...]]:  # noqa: ARG001 - a module may be changed and loaded anew
    text = file.read_bytes()
    modules: list[str] = []
    for package, names, module in _IMPORT.findall(text):
        modules.append((package or module).decode())
        inside = package if package.endswith(b".") else package + b"."
        modules += [(inside + name).decode() for name in re.findall(rb"\w+", names)]
    return hashlib.sha256(text).hexdigest(), tuple(sorted({*modules}))


def _imported(file: Path, module: str) -> tuple[Path, ...]:
    """Return the files of the project and of a user's own folders that run where `file` imports `module`, with dots or without."""
    name = module.lstrip(".")
    if dots := len(module) - len(name):
        return _files_of(name, (file.parents[dots - 1],)) if dots <= len(file.parents) else ()
    ours = name.split(".")[0] in _PACKAGES
    return _files_of(name, (*([ROOT] if ours else []), *user_folders()))


@cache
def _files_of(module: str, roots: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files in these folders that importing `module` runs: its own and those of the packages around it."""
    package, _, name = module.rpartition(".")
    files = list(_files_of(package, roots)) if package else []
    for folder in _folders_of(package, roots):
        candidates = (f"{name}/__init__.py", f"{name}.py") if name else ("__init__.py",)  # without a name: `from . import NAME`
        files += [file.resolve() for file in map(folder.joinpath, candidates) if file.is_file()]
    return tuple(files)


def _folders_of(package: str, roots: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders of a package that are there: most names that a statement imports are no modules, and lie in none."""
    folders = (root.joinpath(*package.split(".")) for root in roots)
    return tuple(folder for folder in folders if folder.is_dir())


class KernelFolder:
    """The folder of a cache, and the one that stands in where it cannot be written. Nothing here raises; trouble is logged once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._folders = [base / name for base in _bases()]
        self._said: set[str] = set()
        self._writable: bool | None = None

    @property
    def folder(self) -> str:
        """The folder that is looked into first, "" where there is none."""
        return str(self._folders[0]) if self._folders else ""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file that is whole and may be trusted, or None."""
        for folder in self._folders:
            try:
                content = _read_own_file(folder / name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._warn(f"{folder}: cannot be read ({error.strerror or error}); what it has is compiled anew")
                continue
            digest, payload = content[len(_MAGIC) :][:32], content[len(_MAGIC) + 32 :]
            if content.startswith(_MAGIC) and digest == _digest(name, payload):
                return payload
            self._warn(f"{folder}: {name} is damaged or of another origin; compiled anew")
        return None

    def write(self, name: str, payload: bytes) -> None:
        """Keep `payload`, so that a reader sees all of it or nothing."""
        while self.is_writable():
            try:
                return _write_file(self._folders[0] / name, _MAGIC + _digest(name, payload) + payload)
            except OSError as error:
                self._give_up_first(error)
        return None

    def is_writable(self) -> bool:
        """Tell whether new code can be kept; a folder that cannot be written is left for the next, with a warning."""
        while self._writable is None and self._folders:
            try:
                _make_private_folder(self._folders[0])
                with tempfile.TemporaryFile(dir=self._folders[0]) as file:
                    file.write(bytes(1 << 12))
                self._writable = True
            except OSError as error:
                self._give_up_first(error)
        return bool(self._folders)

    def _give_up_first(self, error: OSError) -> None:
        folder, *self._folders = self._folders
        self._writable = None
        instead = f"uses {self._folders[0]}" if self._folders else "kernels are compiled at each start"
        self._warn(f"{folder}: cannot be written ({error.strerror or error}); {instead}")

    def _warn(self, text: str) -> None:
        kind = text.partition(" is ")[2] or text  # one line for many damaged files
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("gennaker: kernel cache %s", text)


def _bases() -> list[Path]:
    """Return the folders in which a cache may lie, the preferred one first; relative ones are to be ignored."""
    own, general = (Path(os.environ.get(name, "")) for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"))
    preferred = own if own.is_absolute() else general / "gennaker" if general.is_absolute() else _home_cache()
    bases = [preferred] if preferred else []
    with contextlib.suppress(OSError):  # no temporary folder, which may be the current one that is gone
        spare = Path(tempfile.gettempdir()) / f"gennaker-{os.getuid()}"
        if not spare.resolve().is_relative_to(ROOT):
            bases.append(spare)
    return bases


def _home_cache() -> Path | None:
    try:
        return Path.home() / ".cache" / "gennaker"
    except RuntimeError:  # neither HOME nor an entry in the password file
        return None


def _digest(name: str, payload: bytes) -> bytes:
    return hashlib.sha256(f"{compiler_identity()}\n{name}\n".encode() + payload).digest()


def _read_own_file(path: Path) -> bytes:
    """Return a file's bytes; PermissionError for one that others could have written, or that is no plain file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid not in (0, os.getuid()) or about.st_mode & 0o022:
            raise PermissionError(0, "a file that somebody else can write")
        return file.read()


def _make_private_folder(folder: Path) -> None:
    """Make a folder; PermissionError where it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid not in (0, os.getuid()):
        raise PermissionError(0, f"belongs to user {folder.stat().st_uid}")


def _write_file(path: Path, content: bytes) -> None:
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        Path(unfinished).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


def _without_bitcode(name: str, kind: str, codes: tuple[bytes, bytes]) -> tuple[str, str, tuple[bytes, bytes]]:
    """Return a library as numba writes it, its functions without content in the half of it that others are linked with. Whoever
    loads it reads their names there, and would hold the whole in memory: as much again as all else that the code takes.
    """
    machine_code, bitcode = codes
    module = llvm.parse_bitcode(bitcode)
    functions = [f"define void {_quoted(one.name)}() {{ unreachable }}" for one in module.functions if not one.is_declaration]
    variables = [f"{_quoted(one.name)} = global i8 0" for one in module.global_variables if not one.is_declaration]
    names: bytes = llvm.parse_assembly("\n".join(functions + variables)).as_bitcode()
    return name, kind, (machine_code, names)


def _quoted(name: str) -> str:
    """Return a name as LLVM reads it; that of a text is the text, with whatever is in it."""
    return '@"' + "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:02X}" for byte in name.encode()) + '"'


class KernelCache(FunctionCache):
    """What numba asks for a function's code, by signature: `load_overload`, and `save_overload` after it has compiled."""

    def __init__(self, function: Any, folder: KernelFolder, more_sources: str = "", *, is_linked: bool = True) -> None:
        """Make the cache of a function, whose code is made from `more_sources`, too, a digest.

        `is_linked`: what calls it may be linked with its code; otherwise it is called by its address alone.
        """
        # Not numba's own: that one looks for a folder, and knows nothing of other sources than the function's.
        self._py_func, self._name, self._folder, self._is_linked = function, repr(function), folder, is_linked
        code, name = function.__code__, f"{function.__module__}.{function.__qualname__}"
        self._sources = more_sources, sources_digest(Path(code.co_filename)), name, code.co_firstlineno, code.co_names
        self._title = re.sub(r"[^\w.-]", "", f"{name}-{code.co_firstlineno}")[-100:]
        self._enabled = Path(code.co_filename).is_file()  # not typed in, where the rest of what it calls is unknown

    @property
    def cache_path(self) -> str:
        """The folder of the cache."""
        return self._folder.folder

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature, or None."""
        # What numba's own cache does here, `target_context.refresh()`, also loads all that the compiler can compile (and with it
        # scipy.linalg): a third of the start of each process that only runs what is there. A miss compiles, which refreshes first.
        rtsys.initialize(target_context)
        payload = self._folder.read(self._file(sig, target_context.codegen())) if self._enabled else None
        return None if payload is None else CompileResult._rebuild(target_context, *loads(payload))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code for a signature, where it does not depend on where things lie in this process."""
        for environment in data._find_referenced_environments():
            # What a function needs of Python, to print, say: numba sets it where it makes machine code of the function by itself.
            if data.codegen._engine.get_global_value_address(environment.env_name):  # 0: it needs nothing
                data.codegen.set_env(environment.env_name, environment)
        if self._enabled and not data.library.has_dynamic_globals and all(lifted.can_cache for lifted in data.lifted):
            library, *rest = data._reduce()
            content = library if self._is_linked else _without_bitcode(*library), *rest
            self._folder.write(self._file(sig, data.codegen), dumps(content))

    def _file(self, sig: Any, codegen: Any) -> str:
        _, target, code = self._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        key = hashlib.sha256(repr((self._sources, compiler_identity(), str(sig), target, code)).encode()).hexdigest()
        return f"{self._title}.{key[:32]}.nbc"
