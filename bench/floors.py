"""What waking every process once a tick costs at least on this machine, without any work.

Processes take turns as a run's do (`host/processes/scheduling.py`). Two kinds of wake-up: one byte through a pipe (the operating
system's floor), and one message through a DEALER and a ROUTER with the run's own message sizes (ZeroMQ's floor). The kernels' share
of both floors is in `bench/kernels.py`. Not modelled here: that a PE's caches are cold at each wake-up.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import zmq

from host.processes.scheduling import let_others_finish

_WARM_UP = 5  # ticks before the clock starts


@contextlib.contextmanager
def _taking_turns() -> Iterator[None]:
    """Have this process, and those that it forks meanwhile, take turns as a run's router and PEs do."""
    policy = os.sched_getscheduler(0)
    let_others_finish()
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))


def _pipe_child(read: Any, write: Any) -> None:
    while os.read(read.fileno(), 1) == b"t":
        os.write(write.fileno(), b"d")


@_taking_turns()
def pipe_s(processes: int, ticks: int) -> float:
    """Return seconds a tick of waking `processes` processes once each through a pipe."""
    context = multiprocessing.get_context("fork")
    back_read, back_write = context.Pipe(duplex=False)
    pipes, children = [], []
    for _ in range(processes):
        read, write = context.Pipe(duplex=False)
        child = context.Process(target=_pipe_child, args=(read, back_write), daemon=True)
        child.start()
        pipes.append(write.fileno())
        children.append((child, read, write))
    done = 0
    for tick in range(ticks + _WARM_UP):
        if tick == _WARM_UP:
            began, done = time.perf_counter(), 0
        for pipe in pipes:
            os.write(pipe, b"t")
        waiting = processes
        while waiting:
            waiting -= len(os.read(back_read.fileno(), waiting))
        done += processes
    elapsed = time.perf_counter() - began
    assert done == processes * ticks
    for pipe in pipes:
        os.write(pipe, b"q")
    for child, *_ in children:
        child.join(5)
    return elapsed / ticks


def _echo_child(address: str, name: bytes, reply_bytes: int) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, name)
    socket.connect(address)
    reply = bytes(reply_bytes)
    socket.send(reply)
    while socket.recv():
        socket.send(reply)
    context.destroy(linger=0)


@_taking_turns()
def zmq_s(sizes: Sequence[tuple[int, int]], ticks: int) -> float:
    """Return seconds a tick of one message to and one from each process, without any work.

    Args:
        sizes: for each process the bytes of the message it is sent and of the one it answers with.
        ticks: how many ticks to measure.

    """
    address = f"ipc://@gennaker-bench-{secrets.token_hex(8)}"
    context = multiprocessing.get_context("fork")
    names = [f"p{n}".encode() for n in range(len(sizes))]
    replies = {name: back for name, (_, back) in zip(names, sizes, strict=True)}
    children = [context.Process(target=_echo_child, args=(address, *item), daemon=True) for item in replies.items()]
    for child in children:  # before this process has a ZeroMQ context, which does not survive a fork
        child.start()
    own = zmq.Context()
    router = own.socket(zmq.ROUTER)
    router.setsockopt(zmq.BACKLOG, 4096)
    router.bind(address)

    def collect() -> None:
        for _ in names:
            sender = router.recv()
            assert len(router.recv()) == replies[sender]

    collect()
    messages = [(name, bytes(out)) for name, (out, _) in zip(names, sizes, strict=True)]
    for tick in range(ticks + _WARM_UP):
        if tick == _WARM_UP:
            began = time.perf_counter()
        for name, message in messages:
            router.send(name, zmq.SNDMORE)
            router.send(message)
        collect()
    elapsed = time.perf_counter() - began
    for name in names:
        router.send(name, zmq.SNDMORE)
        router.send(b"")
    for child in children:
        child.join(5)
    own.destroy(linger=0)
    return elapsed / ticks
