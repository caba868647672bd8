"""Vectors of numbers into any network: one a position, from a file or from a seed. What the last layer sends is only counted."""

from host.workloads.contract import Command, Metric

UNIT = "vector"
SHIPPED = ""
COMMANDS = {"features": Command("run any network on vectors of numbers, from a file or from a seed")}
EXAMPLES = (("features --input 64 --layers 64,64 --tokens 20", "a seeded network on seeded numbers"),)
METRICS: dict[str, Metric] = {}


def claims(settings: object) -> bool:
    """Tell whether an experiment that names no workload means this one: without a checkpoint there are no words."""
    return isinstance(settings, dict) and "checkpoint" not in settings
