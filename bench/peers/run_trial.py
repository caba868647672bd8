"""One trial (`python -m bench.peers.run_trial ENGINE PROCESSES TICKS WARM_UP SCRATCH`), which `trial_supervisor.py` runs.

Writes what the processes report into the scratch folder, once all have heard all that was sent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.peers.engines import named
from bench.peers.exchange import Size, events_due

REPORTS = "trial.json"


def main() -> None:
    """Run the trial."""
    engine, *numbers, folder = sys.argv[1:]
    size, scratch = Size(*map(int, numbers)), Path(folder)
    reports = named(engine).play(size, scratch)
    ranks = sorted(report.rank for report in reports)
    assert ranks == list(range(size.processes)), f"reports of processes {ranks}; needs one of each of {size.processes}"
    heard, due = sum(report.events for report in reports), events_due(size)
    assert heard == due, f"all processes together heard {heard} events; {due} were sent to them"
    (scratch / REPORTS).write_text(json.dumps(reports))


if __name__ == "__main__":
    main()
