"""Starts and ends runs one after another in one program, and looks after each whether anything is left.

`python -m tests.tools.nemesis.cycles 200` prints what 200 of them left.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from host.launch.launcher import Launcher
from host.workloads.lm.options import Options
from tests.tools.nemesis.stage import Stage
from tests.tools.processes import children, gone, sockets

_PES, _TOKENS, _GONE_S = 5, 5, 10.0


def main() -> int:
    """Run as many cycles as the argument says; 1 where one left something, or gave another answer."""
    cycles = int(sys.argv[1]) if sys.argv[1:] else 200
    stage, hashes, left, seconds = Stage(), Counter[str](), Counter[str](), []
    with tempfile.TemporaryDirectory(prefix="nem-", dir="/tmp") as temporary:
        tempfile.tempdir = temporary
        options = Options(
            checkpoint=str(stage.folder / "tiny.safetensors"), text=str(stage.folder / "text.txt"), tokens=_TOKENS, pes=_PES
        )
        after_first: dict[str, int] = {}
        for _ in range(cycles):
            began = time.monotonic()
            outcome = Launcher(options, lambda _: None, lambda _: None).run()
            seconds.append(time.monotonic() - began)
            hashes[f"{outcome.code.name} {(outcome.report or {'events': {'sha256': ''}})['events']['sha256'][:12]}"] += 1
            have = _have(Path(temporary))
            after_first = after_first or have
            left.update(name for name, number in have.items() if number > after_first[name])
    stage.close()
    seconds.sort()
    print(f"{cycles} cycles: {dict(hashes)}; left more than after the first: {dict(left) or 'nothing'}; ")  # noqa: T201
    print(f"median {seconds[len(seconds) // 2]:.1f} s, longest {seconds[-1]:.1f} s; at the end {have}")  # noqa: T201
    return int(bool(left) or len(hashes) > 1)


def _have(temporary: Path) -> dict[str, int]:
    """Count what a run may leave, once there was time for it to go. The fork server and its socket stay for the next run."""
    gone(lambda: [*children(), *sockets()], _GONE_S)
    return {
        "processes": len(children()), "sockets": len(sockets()), "descriptors": psutil.Process(os.getpid()).num_fds(),
        "files": sum(1 for _ in temporary.rglob("*")), "children": len(psutil.Process().children(recursive=True)),
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
