"""Layered networks in int8 on the MAC arrays: a scheduler PE, workers, and everything else in DRAM."""

from pathlib import Path
from typing import Any

from host.workloads.contract import ENERGY, PER_ENERGY, TIME, Command, Metric
from models import shipped
from models.families import member_names
from models.file_header import header_record

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
    "perplexity": Metric(name="perplexity", label="perplexity", unit="", digits=2, better="low"),
    "float_accuracy": Metric(name="float_accuracy", label="in float32", unit="%", digits=1, better=""),
    "sample_time": Metric(name="sample_time", label="chip time a sample", unit="ms", digits=4, better="low"),
    "sample_energy": Metric(name="sample_energy", label="chip energy a sample", unit="mJ", digits=5, better="low"),
    "tops_per_w": Metric(name="tops_per_w", label="operations a joule", unit="TOPS/W", digits=3, better="high"),
    "dram_bytes": Metric(name="dram_bytes", label="DRAM, a sample", unit="kB", digits=1, better="low"),
}
PRICED = {"sample_time": TIME, "sample_energy": ENERGY, "tops_per_w": PER_ENERGY}


def modules_for(options: Any) -> list[str]:
    """Return the modules that workers need beside their neuron model: the steps of the operators that the model's header names, or
    of all, where it has none.
    """
    named = options.checkpoint or SHIPPED.removesuffix(".safetensors")
    about = header_record(shipped.path_of(named) or Path(named), "gennaker-dnn")
    try:
        kinds = {str(operation[1]) for operation in about["network"]["operations"]}
    except (TypeError, KeyError, IndexError):  # no integers yet, or another format
        kinds = set()
    names = member_names("models.tile_steps")
    return [f"models.tile_steps.{name}" for name in names if name in kinds or not kinds]
