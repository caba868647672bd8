"""Gestures before an event camera: recordings in, a class for each out."""

from host.workloads.contract import ENERGY, TIME, Command, Metric

UNIT = "frame"
SHIPPED = "gesture.safetensors"
KERNELS = ("egru",)
HEADS = ("gesture",)
COMMANDS = {"dvs": Command("classify gestures of an event camera on the emulated chip")}
EXAMPLES = (("dvs", "gestures before an event camera"), ("dvs --batch 6 --events DIR", "your recordings, 6 at a time"))
METRICS = {
    "accuracy": Metric(name="accuracy", label="accuracy", unit="%", digits=1, better="high"),
    "torch_accuracy": Metric(name="torch_accuracy", label="same network in torch", unit="%", digits=1, better=""),
    "sample_time": Metric(name="sample_time", label="chip time a sample", unit="ms", digits=2, better="low"),
    "sample_energy": Metric(name="sample_energy", label="chip energy a sample", unit="mJ", digits=1, better="low"),
}
PRICED = {"sample_time": TIME, "sample_energy": ENERGY}
