"""`python -m bench`: everything that is measured, and at the end every target beside what was reached. A quarter of an hour on two
cores that are otherwise idle; on busy ones no millisecond here means anything.
"""

from __future__ import annotations

import os
import time

from bench import chips, control, dnn_run, first_compile, gesture_step, reporting_cost, session, tick, transformers, workloads
from bench.targets import SYSTEM_FLOOR_MS, TARGETS, verdicts


def main() -> None:
    """Measure all, and say which targets are met."""
    began = time.perf_counter()
    print(f"load average before: {os.getloadavg()[0]:.1f}\n", flush=True)
    figures = tick.measure()
    print(flush=True)
    figures |= first_compile.measure()
    print(flush=True)
    figures |= reporting_cost.measure()
    print(flush=True)
    figures |= chips.measure()
    print(flush=True)
    figures |= session.measure()
    print(flush=True)
    figures |= control.measure()
    figures |= gesture_step.measure()
    print(flush=True)
    figures |= dnn_run.measure()
    figures |= transformers.measure()
    print(flush=True)
    workloads.measure()
    slowness = figures[tick.FLOOR] / SYSTEM_FLOOR_MS
    missed = [key for key, target in TARGETS.items() if figures[key] > target.most]
    print(f"\n{len(TARGETS) - len(missed)} of {len(TARGETS)} targets are met ({time.perf_counter() - began:.0f} s)")
    floors = (
        f"the system floor is {figures[tick.FLOOR]:.2f} ms now, and was {SYSTEM_FLOOR_MS} ms on the day that targets are meant of"
    )
    print(f"right: times divided by {slowness:.2f}, for {floors}")
    print(verdicts(figures, slowness))


if __name__ == "__main__":
    main()
