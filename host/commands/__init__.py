"""One file a command of `launch.py`; the only place that puts workloads, backends and pictures together."""
