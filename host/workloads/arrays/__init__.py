"""Arrays of numbers into any network and out of it again: a vector a position, from files or from a seed."""

from collections.abc import Mapping
from typing import Any

from host.workloads.contract import Command, Metric

UNIT = "vector"
SHIPPED = ""
KERNELS = ("egru",)
HEADS = ("affine",)
FORMER = ("features",)  # what the folder was called before: config files and experiments may say so
COMMANDS = {
    "run": Command("run any network on arrays of your own", needs_model=True),
    "features": Command("run any network, or a seeded one, on vectors of numbers"),
}
EXAMPLES = (
    ("run MODEL --inputs x.npy", "any network on your arrays"),
    ("features --layers 64,64", "a seeded network on numbers"),
)
METRICS: dict[str, Metric] = {}


def claims(settings: Mapping[str, Any]) -> bool:
    """Tell whether an experiment that names no workload means this one: it has no checkpoint, or describes a network."""
    from host.workloads.arrays.options import NETWORK

    return "checkpoint" not in settings or any(name in settings for name in NETWORK)
