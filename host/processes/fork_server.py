"""What the fork server loads once, so that every process forked from it starts with it: the modules, and the compiled
kernels.

Imported only inside the fork server. It ignores the signals that a terminal or a service manager sends to a whole group:
the launcher alone takes them, and ends the run in order. Objects made here are frozen out of garbage collection:
touching them would give every process its own copy of the pages.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import time

from host.processes.parent_death import FOLDER_VARIABLE, LAUNCHER_VARIABLE, die_and_remove, die_with

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(
    signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
)  # the launcher held them back until this point
if LAUNCHER_VARIABLE in os.environ:
    die_and_remove(int(os.environ[LAUNCHER_VARIABLE]), os.environ[FOLDER_VARIABLE])
SERVER_PID = os.getpid()
_begin = time.perf_counter()

from models.compute.compiling import cache_is_complete, compiled_now, mark_cache_complete  # noqa: E402 - the signal mask comes first


def _load() -> None:
    import pe.socket_loop  # noqa: F401 - compiles a PE's tick
    from models import formats, kernels
    from models.compute import exponentials  # noqa: F401 - the reference's
    from models.heads import gesture, language

    for name in formats.names():
        formats.named(name)
    for name in kernels.names():
        kernels.named(name)
    language.warm()
    gesture.warm()


def _compile_apart() -> None:
    """Compile in a process that ends: what the compiler leaves in memory would be in every process forked from here."""
    pid = os.fork()
    if not pid:
        die_with(SERVER_PID)
        try:
            _load()
            mark_cache_complete()
        finally:  # an error shows again, with its cause, when this process does it itself
            os._exit(0)
    os.waitpid(pid, 0)


_apart = not cache_is_complete()
if _apart:
    _compile_apart()
_load()
COMPILE_S = time.perf_counter() - _begin if _apart or compiled_now() else 0.0

import host.processes.child_main  # noqa: E402 - what the children run
import host.run.host_process  # noqa: E402, F401

gc.collect()
# What a child allocates goes first into gaps that are left all over the memory it shares with this process, and each gap
# costs it a page of its own; so the gaps are filled here: those of Python's objects, and those of malloc, the large ones first.
FILLING = [bytes(size) for size in range(1, 480, 16) for _ in range(1000)]
_malloc = ctypes.CDLL(None).malloc
_malloc.restype = ctypes.c_void_p
for _size in (1 << 15, 1 << 14, 1 << 13, 1 << 12, *range(2040, 0, -16)):
    for _ in range(16):
        _malloc(ctypes.c_size_t(_size))
gc.freeze()
