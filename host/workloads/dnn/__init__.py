"""Layered networks in int8 on the MAC arrays: a scheduler PE, workers, and everything else in DRAM."""

from typing import Any

from host.workloads.contract import Command, Metric
from models.families import member_names

UNIT = "layer"
SHIPPED = "digits-cnn.safetensors"
KERNELS = ("scheduler", "worker", "sharing_worker")
COMMANDS = {"dnn": Command("run a quantised DNN layer by layer: a scheduler PE, workers, and DMA from DRAM")}
EXAMPLES = (
    ("dnn", "handwritten digits, in int8"),
    ("dnn net.onnx --inputs x.npy --calibrate x.npy", "your network in int8"),
)
METRICS = {
    "accuracy": Metric(name="accuracy", label="accuracy", unit="%", digits=1, better="high"),
    "float_accuracy": Metric(name="float_accuracy", label="in float32", unit="%", digits=1, better=""),
    "sample_time": Metric(name="sample_time", label="modelled, a sample", unit="ms", digits=4, better="low"),
    "sample_energy": Metric(name="sample_energy", label="modelled, a sample", unit="mJ", digits=5, better="low"),
    "tops_per_w": Metric(name="tops_per_w", label="operations a joule", unit="TOPS/W", digits=3, better="high"),
    "dram_bytes": Metric(name="dram_bytes", label="DRAM, a sample", unit="kB", digits=1, better="low"),
}


def modules_for(options: Any) -> list[str]:  # noqa: ARG001 - which operators a file has is not read twice
    """Return the modules that workers need beside their neuron model: the steps of operators."""
    return [f"models.tile_steps.{name}" for name in member_names("models.tile_steps")]
