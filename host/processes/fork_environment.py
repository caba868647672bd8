"""What the fork server and its children inherit: import path, no main module, no OpenBLAS threads, a limit on open files.

And the exit codes by which they say what they lacked, instead of a traceback.
"""

import contextlib
import errno
import os
import resource
import sys
import traceback
import types
from collections.abc import Iterator
from types import TracebackType

PRELOAD_VARIABLE = "GENNAKER_PRELOAD"  # names the module that the fork server imports for its children, beside what all of them run
MEMBERS_VARIABLE = "GENNAKER_MEMBERS"  # the neuron models and weight formats that it loads for them, separated by commas
OPTIONS_VARIABLE = "GENNAKER_OPTIONS"  # of the run, as JSON; what is refused needs nothing compiled

NO_TASK, NO_MEMORY, NO_ROUTER = 71, 72, 73  # exit codes; what a system's limits, or another's death, do to a process is no bug
LACKS = {
    NO_TASK: "no process or thread could be started: raise ulimit -u, or the container's pids limit",
    NO_MEMORY: "no memory was left: raise ulimit -v, or the container's limit",
    NO_ROUTER: "its router does not answer",
}


def members_needed() -> str:
    """Return what the fork server of this process's run loads for its children, as one name for the kind of run."""
    return f"{os.environ.get(PRELOAD_VARIABLE, '')} {os.environ.get(MEMBERS_VARIABLE, '')}"


def code_for_lack(error: BaseException) -> int | None:
    """Return the exit code for an error that means that a process got no memory, or no task; None for any other."""
    number = error.errno if isinstance(error, OSError) else 0
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return NO_MEMORY
    return NO_TASK if number == errno.EAGAIN else None


def is_hang_up(error: BaseException, trace: TracebackType | None) -> bool:
    """Tell whether `multiprocessing` read no end of what the launcher sends: pipes to the fork server, work to a new process."""
    if trace is None or type(error).__name__ not in ("EOFError", "UnpicklingError"):
        return False
    return traceback.extract_tb(trace)[-1].filename.endswith(("multiprocessing/spawn.py", "multiprocessing/reduction.py"))


@contextlib.contextmanager
def hidden_main_module() -> Iterator[None]:
    """Hide the caller's main module: every child would import it again, and needs none of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def fork_server_environment() -> Iterator[None]:
    """Let the fork server import from where this process does: it ignores `sys_path`, and would look into the current folder.

    It keeps OpenBLAS from starting threads: numpy brings them, no PE has use for them, and each fork would end and restart them.
    """
    import_path = os.pathsep.join(entry for entry in sys.path if entry)
    variables = {"PYTHONSAFEPATH": "1", "PYTHONPATH": import_path, "OPENBLAS_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def raise_descriptor_limit() -> None:
    """Raise this process's limit on open files as far as it goes: libzmq ends a process that has none left for a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def reserve_descriptors(pes: int) -> str | None:
    """Raise this process's limit on open files as far as it goes; return what is wrong where that is too low."""
    need = 4 * pes + 100  # a sentinel and a pipe a process, and as much again while it starts
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(need, hard), hard))
    if hard < need:
        return f"open files: {pes} PEs need {need} descriptors, the limit is {hard}; raise it with ulimit -n"
    return None
