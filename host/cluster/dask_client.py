"""`Engine`: Dask distributed as the launcher sees it. Connects to a scheduler or starts a cluster, asks workers, sends them
content, and has an agent attended on each (`host/cluster/dask_worker.py`). With that file the only one that knows Dask.

Every call has a bound and runs beside the launcher's own loop; what agents say is collected until the launcher asks. Not
known here: chips, routers and PEs, and what is done when a worker is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from functools import partial
from typing import Any

from host.cluster.cluster_config import Where
from host.errors import Exit, HostError
from host.processes.fork_environment import no_main_module
from noc.wire import pack_status, unpack_status

CONNECT_S = 6.0
ASK_S = 8.0
HERE_EVERY_S = 2.0  # how often agents hear that the launcher is there
GONE_S = 5.0  # a worker that says nothing for this long is lost
_RELEASE_S = 4.0
_GROUP_SIGNALS = (signal.SIGINT, signal.SIGHUP)


class Engine:
    """A connection to workers, for one run.

    Args:
        run: the run's name.
        where: which cluster.
        chips: a worker's, for a cluster that is started here without a number.

    """

    def __init__(self, run: str, where: Where, chips: int) -> None:
        self._run, self._where, self._chips = run, where, where.chips or chips
        self._cluster: Any = None
        self._client: Any = None
        self._pool = ThreadPoolExecutor(32, thread_name_prefix="gennaker-engine")
        self._records: deque[dict[str, Any]] = deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._futures: dict[str, Any] = {}
        self._watcher: threading.Thread | None = None
        self._closed = threading.Event()
        self._heard: dict[str, float] = {}
        self._hearing_since: dict[str, float] = {}
        self._lock = threading.Lock()

    # -- the cluster ------------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, starting the cluster where it is ours; HostError, one line, where that cannot be."""
        try:
            import distributed
        except ModuleNotFoundError as error:
            raise HostError(f"--cluster: this Python lacks {error.name}; install the extra 'cluster'") from error
        for name in [*logging.root.manager.loggerDict, "distributed.client"]:  # what goes wrong is said here, in one line
            if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        began = time.monotonic()
        # Workers of our own inherit the mask, so that a terminal's Ctrl-C is left to the launcher.
        signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_SIGNALS)
        try:
            with no_main_module():
                self._cluster = self._started(distributed)
                address = self._cluster if self._cluster is not None else self._where.address
                self._client = distributed.Client(  # type: ignore[no-untyped-call]
                    address, timeout=CONNECT_S, set_as_default=False, name="gennaker", heartbeat_interval="1 s"
                )
        except HostError:
            raise
        except Exception as error:  # the engine's own kinds of failure are many
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"
            if self._where.kind == "scheduler":
                raise HostError(
                    f"no scheduler answers at {self._where.address} ({time.monotonic() - began:.0f} s; {why})", Exit.DIED
                ) from error
            raise HostError(f"--cluster: the {self._where.kind} cluster does not start ({why})", Exit.DIED) from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP_SIGNALS)
        self._client.subscribe_topic(f"gennaker-{self._run}", self._on_event)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _started(self, distributed: Any) -> Any:
        """Return the cluster that `where` has us start; None where a scheduler is there already."""
        where, resources = self._where, {"chips": self._chips}
        if where.kind == "local":
            return distributed.LocalCluster(
                n_workers=where.workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                resources=resources, memory_limit=0, silence_logs=logging.CRITICAL,
                **where.options,
            )  # fmt: skip
        if where.kind == "ssh":
            options = {"nthreads": 1, "memory_limit": 0, "resources": resources, **where.options.get("worker_options", {})}
            rest = {name: value for name, value in where.options.items() if name != "worker_options"}
            return distributed.SSHCluster(list(where.hosts), worker_options=options, **rest)
        if where.kind == "jobqueue":
            try:
                import dask_jobqueue
            except ModuleNotFoundError as error:
                raise HostError(f"--cluster: this Python lacks {error.name}; pip install dask-jobqueue") from error
            kind = getattr(dask_jobqueue, where.class_name, None)
            if kind is None:
                raise HostError(f"--cluster: dask_jobqueue has no {where.class_name!r}")
            extra = [*where.options.get("worker_extra_args", ()), "--resources", f"chips={self._chips}"]
            cluster = kind(**{**where.options, "worker_extra_args": extra})
            cluster.scale(where.workers)
            return cluster
        return None

    def workers(self) -> list[str]:
        """Return the addresses of the workers that are there."""
        try:
            return sorted(self._within(self._client.nthreads, ASK_S))
        except Late:
            raise HostError(f"the scheduler at {self.address} does not answer for {ASK_S:.0f} s", Exit.DIED) from None
        except Exception as error:
            raise HostError(f"the scheduler at {self.address} is gone ({type(error).__name__})", Exit.DIED) from error

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return str(self._where.address or getattr(self._cluster, "scheduler_address", "") or f"the {self._where.kind} cluster")

    def ask(self, function: Callable[..., Any], *arguments: Any, workers: Iterable[str]) -> dict[str, Any]:
        """Run a function of `host/cluster/dask_worker.py` in workers; return the answer or exception of each."""
        asked = list(workers)

        def go() -> dict[str, Any]:
            return dict(self._client.run(function, *arguments, workers=asked, on_error="return"))

        try:
            answers = self._within(go, ASK_S)
        except Late:
            answers = {}
        except Exception as error:
            answers = dict.fromkeys(asked, error)
        return {worker: answers.get(worker, TimeoutError(f"no answer for {ASK_S:.0f} s")) for worker in asked}

    def _within(self, function: Callable[[], Any], seconds: float) -> Any:
        return self._pool.submit(function).result(seconds)

    # -- agents -----------------------------------------------------------------------------------------------------------------

    def attend(
        self, function: Callable[..., int], worker: str, chips: int, command: dict[str, Any], content: dict[str, bytes]
    ) -> None:
        """Send a worker content and have it attend an agent; what the agent says is heard from now on. The worker's resource
        `chips` is taken until the agent has ended.
        """
        blob = pack_status(content)
        key = f"gennaker-content-{hashlib.sha256(blob).hexdigest()}"
        name = f"gennaker-{self._run}-{worker}-{time.monotonic_ns()}"

        def go() -> None:
            sent = self._client.scatter({key: blob}, workers=[worker])[key]
            future = self._futures[worker] = self._client.submit(
                function, self._run, pack_status(command), sent, key=name, workers=[worker], allow_other_workers=False,
                resources={"chips": chips}, pure=False, retries=0,
            )  # fmt: skip
            future.add_done_callback(lambda done: self._on_done(worker, done))

        with self._lock:
            self._hearing_since[worker] = time.monotonic()
        self._pool.submit(go).add_done_callback(lambda done: self._on_sent(worker, done))

    def command(self, worker: str, function: Callable[..., bool], record: dict[str, Any]) -> None:
        """Send a command to a worker's agent, without waiting."""
        raw = pack_status(record)

        def go() -> None:
            with contextlib.suppress(Exception):  # a worker that cannot be reached falls silent, and is found by that
                self._client.run(function, self._run, raw, workers=[worker], on_error="return")

        self._pool.submit(go)

    def keep(self, function: Callable[..., bool]) -> None:
        """Show agents with `function` that the launcher is there, as long as this engine is open."""
        self._here = function

    _here: Callable[..., bool] | None = None

    def fileno(self) -> int:
        """Return what becomes readable when there are records."""
        return self._reader

    def records(self) -> list[dict[str, Any]]:
        """Return what has been heard since the last call: what agents say, with their `machine`, and `gone`, a worker lost."""
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self._reader, False)
            os.read(self._reader, 1 << 12)
        found = []
        while self._records:
            found.append(self._records.popleft())
        return found

    def forget(self, workers: Iterable[str]) -> None:
        """Hear no more of these workers, and let their agents' tasks go."""
        for worker in workers:
            with self._lock:
                self._heard.pop(worker, None)
                self._hearing_since.pop(worker, None)
            future = self._futures.pop(worker, None)
            if future is not None:
                with contextlib.suppress(Exception):
                    future.cancel(force=True)

    def close(self) -> None:
        """Leave the cluster, ending it where it is ours. Bounded."""
        self._closed.set()
        self.forget(list(self._futures))
        for name in ("_client", "_cluster"):
            what = getattr(self, name)
            if what is not None:
                with contextlib.suppress(Exception):
                    self._within(partial(what.close, timeout=_RELEASE_S), 2 * _RELEASE_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            os.close(self._writer)
            self._writer = -1
        os.close(self._reader)

    # -- beside the launcher ----------------------------------------------------------------------------------------------------

    def _note(self, record: dict[str, Any]) -> None:
        self._records.append(record)
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._writer >= 0:
                os.write(self._writer, b".")

    def _on_event(self, event: Any) -> None:
        record = unpack_status(event[1])
        with self._lock:
            if record["machine"] not in self._hearing_since:
                return
            first = record["machine"] not in self._heard
            self._heard[record["machine"]] = time.monotonic()
        if first:
            self._note({"kind": "attended", "machine": record["machine"]})
        if record["kind"] != "beat":
            self._note(record)

    def _on_sent(self, worker: str, done: Any) -> None:
        error = done.exception()
        if error is not None:
            self._note({"kind": "gone", "machine": worker, "why": f"content cannot be sent there ({type(error).__name__})"})

    def _on_done(self, worker: str, future: Any) -> None:
        error = future.exception(timeout=1) if future.status == "error" else None
        if error is not None and self._futures.get(worker) is future:
            self._note({"kind": "gone", "machine": worker, "why": f"{type(error).__name__}: {error}"})

    def _watch(self) -> None:
        """Tell agents that the launcher is there; note workers that the scheduler has lost, or that say nothing."""
        next_here = 0.0
        while not self._closed.wait(0.5):
            now = time.monotonic()
            with self._lock:
                watched = {worker: self._heard.get(worker) for worker in self._hearing_since}
            if not watched:
                continue
            there: Sequence[str] | None = None
            with contextlib.suppress(Exception):
                there = list(self._within(self._client.nthreads, GONE_S / 2))
            if there is None and self._client is not None and self._client.status != "running":
                return self._note({"kind": "gone", "machine": "", "why": f"the scheduler at {self.address} is gone"})
            for worker, heard in watched.items():
                if there is not None and worker not in there:
                    self._lose(worker, "the scheduler has it no more")
                elif heard is not None and now - heard > GONE_S:
                    self._lose(worker, f"it has said nothing for {now - heard:.0f} s")
            if now >= next_here and self._here is not None:
                next_here = now + HERE_EVERY_S
                for worker in watched:
                    self.command(worker, self._here, {"kind": "here"})
        return None

    def _lose(self, worker: str, why: str) -> None:
        with self._lock:
            known = self._hearing_since.pop(worker, None)
            self._heard.pop(worker, None)
        if known is not None:
            self._note({"kind": "gone", "machine": worker, "why": why})
