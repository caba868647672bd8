"""`python -m bench`: everything that is measured, and at the end every target beside what was reached. Under ten minutes on two
cores that are otherwise idle; on busy ones no millisecond here means anything.
"""

from __future__ import annotations

import os
import time

from bench import chips, control, gesture_step, reporting_cost, session, tick
from bench.targets import TARGETS, verdicts


def main() -> None:
    """Measure all, and say which targets are met."""
    began = time.perf_counter()
    print(f"load average before: {os.getloadavg()[0]:.1f}\n", flush=True)
    figures = tick.measure()
    print(flush=True)
    figures |= reporting_cost.measure()
    print(flush=True)
    figures |= chips.measure()
    print(flush=True)
    figures |= session.measure()
    print(flush=True)
    figures |= control.measure()
    figures |= gesture_step.measure()
    missed = [key for key, target in TARGETS.items() if figures[key] > target.most]
    print(f"\n{len(TARGETS) - len(missed)} of {len(TARGETS)} targets are met ({time.perf_counter() - began:.0f} s)")
    print(verdicts(figures))


if __name__ == "__main__":
    main()
