"""The fork server: loads modules and compiled kernels once, so that every process forked from it starts with them.

`multiprocessing` imports this file in the fork server and nowhere else (`set_forkserver_preload`), so the import does the
work: `main` runs at its end.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any

from host.processes import parent_death
from host.processes.fork_environment import (
    MEMBERS_VARIABLE,
    OPTIONS_VARIABLE,
    PRELOAD_VARIABLE,
    code_for_lack,
    is_hang_up,
    members_needed,
)
from host.processes.heap_gaps import fill_heap_gaps
from host.processes.kernel_view import is_stopped
from models.network import ModelError

_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
_ROUTERS = frozenset({"pe.column_calls", "pe.bundle_calls", "pe.router_loop"})  # what a router alone runs: about half of it all
_LOOK_S = 0.02  # how often the process that compiles it is looked at, once all else is done


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
    from models.compute.compiling import cache_is_complete, cache_is_writable, compiled_now

    is_cached = cache_is_complete(members_needed())
    if not is_cached and (refusal := _compile_in_another_process()):
        return refusal, 0.0
    if not cache_is_writable():
        gc.enable()  # the compiler runs here
    _warm()
    return {}, 0.0 if is_cached and not compiled_now() else time.perf_counter() - begin


def _compile_in_another_process() -> dict[str, Any]:
    """Compile in a process that ends: what the compiler leaves in memory would be in every process forked from here. Return why the
    run is refused, which is looked at first; {} where it is not.
    """
    from models.compute.compiling import cache_is_writable, mark_cache_complete

    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        parent_death.die_with_fork_server()
        gc.enable()  # a compiler makes much that nobody needs
        try:
            refusal, job = _prepare()
            if refusal:
                os.write(writing, json.dumps(refusal).encode())
                os._exit(0)
            how_often = "once for this version of the code" if cache_is_writable() else "at each run: the cache cannot be written"
            sys.stderr.write(f"compiling    kernels ({_named()}), {how_often}; this takes ten seconds to a minute\n")
            sys.stderr.flush()
            if cache_is_writable():
                _warm_side_by_side()
                mark_cache_complete(members_needed())
                if job is not None:
                    from host.run.late_compile import compile_late

                    compile_late(job.placement, members_needed())
        finally:  # an error shows again, with its cause, when the fork server does it itself
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read()
    os.waitpid(pid, 0)
    return dict(json.loads(said)) if said else {}


def _warm_side_by_side() -> None:
    """Compile what a router alone runs in a second process, where there is a core for it, and the rest meanwhile."""
    if len(os.sched_getaffinity(0)) < 2:
        return _warm()
    import pe.router_loop  # noqa: F401 - declares what is compiled
    from models.compute.compiling import compile_callbacks

    first_pid = os.getpid()
    try:
        router_pid = os.fork()
    except OSError:  # no room for one more
        return _warm()
    if not router_pid:
        parent_death.die_with(first_pid)
        try:
            compile_callbacks(_ROUTERS)
        finally:  # what it has not compiled, the first one does
            os._exit(0)
    _warm(but=_ROUTERS)
    while os.waitpid(router_pid, os.WNOHANG) == (0, 0):
        if is_stopped(router_pid):
            os.kill(router_pid, signal.SIGKILL)
        time.sleep(_LOOK_S)
    return _warm()


def _prepare() -> tuple[dict[str, Any], Any]:
    """Return why the run is refused, and its exit code, {} where it is not; and its job, None where that is not known."""
    if not (options := os.environ.get(OPTIONS_VARIABLE)):
        return {}, None
    shown, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        from host.run.prepared import REFUSALS, code_of, prepared

        try:
            return {}, prepared(json.loads(options))
        except REFUSALS as error:
            return {"problem": str(error), "code": int(code_of(error))}, None
    except Exception:  # a bug, or a lack of memory, which shows in the host
        return {}, None
    finally:
        os.dup2(shown, 2)


def _named() -> str:
    """Return what is compiled of a run, in a few words."""
    members = os.environ.get(MEMBERS_VARIABLE, "").split(",")
    return ", ".join(["a PE's tick", *(name.rpartition(".")[2] for name in members if name.startswith("models."))])


def _warm(but: Collection[str] = ()) -> None:
    """Compile, or load from the cache, a PE's tick, the kernels and the format of the run, and the heads of its workload; but no
    callbacks of the modules in `but`.

    ModelError where the compiler fails and a user's settings may be why.
    """
    from models.compute.compiler_settings import explain

    try:
        _load_all(but)
    except Exception as error:
        problem = explain(error)
        if problem is None or code_for_lack(error) is not None:
            raise
        raise problem from error


def _load_all(but: Collection[str]) -> None:
    import pe.router_loop
    import pe.socket_loop  # noqa: F401 - compiles a PE's tick
    from models.compute import exponentials  # noqa: F401 - the reference's
    from models.compute.compiling import compile_callbacks
    from models.compute.late_variants import load_noted

    for module in filter(None, os.environ.get(MEMBERS_VARIABLE, "").split(",")):
        _load_member(module)
    if preload := os.environ.get(PRELOAD_VARIABLE):
        _load_module(preload)
    with _left_to_who_needs_it():
        load_noted(members_needed())
    compile_callbacks(but=but)


def _load_member(module: str) -> None:
    from models.families import member

    package, _, name = module.rpartition(".")
    with _left_to_who_needs_it():
        loaded = member(package, name, "member")
        if hasattr(loaded, "TRANSFERS"):
            importlib.import_module("pe.exchange")
        getattr(loaded, "warm", lambda: None)()  # compiles what would be compiled at its first call


def _load_module(module: str) -> None:
    with _left_to_who_needs_it():
        importlib.import_module(module)


@contextlib.contextmanager
def _left_to_who_needs_it() -> Iterator[None]:
    """Leave what is wrong with a module to whoever needs it, but for a lack of memory or processes."""
    try:
        yield
    except Exception as error:
        if code_for_lack(error) is not None:
            raise


main()
