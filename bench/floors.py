"""What a tick costs at least on this machine: the same kernels back to back, and bare wake-ups of as many processes.

Two kinds of wake-up: one byte through a pipe (the operating system's floor), and one message through a DEALER and a ROUTER with the
run's own message sizes and no work (ZeroMQ's floor). Not modelled here: that a PE's caches are cold at each wake-up.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import time
from typing import Any

import numpy as np
import zmq

from host.place import Placement
from host.shard import cut
from noc.packet import Load, Section, Start
from pe.core import Pe
from pe.layout import FIFO_EVENTS


def kernels_s(placement: Placement, bundles: list[dict[int, Section]]) -> float:
    """Return seconds of kernel time per position: every shard hears and steps what it did in the run, one after another.

    Args:
        placement: the mapping of the run.
        bundles: for each position the valid section of each population, input included.

    """
    pes = []
    for placed in placement.pes:
        pe = Pe(placed.name, "router@0")
        pe.boot()
        shards = [shard.to_parts() for shard in cut(placement.network, placement.request, placed.share)]
        pe.handle("router@0", Load(shards, placement.copies(placed), dict(vars(placement.request.size))))
        pe.handle("router@0", Start())
        pes.append(pe)
    residents = [(resident, pe._fifo[0], pe._fifo[1]) for pe in pes for resident in pe._residents]
    chunks = [
        {number: _chunks(section) for number, section in sections.items()}  # cut beforehand: the run's messages are no kernel work
        for sections in bundles
    ]
    events = 0
    began = time.perf_counter()
    for heard in chunks:
        for resident, fifo_keys, fifo_values in residents:
            for source, name in resident.sources.items():
                port = resident.ports[name]
                port.clear()
                for keys, values in heard[source]:
                    fifo_keys[: len(keys)], fifo_values[: len(keys)] = keys, values
                    port.receive(fifo_keys, fifo_values, len(keys))
            for product in resident.products:
                product()
            events += resident.stepper.step()
    elapsed = time.perf_counter() - began
    assert events > 0
    return elapsed / len(bundles)


def _chunks(section: Section) -> list[tuple[Any, Any]]:
    keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, "<f4")
    return [(keys[i : i + FIFO_EVENTS], values[i : i + FIFO_EVENTS]) for i in range(0, len(keys), FIFO_EVENTS)]


def _pipe_child(read: Any, write: Any) -> None:
    while os.read(read.fileno(), 1) == b"t":
        os.write(write.fileno(), b"d")


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
    for tick in range(ticks + 5):
        if tick == 5:
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


def zmq_s(processes: int, ticks: int, bundle_bytes: int, batch_bytes: int) -> float:
    """Return seconds a tick of one message to and one from each of `processes` processes, without any work."""
    address = f"ipc://@gennaker-bench-{secrets.token_hex(8)}"
    context = multiprocessing.get_context("fork")
    names = [f"p{n}".encode() for n in range(processes)]
    children = [context.Process(target=_echo_child, args=(address, name, batch_bytes), daemon=True) for name in names]
    for child in children:  # before this process has a ZeroMQ context, which does not survive a fork
        child.start()
    own = zmq.Context()
    router = own.socket(zmq.ROUTER)
    router.setsockopt(zmq.BACKLOG, 4096)
    router.bind(address)

    def collect() -> None:
        for _ in range(processes):
            router.recv()
            assert len(router.recv()) == batch_bytes

    collect()
    bundle = bytes(bundle_bytes)
    for tick in range(ticks + 5):
        if tick == 5:
            began = time.perf_counter()
        for name in names:
            router.send(name, zmq.SNDMORE)
            router.send(bundle)
        collect()
    elapsed = time.perf_counter() - began
    for name in names:
        router.send(name, zmq.SNDMORE)
        router.send(b"")
    for child in children:
        child.join(5)
    own.destroy(linger=0)
    return elapsed / ticks


def sections_of(placement: Placement, positions: int) -> list[dict[int, Section]]:
    """Return random input and layer events at the run's usual activity, for `kernels_s`."""
    from noc.packet import FRESH, RESET, VALID

    rng = np.random.default_rng(0)
    out = []
    for position in range(positions):
        sections = {}
        for number, population in enumerate(placement.network.populations):
            active = population.units if number == 0 else int(0.17 * population.units)
            keys = np.sort(rng.permutation(population.units)[:active]).astype("<u4")
            values = rng.random(active).astype("<f4") * np.float32(0.3)
            flags = VALID | RESET | FRESH if position == 0 else VALID
            sections[number] = Section(number, flags, position, keys.tobytes(), values.tobytes(), b"")
        out.append(sections)
    return out
