"""The PE server: forks the PEs of a run one behind the other, and does next to nothing between two forks.

Processes that are forked share memory until one of them writes to it: then a page is copied. What the fork server writes between
two forks (it receives descriptors, and unpickles what to run) is copied for each process, and so is what each process does
before it gets to its own work. So this process, forked once a run, does ahead what all PEs would do alike, connects them to
their routers, and forks (docs/performance.md has what that gains).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import time
from array import array
from typing import Any, NamedTuple

from host.options import transport_named
from host.processes.child_main import code_of_lack, prepare_process
from host.processes.fork_environment import raise_descriptor_limit
from host.processes.heap_gaps import fill_heap_gaps
from host.processes.parent_death import die_with_fork_server, note_fork_server, set_process_name
from host.processes.scheduling import let_others_finish
from host.processes.warm_up import members, own_members
from noc.serve import IDLE_S, post, serve

NUMBER_BYTES = 8  # of what the launcher reads: a process id for each PE, or an error number as a negative one
_SAID_TOGETHER = 64  # numbers: to say each by itself is to write to memory between two forks
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1 << 14  # malloc.h
_REHEARSALS, _LEAST_PES = 10, 16  # Python adapts code that was called eight times to what it met; it does not pay for fewer PEs
_LONGEST_S = 0.5
_BAD_IDLE_S = 0.01  # without any message, where links lose on purpose, before a PE asks for what may have been lost


class PeCall(NamedTuple):
    """A PE that is to run: its name, its router's, where that one listens, and what it shows there; `slow_s`: it waits before each
    message.
    """

    name: str
    router: str
    address: str
    identity: bytes
    slow_s: float = 0.0


class PeCalls(NamedTuple):
    """PEs that are to run. `scheme`: the transport's name; `queue`: messages that may wait; `has_bad_link`: some will be lost on
    purpose; `samples`: loads (`noc/packet.py`) of some, to rehearse with.
    """

    scheme: str
    queue: int
    has_bad_link: bool
    calls: tuple[PeCall, ...]
    samples: tuple[bytes, ...] = ()


def run_pe_server(pipe: Any) -> None:
    """Hear in `pipe` which PEs to run (`PeCalls`), fork them, and say in it which process each is, or why the system refused one.
    Then wait until the pipe is closed: as long as this process is there, the kernel keeps how each PE has ended.
    """
    prepare_process("PE server")
    let_others_finish()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    note_fork_server()  # PEs die with this process, as it does with the fork server
    with contextlib.suppress(EOFError, OSError):  # who asks is gone, or done
        pes: PeCalls = pipe.recv()
        try:
            run = _PeRun(pes)
        except Exception as error:
            os._exit(_code_of(error, "PE server"))
        run.rehearse()
        run.begin_rooms()
        _flush()
        gc.collect()
        fill_heap_gaps()
        _fork_all(run, pipe.fileno())
        run.release()
        pipe.recv_bytes()
    with contextlib.suppress(ChildProcessError):  # who has no parent, others would have to ask for
        while True:
            os.wait()


def _fork_all(run: _PeRun, descriptor: int) -> None:
    """Fork all PEs, and write the number of each process; instead of one that the system refuses, why, as a negative number."""
    # Python's own fork has modules write into their locks and random numbers, before and behind, here and in each child.
    library = ctypes.PyDLL(None)
    fork, error_number = library.fork, library.__errno_location
    error_number.restype = ctypes.POINTER(ctypes.c_int)
    numbers, begin = array("q", bytes(NUMBER_BYTES * len(run.pes.calls))), 0
    for index in range(len(numbers)):
        pid = fork()
        if pid == 0:
            os.close(descriptor)
            run.run_and_leave(index)
        numbers[index] = pid if pid > 0 else -error_number()[0]
        if index + 1 - begin == _SAID_TOGETHER or pid < 0:
            os.write(descriptor, numbers[begin : index + 1])
            begin = index + 1
        if pid < 0:
            return
    os.write(descriptor, numbers[begin:])


def run_pe(pes: PeCalls) -> None:
    """Run one PE, the only one of `pes`, in a process of its own, where there is no PE server."""
    prepare_process(pes.calls[0].name)
    let_others_finish()
    try:
        run = _PeRun(pes)
    except Exception as error:
        os._exit(_code_of(error, pes.calls[0].name))
    run.run_and_leave(0)


class _PeRun:
    """All that PEs need before they are processes of their own. Unreachable where a router is not reached."""

    def __init__(self, pes: PeCalls) -> None:
        from pe.core import Pe
        from pe.link import PeLink
        from pe.socket_loop import SocketLoop

        # What is wrong with the kernel cache, the host says. A level would be set on every logger, and their pages copied.
        logging.getLogger("gennaker").disabled = True
        # A tick makes no reference cycles, and a collection would touch, and so copy, pages that are shared.
        gc.disable()
        # Shards come in large messages that are used once: their memory goes back to the system when it is freed.
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        raise_descriptor_limit()
        self._new_pe, self._new_link, self._loop, self.pes = Pe, PeLink, SocketLoop, pes
        self._way = transport_named(pes.scheme)
        ahead = getattr(self._way, "connect_ahead", None)
        self._transports = [self._connected(call, ahead) for call in pes.calls if ahead]
        self._first, self._last = 0, 0
        if self._transports:
            self._first, self._last = self._transports[0].descriptor, self._transports[-1].descriptor
        # A PE with its link, not named yet, for those of each router.
        lingers = pes.has_bad_link
        self._links = {call.router: PeLink(Pe("", call.router), call.router, lingers=lingers) for call in pes.calls}

    def _connected(self, call: PeCall, connect: Any) -> Any:
        return connect(call.name, call.address, self.pes.queue, peer=call.router, identity=call.identity)

    def release(self) -> None:
        """Give up all connections: other processes have them."""
        for transport in self._transports:
            transport.release()

    def rehearse(self) -> None:
        """Run PEs that nobody hears of, from their loads to their ends. Where Python has looked up a name once, it does not write
        down again what it found; and code that only this network calls is loaded here, not in each PE.

        Not for a few PEs, nor with a user's own members: what they do belongs into their PE's process. What is wrong with a load,
        its PE says.
        """
        samples = self.pes.samples if hasattr(self._way, "scripted_pe") and len(self.pes.calls) >= _LEAST_PES else ()
        late = time.monotonic() + _LONGEST_S
        for load in samples * _REHEARSALS if own_members() == members() else ():
            if time.monotonic() > late:
                return
            with contextlib.suppress(Exception):
                self._rehearse(load)

    def _rehearse(self, load: bytes) -> None:
        from noc.link_counts import LinkCounts
        from noc.link_end import LinkEnd
        from noc.packet import Read, Start, Stop

        name, router = "PE(0,0,0)@0", "router@0"
        letters = LinkEnd([name], LinkCounts()).outgoing([((name,), one) for one in (load, Start(), Read(0), Stop())])
        transport, _other_end = self._way.scripted_pe(name, peer=router, messages=[raw for _, raw in letters])
        self._serve(self._new_link(self._new_pe(name, router), router), transport, 0.0)

    def begin_rooms(self) -> None:
        """Have PEs begin with pages that are empty here: what they put there is new to each, and nothing is copied."""
        from models.compute.working_room import begin_chunk

        begin_chunk()

    def run_and_leave(self, index: int) -> None:
        """Run a PE in this process until it is stopped, and end the process."""
        code = 1
        try:
            self._run(index)
            code = 0
        except Exception as error:
            code = _code_of(error, self.pes.calls[index].name)
        finally:
            _flush()
            os._exit(code)

    def _run(self, index: int) -> None:
        die_with_fork_server()
        call = self.pes.calls[index]
        set_process_name(call.name)
        if self._transports:
            transport = self._transports[index]
            os.closerange(self._first, transport.descriptor)  # those of the other PEs
            os.closerange(transport.descriptor + 1, self._last + 1)
        else:
            transport = self._connected(call, getattr(self._way, "connect_pe", self._way.connect))
        link = self._links[call.router]
        link.pe.name = call.name
        self._serve(link, transport, call.slow_s)

    def _serve(self, link: Any, transport: Any, slow_s: float) -> None:
        idle_s = _BAD_IDLE_S if self.pes.has_bad_link else IDLE_S
        post(transport, link.boot())
        if slow_s:
            serve(link, transport, lambda _: time.sleep(slow_s), idle_s=idle_s)
        elif hasattr(transport, "send_framed"):  # asking for the whole protocol would take longer than all else here
            serve(link, transport, fast_path=self._loop(link.pe, transport, link, idle_s), idle_s=idle_s)
        else:
            serve(link, transport, idle_s=idle_s)
        transport.close()


def _code_of(error: Exception, name: str) -> int:
    """Return the exit code of a process that had this error; a bug is shown first."""
    code = code_of_lack(error)
    if code is None:
        sys.stderr.write(f"Process {name}:\n")
        sys.excepthook(type(error), error, error.__traceback__)
    return 1 if code is None else code


def _flush() -> None:
    """Write what was printed and not yet written: this process ends without that, and each child would write it once more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
