"""Gennaker from Python: load a network, fit it onto the chip, run it on arrays, and see what it would cost.

    import gennaker as gk

    model = gk.load("gru.pth")
    plan = model.fit(pes=8)
    run = plan.run(x)
    run.outputs, run.time_s, run.energy_j

docs/python.md is a tutorial.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gennaker._place import check_neighbours, go_first, is_the_program

if is_the_program():
    go_first()  # whatever folders are on the path, the command line finds what is ours
else:
    check_neighbours()  # before anything of ours is imported

if TYPE_CHECKING:
    from gennaker.answers import Bottleneck
    from gennaker.bands import Band
    from gennaker.costs import Cost
    from gennaker.errors import DoesNotFit, Error, RunError, WrongInput
    from gennaker.ledger import Ledger
    from gennaker.model import Model, load
    from gennaker.plan import Plan
    from gennaker.results import Run
    from gennaker.session import Session

# Loaded when it is first asked for: the command line, which lives in this package too, starts without it.
_HOMES = {
    "Band": "bands", "Bottleneck": "answers", "Cost": "costs", "Dnn": "dnn", "DoesNotFit": "errors",
    "Error": "errors", "Ledger": "ledger",
    "Model": "model", "Plan": "plan", "Run": "results", "RunError": "errors", "Session": "session", "WrongInput": "errors",
    "load": "model",
}  # fmt: skip

__all__ = [
    "Band", "Bottleneck", "Cost", "Dnn", "DoesNotFit",
    "Error", "Ledger", "Model", "Plan", "Run", "RunError", "Session", "WrongInput",
    "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name from its file."""
    if name == "__version__":
        from host.provenance import version

        return version()
    if name not in _HOMES:
        raise AttributeError(f"module 'gennaker' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gennaker.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, for completion in a notebook."""
    return sorted({*globals(), *__all__, "__version__"})
