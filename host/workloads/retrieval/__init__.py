"""Harmonic retrieval: snapshots of an array's samples in, frequencies and amplitudes out, by S-LISTA on Few-Spikes neurons."""

from host.workloads.contract import Command, Metric

UNIT = "snapshot"
SHIPPED = ""  # a model is no network yet: `--k` and others make one of it
KERNELS = ("fs_complex",)
COMMANDS = {"retrieval": Command("recover frequencies and amplitudes with S-LISTA on Few-Spikes neurons")}
EXAMPLES = (("retrieval --samples 20 --k 8", "a line spectrum, 8 ticks a value"),)
METRICS = {
    "nmse": Metric(name="nmse", label="error of the grid", unit="dB", digits=2, better="low"),
    "detection": Metric(name="detection", label="targets detected", unit="%", digits=1, better="high"),
    "conversion": Metric(name="conversion", label="run against its CNN", unit="dB", digits=2, better="low"),
    "snapshot_time": Metric(name="snapshot_time", label="chip time a snapshot", unit="ms", digits=3, better="low"),
    "snapshot_energy": Metric(name="snapshot_energy", label="chip energy a snapshot", unit="mJ", digits=3, better="low"),
}
