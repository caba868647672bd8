"""The made-up kernels that exchange transfers, and their workload (`tests/tools/couriers`), found by this process for a while."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.workloads.registry import workloads
from models import kernels
from models.families import VARIABLE, family_path

FOLDER = Path(__file__).with_name("couriers")
_FAMILIES = ("models.kernels", "host.cost.kernels", "host.workloads")


@contextmanager
def with_couriers() -> Iterator[None]:
    """Let the couriers be found, here and in processes that begin meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(FOLDER))
        for name in _FAMILIES:
            package = importlib.import_module(name)
            patch.setattr(package, "__path__", family_path(package.__path__, name))
        _forget()
        yield
    _forget()


def _forget() -> None:
    """Forget what has been found before: it is found once a process."""
    kernels.named.cache_clear()
    workloads.cache_clear()
