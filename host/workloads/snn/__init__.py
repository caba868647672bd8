"""Spiking networks on the events of a camera: recordings in, a class for each out, with spikes, cycles and joules of every step."""

from host.workloads.contract import ENERGY, STEPS, Command, Metric

UNIT = "step"
SHIPPED = "snn.safetensors"
KERNELS = ("lif",)
COMMANDS = {"snn": Command("classify events with a spiking network (NIR or checkpoint)")}
EXAMPLES = (
    ("snn", "gestures, by spikes"),
    ("snn net.nir --events DIR", "your spiking network on recordings"),
    ("snn seeded --bits 8", "the published size, untrained"),
)
METRICS = {
    "accuracy": Metric(name="accuracy", label="accuracy", unit="%", digits=1, better="high"),
    "ties": Metric(name="ties", label="samples with a tie", unit="", digits=0, better="low"),
    "float_accuracy": Metric(name="float_accuracy", label="before quantising", unit="%", digits=1, better=""),
    "spikes": Metric(name="spikes", label="spikes a step", unit="", digits=1, better="low"),
    "synaptic_events": Metric(name="synaptic_events", label="synaptic events a step", unit="", digits=0, better="low"),
    "sample_energy": Metric(name="sample_energy", label="chip energy a sample", unit="mJ", digits=2, better="low"),
    "timer_energy": Metric(name="timer_energy", label="a timer step, its rest asleep", unit="mJ", digits=4, better="low"),
    "overruns": Metric(name="overruns", label="steps longer than the timer's", unit="", digits=0, better="low"),
}
PRICED = {"sample_energy": ENERGY, "timer_energy": STEPS, "overruns": STEPS}
