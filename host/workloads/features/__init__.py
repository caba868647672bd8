"""Vectors of numbers into any network: one a position, from a file or from a seed. What the last layer sends is only counted."""

from collections.abc import Mapping
from typing import Any

from host.workloads.contract import Command, Metric

UNIT = "vector"
SHIPPED = ""
KERNELS = ("egru",)
COMMANDS = {"features": Command("run any network on vectors of numbers")}
EXAMPLES = (("features --layers 64,64", "a seeded network on numbers"),)
METRICS: dict[str, Metric] = {}


def claims(settings: Mapping[str, Any]) -> bool:
    """Tell whether an experiment that names no workload means this one: it has no checkpoint, or describes a network."""
    from host.workloads.features.options import NETWORK

    return "checkpoint" not in settings or any(name in settings for name in NETWORK)
