"""What the operating system knows of a run's processes and threads, from /proc: CPU time, waits, switches, signals written.

Read twice, at two ticks of a run, and divided by the ticks between: `Window`. A thread that is not its process's first is an
I/O thread (ZeroMQ's, where an endpoint has one). Linux only, like the project.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Counts(NamedTuple):
    """What one thread has used so far, or several together between two looks.

    `on_cpu_s` is exact; `user_s` and `system_s` are that time split as the kernel's clock ticks saw it. `ready_s`: waiting for a
    core while it could have run. `voluntary`: switches because it had to wait, each of which a wake-up ended. `calls`: read()
    and write() calls, which on these processes are ZeroMQ's signals between threads, and pipes; counted for a process, not a
    thread.
    """

    user_s: float = 0.0
    system_s: float = 0.0
    on_cpu_s: float = 0.0
    ready_s: float = 0.0
    voluntary: int = 0
    involuntary: int = 0
    calls: int = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        """Return the sum, or with `sign` -1 the difference."""
        return Counts(*(a + sign * b for a, b in zip(self, other, strict=True)))

    def over(self, number: float) -> Counts:
        """Return the counts divided by `number`."""
        return Counts(*(value / number for value in self))  # type: ignore[arg-type]  # means of integers


def threads_of(pid: int) -> dict[bool, Counts]:
    """Return what the threads of a process have used so far: under True its first thread, under False all others together.

    Raises FileNotFoundError or ProcessLookupError where the process is gone.
    """
    by_first = {True: Counts()}
    folder = Path(f"/proc/{pid}")
    for task in (folder / "task").iterdir():
        first = task.name == str(pid)
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        user_s, system_s = (int(field) / _TICKS_A_SECOND for field in fields[11:13])
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if "ctxt" in line)
        on_cpu_ns, ready_ns, _ = map(int, (task / "schedstat").read_text().split())
        counts = Counts(
            user_s, system_s, on_cpu_ns / 1e9, ready_ns / 1e9,
            int(status["voluntary_ctxt_switches"]), int(status["nonvoluntary_ctxt_switches"]),
        )  # fmt: skip
        by_first[first] = by_first.get(first, Counts()).plus(counts)
    io = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
    by_first[True] = by_first[True]._replace(calls=int(io["syscr"]) + int(io["syscw"]))
    return by_first


def kind_of(name: str) -> str:
    """Return what kind of process has this name: PE, router, host or launcher."""
    return "PE" if name.startswith("PE(") else name.partition("@")[0]


class Window:
    """Two looks at the processes of a run, and what they used between them.

    Give `started` and `observe` to a `Cluster`. The first look is at the first record of the host after tick `first`, the
    second after tick `last`; what a look itself costs falls outside of the window.

    Args:
        first: tick after which the window begins.
        last: tick after which it ends.
        at_begin: called before the first look, with the pids by name.
        at_end: called after the second look.
        observe: called with every record, as the launcher's monitor is.

    """

    def __init__(
        self,
        first: int,
        last: int,
        at_begin: Callable[[Mapping[str, int]], None] = lambda _: None,
        at_end: Callable[[], None] = lambda: None,
        observe: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._first, self._last, self._at_begin, self._at_end, self._observe = first, last, at_begin, at_end, observe
        self.pids: dict[str, int] = {"launcher": os.getpid()}
        self._looks: list[tuple[int, dict[str, dict[bool, Counts]]]] = []

    def started(self, name: str, pid: int) -> None:
        """Take note of a process."""
        self.pids[name] = pid

    def observe(self, status: dict[str, Any]) -> None:
        """Look, if it is time."""
        tick = status.get("tick", 0)
        if status.get("phase") == "running" and not self._looks and tick >= self._first:
            self._at_begin(self.pids)
            self._looks.append((tick, self._look()))
        elif status.get("phase") == "running" and len(self._looks) == 1 and tick >= self._last:
            self._looks.append((tick, self._look()))
            self._at_end()
        self._observe(status)

    def _look(self) -> dict[str, dict[bool, Counts]]:
        # The launcher, which looks, is itself read last at the beginning and first at the end.
        names = sorted(self.pids, key=lambda name: (name == "launcher") != bool(self._looks))
        return {name: threads_of(self.pids[name]) for name in names}

    @property
    def ticks(self) -> int:
        """Ticks between the two looks; AssertionError where there were not two."""
        assert len(self._looks) == 2, "the run was too short for two looks: ask for more tokens"
        return self._looks[1][0] - self._looks[0][0]

    def used(self) -> dict[str, dict[bool, Counts]]:
        """Return what each process used between the looks, its first thread (True) apart from all others (False)."""
        assert self.ticks > 0
        before, after = (look for _, look in self._looks)
        return {
            name: {first: counts.plus(before[name].get(first, Counts()), -1) for first, counts in threads.items()}
            for name, threads in after.items()
        }

    def by_kind(self) -> dict[tuple[str, bool], Counts]:
        """Return what each kind of process used between the looks, first threads apart from others, all processes together."""
        by_kind: dict[tuple[str, bool], Counts] = defaultdict(Counts)
        for name, threads in self.used().items():
            for first, counts in threads.items():
                by_kind[kind_of(name), first] = by_kind[kind_of(name), first].plus(counts)
        return dict(by_kind)
