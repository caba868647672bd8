"""What the launcher has a Dask worker do: say what it is and whether it has room, take in content, and attend an agent.

These functions run in the worker's process; only names and plain values reach them. An agent (`host/cluster/agent.py`) is a process
under the worker. It is ended where the launcher has not been heard for `LEASE_S`, and it dies with the worker. What an
agent says goes to the launcher as events of the run's topic.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import queue
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed import get_worker, secede
from distributed.worker import Worker

from host.cluster.agent import LEASE_S
from host.cluster.capacity import available, lacking, needed
from host.cluster.framing import Records, framed
from host.processes.process_group import interface_addresses
from host.provenance import ROOT, content_sha256
from host.run.content_store import Store
from noc.wire import pack_status, unpack_status

BEAT_S = 0.5
_LEAVE_S = 3.0
_PIECE_BYTES = 1 << 16
_commands: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}  # of each run that is attended here


def describe(dask_worker: Worker) -> dict[str, Any]:
    """Return what the launcher must know of a worker before it places chips there."""
    return {
        "version": content_sha256(),
        "name": str(dask_worker.name),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "chips": int(dask_worker.state.total_resources.get("chips", 0)),
        "address": dask_worker.address,
    }


def check(run: str, pes: int, routers: int, stored_bytes: int, where: Mapping[str, Any], dask_worker: Worker) -> dict[str, Any]:
    """Return {"problem": None or one line, "interface": the address that routers of `run` are to listen on}."""
    try:
        interface = _interface(dask_worker.address, where)
    except ValueError as error:
        return {"problem": str(error), "interface": ""}
    return {"problem": lacking(needed(pes, routers, stored_bytes), available()), "interface": interface, "run": run}


def missing(sha256s: list[str], dask_worker: Worker) -> list[str]:
    """Return which contents this worker does not keep yet."""
    return _store(dask_worker).missing(sha256s)


def command(run: str, raw: bytes) -> bool:
    """Hand a command to the run's agent, or only show that the launcher is there; False where there is no agent."""
    to = _commands.get(run)
    if to is None:
        return False
    to.put(unpack_status(raw))
    return True


def attend(run: str, raw: bytes, content: bytes) -> int:
    """Keep `content` (packed, bytes by SHA-256), run an agent with the chips that `raw` (a packed command) names, and return its
    exit code when it has ended.
    """
    worker = get_worker()
    secede()  # type: ignore[no-untyped-call]  # other tasks may use the worker's threads; the chips stay taken
    store = _store(worker)
    topic = topic_of(run)

    def say(record: dict[str, Any]) -> None:
        worker.log_event(topic, pack_status({"machine": worker.address, **record}))

    try:
        for sha256, load in unpack_status(content).items():
            if store.add(load) != sha256:
                raise ValueError(f"content {sha256[:12]}... arrived damaged")
        chips = unpack_status(raw)
        return _attend(run, {**chips, "store": str(_folder(worker))}, say)
    finally:
        store.trim()


def topic_of(run: str) -> str:
    """Return the name under which the agents of a run are heard."""
    return f"gennaker-{run}"


def _attend(run: str, chips: dict[str, Any], say: Any) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    agent = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "host.cluster.agent", str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment, start_new_session=True,
    )  # fmt: skip
    assert agent.stdin is not None
    assert agent.stdout is not None
    to: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    _commands[run] = to
    heard = [time.monotonic()]
    threading.Thread(target=_write, args=(to, agent.stdin, heard), daemon=True).start()
    to.put({"kind": "chips", **chips})
    records, selector, next_beat, kill_at = Records(), selectors.DefaultSelector(), 0.0, float("inf")
    selector.register(agent.stdout, selectors.EVENT_READ)
    try:
        while True:
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + BEAT_S
                say({"kind": "beat"})
            if now - heard[0] > LEASE_S:
                to.put({"kind": "end"})  # the launcher is gone, or cannot be heard
                heard[0], kill_at = now, now + _LEAVE_S
            if now > kill_at:
                agent.kill()
            if selector.select(BEAT_S / 2):
                piece = os.read(agent.stdout.fileno(), _PIECE_BYTES)
                if not piece:
                    break
                for record in records.feed(piece):
                    say(record)
        code = agent.wait(_LEAVE_S)
    except subprocess.TimeoutExpired:
        code = -9
    finally:
        del _commands[run]
        to.put(None)
        selector.close()
        agent.kill()
        agent.wait()
        agent.stdout.close()
    say({"kind": "left", "code": code})
    return code


def _write(to: queue.SimpleQueue[dict[str, Any] | None], stdin: Any, heard: list[float]) -> None:
    """Hand commands on, in a thread of their own: an agent that does not read must not hold up the worker."""
    with contextlib.suppress(OSError), stdin:
        while (record := to.get()) is not None:
            heard[0] = time.monotonic()
            stdin.write(framed(record))
            stdin.flush()


def _folder(worker: Worker) -> Path:
    return Path(worker.local_directory) / "gennaker"


def _store(worker: Worker) -> Store:
    return Store(_folder(worker))


def _interface(worker_address: str, where: Mapping[str, Any]) -> str:
    """Return the address to listen on; ValueError where there is none, or where it is public and nobody asked for that."""
    asked = where["interface"] or worker_address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    here = interface_addresses()
    every = [address for addresses in here.values() for address in addresses]
    if asked in here:
        found = here[asked]
    elif "/" in asked:
        network = ipaddress.ip_network(asked, strict=False)
        found = [address for address in every if ipaddress.ip_address(address) in network]
    else:
        found = [address for address in every if ipaddress.ip_address(address) == ipaddress.ip_address(asked)]
    if not found:
        raise ValueError(f"interface {asked}: this machine has {', '.join(every)}")
    address = ipaddress.ip_address(found[0])
    if not (where["public"] or address.is_private or address.is_loopback or address.is_link_local):
        raise ValueError(f"{address} is a public address; name another interface, or allow it with transport.public = true")
    return str(address)
