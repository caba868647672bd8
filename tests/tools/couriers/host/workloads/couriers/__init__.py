"""Kernels of the tests that move bytes between PEs, DRAMs and the host."""

from host.workloads.contract import Command, Metric

UNIT, SHIPPED = "step", ""
KERNELS = ("asker", "answerer", "reader")
COMMANDS = {"couriers": Command("bytes between PEs, DRAMs and the host")}
EXAMPLES = (("couriers --steps 20", "twenty steps"),)
METRICS = {"sum": Metric("sum", "what the reader has added up", "", 0, "")}
