"""`python -m bench.monitor`: what the live monitor costs, on the paper's model, drawn to a terminal of 200 x 60.

The monitor runs in the launcher; its cost is the CPU time of its updates, as a share of the CPU time that the run had (its wall
time on all cores). A pseudo-terminal takes what is drawn; a real terminal's own work comes on top.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
import time
from typing import Any

from host.cluster import Cluster
from host.monitor import open_monitor
from host.options import LmOptions


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1 << 16):
            pass
    except OSError:
        pass  # the terminal is closed


def main() -> None:
    """Run the benchmark."""
    keeper, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
    threading.Thread(target=_drain, args=(keeper,), daemon=True).start()
    os.environ["TERM"] = "xterm-256color"
    spent_s, updates = 0.0, 0
    monitors: list[Any] = []
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:

        def observe(status: dict[str, Any]) -> None:
            nonlocal spent_s, updates
            began = time.process_time()
            monitors[0].update(status)
            spent_s += time.process_time() - began
            updates += 1

        report = (
            Cluster(LmOptions(tokens=600), lambda layout: monitors.append(open_monitor(layout, True, stream)), observe).run().report
        )
        monitors[0].close()
    assert report is not None
    assert report["lm"]["tokens"] == 600
    run_s = report["emulation"]["run_s"]
    cores = len(os.sched_getaffinity(0))
    assert updates > 10
    print(f"{updates} updates took {spent_s:.2f} s of CPU in a run of {run_s:.1f} s on {cores} cores")
    print(f"the monitor costs {100 * spent_s / (run_s * cores):.1f} % of the run")


if __name__ == "__main__":
    main()
