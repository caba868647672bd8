"""`python -m bench.peers.trial_supervisor ENGINE PROCESSES TICKS WARM_UP LIMIT_S PARENT_PID`: keeps one trial; nothing outlives it.

Engines start daemons, change process groups and leave sockets and shared memory behind when they are killed. The keeper adopts
every orphan among its descendants (a subreaper, in Linux's words), and at the end, at the time limit, at SIGTERM or at the end of
its own parent it kills all of them and removes the two folders that they were given. Prints one line of JSON: `began_s` and
`reports`, or `failed` with the reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.peers.engines import named
from bench.peers.run_trial import REPORTS

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDING_S, _TRACKING_S = 20.0, 10.0
_TRACKER = "multiprocessing.resource_tracker"
_ROOT = Path(__file__).resolve().parents[2]


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would break off the clearing away
    sys.exit(128 + signal.SIGTERM)


def _adopt(parent_pid: int) -> None:
    """Become the parent of orphaned descendants, and be told when one's own parent dies."""
    signal.signal(signal.SIGTERM, _leave)
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(128 + signal.SIGTERM)


def _end_descendants() -> None:
    """Kill and reap everything that descends from this process, and what that starts meanwhile.

    Python's resource trackers come last: they unlink the semaphores of the others, and leave, when those are gone.
    """
    began_s = time.monotonic()
    while (left := psutil.Process().children(recursive=True)) and (waited_s := time.monotonic() - began_s) < _ENDING_S:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                if waited_s > _TRACKING_S or not any(_TRACKER in word for word in process.cmdline()):
                    process.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named_errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    return (named_errors or lines or ["it said nothing"])[-1][:300]


def keep(engine: str, numbers: list[str], limit_s: float) -> dict[str, Any]:
    """Run one trial in a child and return what is printed."""
    prefix = f"peers-{os.getpid()}-"
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))  # short: the names of sockets have a limit
    shm = Path(tempfile.mkdtemp(prefix=prefix, dir="/dev/shm"))
    given = {name: value.format(shm=shm) for name, value in getattr(named(engine), "ENVIRONMENT", {}).items()}
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": path, **given}
    log = scratch / "log"
    try:
        command = [sys.executable, "-m", "bench.peers.run_trial", engine, *numbers, str(scratch)]
        with log.open("wb") as stream:
            began_s = time.monotonic()
            driver = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, cwd=_ROOT, start_new_session=True
            )
            code = driver.wait(limit_s)
        if code:
            return {"failed": f"ended with code {code}: {_last_words(log)}"}
        return {"began_s": began_s, "reports": json.loads((scratch / REPORTS).read_text())}
    except subprocess.TimeoutExpired:
        running = len(psutil.Process().children(recursive=True))
        return {"failed": f"not through after {limit_s:g} s; {running} processes ended"}
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_descendants()
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(shm, ignore_errors=True)


def main() -> None:
    """Keep the trial that the command line names."""
    engine, *numbers, limit_s, parent_pid = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent passes on what it wants
    _adopt(int(parent_pid))
    print(json.dumps(keep(engine, numbers, float(limit_s))))


if __name__ == "__main__":
    main()
