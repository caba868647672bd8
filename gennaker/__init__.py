"""Gennaker from Python: load a network, fit it onto the chip, run it on arrays, and see what it would cost.

    import gennaker as gk

    model = gk.load("gru.pth")
    plan = model.fit(pes=8)
    run = plan.run(x)
    run.outputs, run.time_s, run.energy_j

docs/python.md is a tutorial.
"""

from gennaker._place import check_neighbours

check_neighbours()  # before anything of ours is imported

from gennaker.answers import Bottleneck  # noqa: E402
from gennaker.bands import Band  # noqa: E402
from gennaker.costs import Cost  # noqa: E402
from gennaker.errors import DoesNotFit, Error, RunError, WrongInput  # noqa: E402
from gennaker.ledger import Ledger  # noqa: E402
from gennaker.model import Model, load  # noqa: E402
from gennaker.plan import Plan  # noqa: E402
from gennaker.results import Run  # noqa: E402
from gennaker.session import Session  # noqa: E402

__all__ = [
    "Band", "Bottleneck", "Cost", "DoesNotFit", "Error", "Ledger", "Model", "Plan", "Run", "RunError", "Session", "WrongInput",
    "load",
]  # fmt: skip
