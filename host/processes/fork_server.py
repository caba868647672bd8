"""The fork server: loads modules and compiled kernels once, so that every process forked from it starts with them.

`multiprocessing` imports this file in the fork server and nowhere else (`set_forkserver_preload`), so the import does the
work: `main` runs at its end.
"""

import host.processes.names_together  # noqa: F401 - before anything is loaded that has such a name

# isort: split
import gc
import os
import signal
import sys
import time
from types import TracebackType
from typing import Any

from host.processes import parent_death
from host.processes.fork_environment import code_for_lack, is_hang_up, members_needed
from host.processes.heap_gaps import fill_heap_gaps
from models.network import ModelError

_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def main() -> None:
    """Get ready to fork: leave signals to the launcher, load and compile kernels, and settle the memory that children share."""
    _leave_signals_to_the_launcher()  # 1. before anything takes long
    gc.disable()  # what is loaded stays: looking for what nobody needs would take a tenth of the time
    sys.excepthook = _leave_with_what_lacks
    parent_death.note_fork_server()  # 2. children die with this process
    from host.processes import child_main

    try:
        refusal, compile_s = _load_kernels()  # 3. the slow part
    except ModelError as error:  # the host process says it, in place of a run
        return child_main.refuse(str(error))
    if refusal:
        return child_main.refuse(**refusal)
    child_main.load(compile_s)  # 4. what children run, beside kernels
    gc.collect()  # 5. last: nothing that is allocated later is shared cheaply
    sys._clear_type_cache()  # a child's look-ups would let go of the names of earlier ones, which lie all over memory
    fill_heap_gaps()
    gc.freeze()  # a collection in a child would touch, and so copy, every page of what was made here
    gc.enable()
    return None


def _leave_with_what_lacks(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Leave without a traceback for what is no bug: with an exit code that the launcher puts into words, where the system has no
    memory or no process to give; with any, where the launcher died before it had sent what it began to send.
    """
    code = code_for_lack(error)
    if code is None and is_hang_up(error, trace):
        code = 1
    if code is not None:
        os._exit(code)
    sys.__excepthook__(kind, error, trace)


def _leave_signals_to_the_launcher() -> None:
    """Ignore what a terminal or a service manager sends to the whole group: the launcher takes it and ends the run in order."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # the launcher held them back until this point
    if parent_death.LAUNCHER_VARIABLE in os.environ:
        launcher_pid, folder = (os.environ[name] for name in (parent_death.LAUNCHER_VARIABLE, parent_death.FOLDER_VARIABLE))
        parent_death.die_and_remove(int(launcher_pid), folder)


def _load_kernels() -> tuple[dict[str, Any], float]:
    """Load what is compiled and will be needed. Return why the run is refused, in which case nothing is loaded, or {}; and the
    seconds that it took to compile, 0 where the cache had it all.
    """
    begin = time.perf_counter()
    from host.processes.first_compile import compile_in_another_process
    from host.processes.warm_up import import_all, warm_up
    from models.compute.compiling import cache_is_complete, cache_is_writable, compiled_now

    is_cached = cache_is_complete(members_needed())
    if not is_cached:
        import_all()  # who compiles needs it as well
        if refusal := compile_in_another_process():
            return refusal, 0.0
    if not cache_is_writable():
        gc.enable()  # the compiler runs here
    warm_up()
    return {}, 0.0 if is_cached and not compiled_now() else time.perf_counter() - begin


main()
