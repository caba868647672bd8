"""Functions that run in Dask's workers for the launcher: describe the worker, check its room, store content, run an agent.

Only names and plain values reach them. An agent (`host/cluster/agent.py`) is a process under the worker; it dies with the
worker, and is ended where the launcher has sent nothing for `LEASE_S`. Its records go to the launcher as events of the
run's topic.
"""

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
from host.cluster.capacity import describe_shortage, resources_available, resources_needed
from host.cluster.framing import RecordReader, frame_record
from host.processes.kernel_view import StandstillClock, is_stopped
from host.processes.machine_state import interface_addresses
from host.provenance import ROOT, content_sha256
from host.run.content_store import ContentStore
from models.families import VARIABLE, user_folders
from noc.wire import pack_status, unpack_status

BEAT_S = 0.5
_LEAVE_S = 3.0
_PIECE_BYTES = 1 << 16
_ends: dict[str, float] = {}  # by agent: when it is killed, once it was told to end
_commands: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}  # by agent: what it is to be told


def describe(dask_worker: Worker) -> dict[str, Any]:
    """Return what the launcher must know of a worker before it places chips there."""
    return {
        "version": content_sha256(),
        "name": str(dask_worker.name),
        "host": socket.gethostname(),
        "chips": int(dask_worker.state.total_resources.get("chips", 0)),
    }


def check(pes: int, routers: int, stored_bytes: int, where: Mapping[str, Any], dask_worker: Worker) -> dict[str, Any]:
    """Return {"problem": None or one line, "interface": the address that routers are to listen on}."""
    try:
        interface = _interface(dask_worker.address, where)
    except ValueError as error:
        return {"problem": str(error), "interface": ""}
    problem = describe_shortage(resources_needed(pes, routers, stored_bytes), resources_available())
    return {"problem": problem, "interface": interface}


def missing(sha256s: list[str], dask_worker: Worker) -> list[str]:
    """Return which contents this worker does not keep yet."""
    return ContentStore(_content_folder(dask_worker)).missing(sha256s)


def command(agent: str, raw: bytes) -> bool:
    """Hand a command to the agent of this name; False where there is none. Any command shows that the launcher lives."""
    commands = _commands.get(agent)
    if commands is None:
        return False
    record = unpack_status(raw)
    if record["kind"] == "end":
        _ends[agent] = time.monotonic() + record.get("patience_s", 0.0) + _LEAVE_S
    commands.put(record)
    return True


def attend(run: str, agent: str, raw: bytes, content: bytes) -> int:
    """Keep `content` (packed, bytes by SHA-256), run an agent on `raw` (its packed command), and return its exit code.

    `agent` is its name: an agent that takes the place of another in a run must not be taken for that one.
    """
    worker = get_worker()
    secede()  # type: ignore[no-untyped-call]  # other tasks may use the worker's threads; the chips stay taken
    folder = _content_folder(worker)
    store = ContentStore(folder)
    topic = topic_of(run)

    def say(record: dict[str, Any]) -> None:
        worker.log_event(topic, pack_status({"machine": worker.address, "agent": agent, **record}))

    try:
        for sha256, load in unpack_status(content).items():
            if store.add(load) != sha256:
                raise ValueError(f"content {sha256[:12]}... arrived damaged")
        return _attend(agent, {**unpack_status(raw), "store": str(folder)}, say)
    finally:
        store.trim()


def topic_of(run: str) -> str:
    """Return the name under which the agents of a run are heard."""
    return f"gennaker-{run}"


def _attend(name: str, chips: dict[str, Any], say: Any) -> int:
    folders = os.pathsep.join(map(str, user_folders()))  # absolute: the agent begins in another folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", VARIABLE: folders}
    agent = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "host.cluster.agent", str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment, start_new_session=True,
    )  # fmt: skip
    assert agent.stdin is not None
    assert agent.stdout is not None
    commands: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    _commands[name] = commands
    commanded_at = [time.monotonic()]  # when the launcher was last heard; `_write` sets it
    threading.Thread(target=_write, args=(commands, agent.stdin, commanded_at), daemon=True).start()
    commands.put({"kind": "chips", **chips})
    records, selector, next_beat, kill_at = RecordReader(), selectors.DefaultSelector(), 0.0, float("inf")
    standstill, is_killed = StandstillClock(), False
    selector.register(agent.stdout, selectors.EVENT_READ)
    try:
        while True:
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + BEAT_S
                say({"kind": "beat"})
            if now - commanded_at[0] > LEASE_S:
                commands.put({"kind": "end"})  # the launcher is gone, or cannot be heard
                commanded_at[0], kill_at = now, now + _LEAVE_S
            stopped_s = standstill.look(is_stopped(agent.pid))
            if stopped_s > chips["stall_s"] and not is_killed:
                say({"kind": "gone", "why": f"its agent is stopped, for {stopped_s:.0f} s", "code": 0})
                kill_at = now
            if now >= min(kill_at, _ends.get(name, kill_at)):
                is_killed = True
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
        _ends.pop(name, None)
        del _commands[name]
        commands.put(None)
        selector.close()
        agent.kill()
        agent.wait()
        agent.stdout.close()
    say({"kind": "left", "code": code})
    return code


def _write(commands: queue.SimpleQueue[dict[str, Any] | None], stdin: Any, commanded_at: list[float]) -> None:
    """Write commands to an agent, in a thread of its own: an agent that does not read must not hold up the worker."""
    with contextlib.suppress(OSError), stdin:
        while (record := commands.get()) is not None:
            commanded_at[0] = time.monotonic()
            stdin.write(frame_record(record))
            stdin.flush()


def _content_folder(worker: Worker) -> Path:
    return Path(worker.local_directory) / "gennaker"


def _interface(worker_address: str, where: Mapping[str, Any]) -> str:
    """Return the address to listen on; ValueError where there is none, or where it is public and nobody asked for that."""
    name = where["interface"] or worker_address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    by_device = interface_addresses()
    addresses = [address for of_device in by_device.values() for address in of_device]
    if name in by_device:
        matches = by_device[name]
    elif "/" in name:
        network = ipaddress.ip_network(name, strict=False)
        matches = [address for address in addresses if ipaddress.ip_address(address) in network]
    else:
        matches = [address for address in addresses if ipaddress.ip_address(address) == ipaddress.ip_address(name)]
    if not matches:
        raise ValueError(f"interface {name}: this machine has {', '.join(addresses)}")
    address = ipaddress.ip_address(matches[0])
    if not (where["public"] or address.is_private or address.is_loopback or address.is_link_local):
        raise ValueError(f"{address} is a public address; name another interface, or allow it with transport.public = true")
    return str(address)
