"""Gestures before an event camera: recordings in, a class for each out."""

from host.workloads.contract import Command, Metric

UNIT = "frame"
SHIPPED = "gesture.safetensors"
COMMANDS = {"dvs": Command("classify gestures of an event camera on the emulated chip")}
EXAMPLES = (("dvs", "gestures before an event camera"), ("dvs --batch 6 --events DIR", "your recordings, 6 at a time"))
METRICS = {
    "accuracy": Metric("accuracy", "accuracy", "%", 1, "high"),
    "torch_accuracy": Metric("torch_accuracy", "same network in torch", "%", 1, ""),
    "sample_time": Metric("sample_time", "modelled, a sample", "ms", 2, "low"),
    "sample_energy": Metric("sample_energy", "modelled, a sample", "mJ", 1, "low"),
}
