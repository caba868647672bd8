"""`DaskClient`: connects to a Dask scheduler or starts a cluster, runs functions in workers, sends them content, and has each
run an agent. Together with `host/cluster/dask_worker.py` and `private_cluster.py` the only file that knows Dask.

Every call has a time limit and runs in a thread beside the launcher's loop; agents' records are collected until the
launcher takes them.
"""

import contextlib
import hashlib
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as Late
from functools import partial
from pathlib import Path
from typing import Any

from host.cluster.cluster_config import ClusterConfig
from host.errors import Exit, HostError
from host.processes.fork_environment import hidden_main_module
from host.processes.fork_server_link import own_children, start_tracker, wake_tracker
from host.processes.kernel_view import is_stopped
from noc.wire import pack_status, unpack_status

CONNECT_S = 6.0
ASK_S = 8.0
ALIVE_EVERY_S = 2.0  # how often agents hear that the launcher lives
GONE_S = 5.0  # a worker that says nothing for this long is lost
_RELEASE_S = 2.0  # for connection and cluster to be closed, side by side
_GROUP_SIGNALS = (signal.SIGINT, signal.SIGHUP)


def _begin(function: Callable[[], Any]) -> Future[Any]:
    """Call a function in a thread of its own, which nobody waits for where this process ends: a worker may never answer."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name="gennaker-dask", daemon=True).start()
    return future


def _need_certificate(distributed: Any, address: str) -> None:
    """Refuse a scheduler with TLS where Dask's settings name no certificate of this user's: Dask would fail within its client."""
    connection = distributed.security.Security().get_connection_args("client")
    if address.startswith("tls://") and connection.get("ssl_context") is None:
        need = "a certificate and its key in Dask's settings (distributed.comm.tls.client), has none; see docs/cluster.md"
        raise HostError(f"--cluster {address}: need {need}")


class DaskClient:
    """A connection to workers, for the run of name `run`.

    `chips`: a worker's, where a cluster is started here without a number. `folder`: for the files of such a cluster.
    """

    def __init__(self, run: str, config: ClusterConfig, chips: int, folder: Path) -> None:
        self._run, self._config, self._chips, self._folder = run, config, config.chips or chips, folder
        self._others: set[Any] = set()  # processes that were here before a cluster was
        self._cluster: Any = None
        self._client: Any = None
        self._records: deque[dict[str, Any]] = deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._futures: dict[str, Any] = {}
        self._closed = threading.Event()
        self._heard_at: dict[str, float | None] = {}  # of workers with an agent; None before its first record
        self._agents: dict[str, str] = {}  # the name of each such worker's last agent
        self._lock = threading.Lock()

    def open(self) -> None:
        """Connect, starting the cluster where that is asked for; HostError, one line, where that fails."""
        try:
            import distributed

            from host.cluster import dask_worker
        except ModuleNotFoundError as error:
            raise HostError(f"--cluster: this Python lacks {error.name}; install the extra 'cluster'") from error
        except Exception as error:  # Dask reads its configuration when it is imported
            why = " ".join(str(error).split())[:300]
            where = "is its configuration (~/.config/dask, DASK_CONFIG) broken?"
            raise HostError(f"--cluster: Dask cannot be loaded ({why}); {where}") from error
        for name in [*logging.root.manager.loggerDict, "distributed.client"]:  # errors are reported here, in one line
            if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        self._functions, began = dask_worker, time.monotonic()
        start_tracker()
        self._others = own_children()
        # Workers of our own inherit the mask, so that a terminal's Ctrl-C is left to the launcher.
        signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_SIGNALS)
        try:
            with hidden_main_module():
                self._cluster = self._start_cluster(distributed)
                address = self._cluster if self._cluster is not None else self._config.address
                _need_certificate(distributed, self._config.address)
                self._client = distributed.Client(  # type: ignore[no-untyped-call]
                    address, timeout=CONNECT_S, set_as_default=False, name="gennaker", heartbeat_interval="1 s"
                )
        except HostError:
            raise
        except Exception as error:  # Dask's own kinds of failure are many
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"
            problem = f"--cluster: the {self._config.kind} cluster does not start ({why})"
            if self._config.kind == "scheduler":
                problem = f"no scheduler answers at {self._config.address} ({time.monotonic() - began:.0f} s; {why})"
            raise HostError(problem, Exit.DIED) from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP_SIGNALS)
        self._client.subscribe_topic(dask_worker.topic_of(self._run), self._on_event)
        threading.Thread(target=self._watch, daemon=True).start()

    def _start_cluster(self, distributed: Any) -> Any:
        """Start the cluster that the configuration asks for, and return it; None where there is a scheduler already."""
        config, resources = self._config, {"chips": self._chips}
        if config.kind == "local":
            import dask

            from host.cluster.private_cluster import PrivateCluster

            dask.config.set({"temporary-directory": str(self._folder)})  # else locks stay in TMPDIR
            return PrivateCluster(
                n_workers=config.workers, threads_per_worker=1, host="127.0.0.1", resources=resources, memory_limit=0,
                silence_logs=logging.CRITICAL, **config.options,
            )  # fmt: skip
        if config.kind == "ssh":
            options = {"nthreads": 1, "memory_limit": 0, "resources": resources, **config.options.get("worker_options", {})}
            rest = {name: value for name, value in config.options.items() if name != "worker_options"}
            return distributed.SSHCluster(list(config.hosts), worker_options=options, **rest)
        if config.kind == "jobqueue":
            try:
                import dask_jobqueue
            except ModuleNotFoundError as error:
                raise HostError(f"--cluster: this Python lacks {error.name}; pip install dask-jobqueue") from error
            kind = getattr(dask_jobqueue, config.class_name, None)
            if kind is None:
                raise HostError(f"--cluster: dask_jobqueue has no {config.class_name!r}")
            extra = [*config.options.get("worker_extra_args", ()), "--resources", f"chips={self._chips}"]
            cluster = kind(**{**config.options, "worker_extra_args": extra})
            cluster.scale(config.workers)
            return cluster
        return None

    def workers(self) -> list[str]:
        """Return the addresses of the workers that the scheduler has."""
        try:
            return sorted(self._call_within(self._client.nthreads, ASK_S))
        except Late:
            raise HostError(f"the scheduler at {self.address} does not answer for {ASK_S:.0f} s", Exit.DIED) from None
        except Exception as error:
            raise HostError(f"the scheduler at {self.address} is gone ({type(error).__name__})", Exit.DIED) from error

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return str(self._config.address or getattr(self._cluster, "scheduler_address", "") or f"the {self._config.kind} cluster")

    def ask(self, function: str, *arguments: Any, workers: list[str]) -> dict[str, Any]:
        """Run a function of `host/cluster/dask_worker.py` in workers; return the answer or exception of each."""
        call = partial(self._client.run, getattr(self._functions, function), *arguments, workers=workers, on_error="return")
        try:
            answers = self._call_within(call, ASK_S)
        except Late:
            answers = {}
        except Exception as error:
            answers = dict.fromkeys(workers, error)
        return {worker: answers.get(worker, TimeoutError(f"no answer for {ASK_S:.0f} s")) for worker in workers}

    def project_at(self, worker: str) -> str | None:
        """Return where a worker finds the project's package `host` ("nowhere", too); None where it does not answer.

        It asks for nothing that the worker would have to import.
        """
        place = "str(getattr(__import__('importlib.util').util.find_spec('host'), 'origin', None) or 'nowhere')"
        with contextlib.suppress(Exception):
            answer = self._call_within(partial(self._client.run, eval, place, workers=[worker]), ASK_S)[worker]
            return answer if isinstance(answer, str) else None
        return None

    def _call_within(self, function: Callable[[], Any], seconds: float) -> Any:
        return _begin(function).result(seconds)

    def attend(self, worker: str, chips: int, command: dict[str, Any], content: dict[str, bytes]) -> None:
        """Send a worker content and have it run an agent; the worker's resource `chips` is taken until that has ended."""
        blob = pack_status(content)
        key = f"gennaker-content-{hashlib.sha256(blob).hexdigest()}"
        agent = f"{self._run}-{worker}-{time.monotonic_ns()}"

        def go() -> None:
            sent = self._client.scatter({key: blob}, workers=[worker])[key]
            future = self._futures[worker] = self._client.submit(
                self._functions.attend, self._run, agent, pack_status(command), sent, key=f"gennaker-{agent}", workers=[worker],
                allow_other_workers=False, resources={"chips": chips}, pure=False, retries=0,
            )  # fmt: skip
            future.add_done_callback(lambda done: self._on_done(worker, done))

        with self._lock:
            self._heard_at[worker], self._agents[worker] = None, agent
        _begin(go).add_done_callback(lambda done: self._on_sent(worker, agent, done))

    def command(self, worker: str, record: dict[str, Any]) -> None:
        """Send a command to a worker's agent, without waiting."""
        raw, agent = pack_status(record), self._agents.get(worker, "")

        def go() -> None:
            with contextlib.suppress(Exception):  # a worker that cannot be reached falls silent, and is found by that
                self._client.run(self._functions.command, agent, raw, workers=[worker], on_error="return")

        _begin(go)

    def fileno(self) -> int:
        """Return what becomes readable when there are records."""
        return self._reader

    def records(self) -> list[dict[str, Any]]:
        """Return records since the last call: agents' own, with their `machine`, and `gone` for a worker that is lost."""
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self._reader, False)
            os.read(self._reader, 1 << 12)
        return [self._records.popleft() for _ in range(len(self._records))]

    def forget(self, workers: Iterable[str]) -> None:
        """Ignore these workers from now on, and cancel the tasks of their agents."""
        for worker in workers:
            with self._lock:
                self._heard_at.pop(worker, None)
            future = self._futures.pop(worker, None)
            if future is not None:
                with contextlib.suppress(Exception):
                    future.cancel(force=True)

    def close(self) -> None:
        """Leave the cluster, and end it where this client started it; after a time limit, workers of our own are killed."""
        self._closed.set()
        self.forget(list(self._futures))
        getattr(self._cluster, "abandon", lambda: None)()
        for worker in own_children() - self._others:
            if is_stopped(worker.pid):
                worker.kill()  # it would be waited for
        closing = [
            _begin(partial(connection.close, timeout=_RELEASE_S))
            for connection in (self._client, self._cluster)
            if connection is not None
        ]
        wait(closing, _RELEASE_S)
        for worker in own_children() - self._others:
            worker.kill()  # this process waits for each of them when it ends
        wake_tracker()
        with self._lock:
            os.close(self._writer)
            self._writer = -1
        os.close(self._reader)

    def _note(self, record: dict[str, Any]) -> None:
        self._records.append(record)
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._writer >= 0:
                os.write(self._writer, b".")

    def _on_event(self, event: Any) -> None:
        record = unpack_status(event[1])
        with self._lock:
            if record["machine"] not in self._heard_at or record.pop("agent") != self._agents[record["machine"]]:
                return  # of an agent that another has taken the place of
            first = self._heard_at[record["machine"]] is None
            self._heard_at[record["machine"]] = time.monotonic()
        if first:
            self._note({"kind": "attended", "machine": record["machine"]})
        if record["kind"] != "beat":
            self._note(record)

    def _on_sent(self, worker: str, agent: str, done: Any) -> None:
        error = done.exception()
        if error is not None and self._agents[worker] == agent:
            self._note({"kind": "gone", "machine": worker, "why": f"content cannot be sent there ({type(error).__name__})"})

    def _on_done(self, worker: str, future: Any) -> None:
        error = future.exception(timeout=1) if future.status == "error" else None
        if error is not None and self._futures.get(worker) is future:
            self._note({"kind": "gone", "machine": worker, "why": f"{type(error).__name__}: {error}"})

    def _watch(self) -> None:
        """Tell agents that the launcher lives; note workers that the scheduler has lost, or that fell silent."""
        next_alive = 0.0
        while not self._closed.wait(0.5):
            now = time.monotonic()
            with self._lock:
                watched = dict(self._heard_at)
            if not watched:
                continue
            present: Sequence[str] | None = None
            with contextlib.suppress(Exception):
                present = list(self._call_within(self._client.nthreads, GONE_S / 2))
            if present is None and self._client is not None and self._client.status != "running":
                return self._note({"kind": "gone", "machine": "", "why": f"the scheduler at {self.address} is gone"})
            for worker, heard_at in watched.items():
                if present is not None and worker not in present:
                    self._lose(worker, "the scheduler has it no more")
                elif heard_at is not None and now - heard_at > GONE_S:
                    self._lose(worker, f"it has said nothing for {now - heard_at:.0f} s")
            if now >= next_alive:
                next_alive = now + ALIVE_EVERY_S
                for worker in watched:
                    self.command(worker, {"kind": "alive"})
        return None

    def _lose(self, worker: str, why: str) -> None:
        with self._lock:
            is_watched = worker in self._heard_at
            self._heard_at.pop(worker, None)
        if is_watched:
            self._note({"kind": "gone", "machine": worker, "why": why})
