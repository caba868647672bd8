"""Where a result comes from: the version of the code, the libraries, and the files that were read, each by a hash."""

import hashlib
import importlib.metadata
import platform
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models.families import user_sources

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("host", "models", "noc", "pe")
_SOURCES = (".py", ".toml")
_LIBRARIES = ("numpy", "numba", "pyzmq", "msgpack", "safetensors")
_WHOLE_FOLDER_BYTES = 1 << 28  # recordings of gigabytes: reading them again would take longer than the run


def content_sha256(root: Path = ROOT) -> str:
    """Return the SHA-256 (hex) over names and bytes of every source file of the packages under `root`, and of those in the folders
    of a user's own (`models/families.py`).
    """
    own = (path for package in _PACKAGES for path in (root / package).rglob("*") if path.suffix in _SOURCES)
    return _of_files([*_named(root, own), *user_sources(_PACKAGES, _SOURCES)])


def code_record() -> dict[str, Any]:
    """Return version and content hash of the project, and the versions of Python and the libraries that compute."""
    # "unknown": vendored under another name; "not installed": run from a folder.
    libraries = {"python": platform.python_version()} | {name: _version(name, "unknown") for name in _LIBRARIES}
    return {"version": version(), "code_sha256": content_sha256(), "libraries": libraries}


def version() -> str:
    """Return the version of the project: of the folder that it runs from, else of what is installed."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        about = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if about.get("name") == "gennaker":
            return str(about["version"])
    return _version("gennaker", "not installed")


def _version(package: str, otherwise: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return otherwise


def input_record(paths: Mapping[str, Path]) -> list[dict[str, str]]:
    """Return part, name and SHA-256 of each file or folder that a run read, and what the hash covers."""
    return [{"part": part, "name": path.name, **_fingerprint(path)} for part, path in paths.items()]


def _fingerprint(path: Path) -> dict[str, str]:
    try:
        if not path.is_dir():
            with path.open("rb") as stream:
                return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "covers": "content"}
        files = [file for file in path.rglob("*") if file.is_file()]
        if sum(file.stat().st_size for file in files) <= _WHOLE_FOLDER_BYTES:
            return {"sha256": _of_files(_named(path, files)), "covers": "names and content"}
        sizes = "".join(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\n" for file in sorted(files))
        return {"sha256": hashlib.sha256(sizes.encode("utf-8", "surrogateescape")).hexdigest(), "covers": "names and sizes"}
    except OSError as error:  # it was there when the run began
        return {"sha256": "", "covers": f"nothing: {error.strerror}"}


def _named(root: Path, files: Iterable[Path]) -> list[tuple[str, Path]]:
    """Return files in order, each behind its name under `root`."""
    return [(path.relative_to(root).as_posix(), path) for path in sorted(files)]


def _of_files(files: Iterable[tuple[str, Path]]) -> str:
    """Return the SHA-256 (hex) over names and bytes of files, in this order."""
    total = hashlib.sha256()
    for name, path in files:
        total.update(f"{name}\0".encode("utf-8", "surrogateescape"))
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
