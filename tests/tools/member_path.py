"""The members of families that only tests use (`tests/tools/members`), found by this process for a while."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

from models.families import VARIABLE

FOLDER = Path(__file__).with_name("members")


@contextlib.contextmanager
def members_found(*packages: str) -> Iterator[None]:
    """Let these packages find the members, and the processes that start meanwhile too."""
    paths = os.pathsep.join(filter(None, [os.environ.get(VARIABLE), str(FOLDER)]))
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, {VARIABLE: paths}))
        for name in packages:
            package = importlib.import_module(name)
            more = str(FOLDER.joinpath(*name.split(".")))
            if more not in package.__path__:
                stack.enter_context(mock.patch.object(package, "__path__", [*package.__path__, more]))
        yield


def reference_of(kernel: str) -> ModuleType:
    """Return the plain reference of a neuron model of the tests."""
    file = FOLDER / "models" / "reference" / f"{kernel}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{kernel}", file)
    assert spec is not None and spec.loader is not None, file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
