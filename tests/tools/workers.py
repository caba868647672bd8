"""A scheduler and workers as a person would start them: separate processes, several of which stand for several machines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from host.launch.outcome import Outcome
from tests.tools.processes import SLOW
from tests.tools.work import crowding

ROOT = Path(__file__).resolve().parents[2]
QUIET = {
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    "PYTHONPATH": str(ROOT),
}


class Workers:
    """A scheduler on `host`, and workers by name."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", inside: tuple[str, ...] = ()) -> None:
        self._folder, self._host = folder, host
        self._file = folder / "scheduler.json"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.scheduler = self._start("scheduler", inside, "dask_scheduler", "--host", host, "--port", "0", "--no-dashboard",
                                     "--scheduler-file", str(self._file))  # fmt: skip
        deadline = time.monotonic() + 30 * crowding()
        while not (about := self._announced()) and time.monotonic() < deadline:
            assert self.scheduler.poll() is None, "the scheduler does not start"
            time.sleep(0.05)
        self.address = about["address"]

    def _announced(self) -> dict[str, Any]:
        """What the scheduler says of itself in its file; nothing while that is not there or half written."""
        try:
            return dict(json.loads(self._file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def add(
        self, name: str, chips: int, *more: str, host: str = "127.0.0.1", inside: tuple[str, ...] = (), **variables: str
    ) -> None:
        """Start a worker; it is there a second or two later."""
        resources = ("--resources", f"chips={chips}") if chips else ()
        self._start(name, inside, "dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--name", name, "--host", host,
                    "--no-dashboard", "--memory-limit", "0", "--local-directory", str(self._folder), *resources, *more,
                    **variables)  # fmt: skip

    def _start(self, name: str, inside: tuple[str, ...], module: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        command = [*inside, sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        log = (self._folder / f"{name}.log").open("wb")
        self._processes[name] = subprocess.Popen(
            command, cwd=self._folder, env={**os.environ, **QUIET, **variables}, stdout=log, stderr=log
        )
        log.close()
        return self._processes[name]

    def wait(self, number: int, within_s: float = 90, inside: tuple[str, ...] = ()) -> None:
        """Wait until the scheduler has this many workers; `inside`: from where it can be reached, if not from here."""
        if inside:
            look = f"from distributed import Client; c = Client({self.address!r}); n = lambda: len(c.nthreads())\n"
            look += f"import time; t = time.time()\nwhile n() != {number}: assert time.time() < t + {within_s}; time.sleep(0.05)\n"
            subprocess.run([*inside, sys.executable, "-c", look], check=True, env={**os.environ, **QUIET}, capture_output=True)
            return
        from distributed import Client

        deadline = time.monotonic() + within_s * crowding()
        with Client(self.address, set_as_default=False) as client:  # takes no process of its own, and no second to start one
            while len(client.nthreads()) != number:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def pid(self, name: str) -> int:
        """The process id of a worker."""
        return self._processes[name].pid

    def family(self, name: str) -> list[psutil.Process]:
        """Every process under a worker."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid(name)).children(recursive=True)
        return []

    def families(self) -> list[psutil.Process]:
        """Every process under any worker that still runs."""
        return [
            process
            for name in self._processes
            for process in self.family(name)
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]

    def kill(self, name: str) -> None:
        """Kill a worker as a machine that loses its power would."""
        self._processes[name].send_signal(signal.SIGKILL)

    def remove(self, name: str) -> None:
        """Kill a worker and forget it."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()


@contextlib.contextmanager
def workers(folder: Path, **chips: int) -> Iterator[Workers]:
    """Yield a scheduler with the workers named, each with its chips."""
    cluster = Workers(folder)
    try:
        for name, number in chips.items():
            cluster.add(name, number)
        yield cluster
    finally:
        cluster.close()


def struck(run: Callable[..., Outcome], strike: Callable[[], object], **options: Any) -> tuple[Outcome, float]:
    """Run slowly, strike once ticks run, and return (outcome, seconds from the strike to the end)."""
    at: list[float] = []

    def observe(status: dict[str, Any]) -> None:
        if status["phase"] == "running" and status.get("tick", 0) > 10 and not at:
            at.append(time.monotonic())
            strike()

    options = {"pes": 6, "chips": 3, "tokens": 100, "faults": SLOW, **options}
    outcome = run(observe=observe, **options)
    assert at, outcome.problem
    return outcome, time.monotonic() - at[0]
