"""The first compile: what a run's kernels take where nothing is cached, done by processes of their own, on two cores.

What a compiler leaves in memory would be in every process that is forked from the fork server. So that one forks a process that
compiles, fills the cache and ends; which forks another, and the two take one module after another out of a pipe.
"""

import gc
import json
import os
import signal
import sys
import time
from typing import Any

from host.processes import parent_death
from host.processes.fork_environment import MEMBERS_VARIABLE, OPTIONS_VARIABLE, members_needed
from host.processes.kernel_view import is_stopped
from host.processes.warm_up import load_member, own_members, warm_up
from models.compute.compiler_settings import load_array_types
from models.compute.compiling import (
    cache_is_writable,
    callback_count,
    compile_callbacks,
    mark_cache_complete,
    modules_to_compile,
)
from models.families import user_folders

_LOOK_S = 0.02  # how often the other process that compiles is looked at, once all else is done
_SELDOM = (400_000, 50, 100)  # objects that are new, and rounds of those that stay


def compile_in_another_process() -> dict[str, Any]:
    """Compile in a process that ends: what the compiler leaves in memory would be in every process forked from here. Return why the
    run is refused, which is looked at first; {} where it is not.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        parent_death.die_with_fork_server()
        _collect_seldom()
        try:
            _compile(writing)
        finally:  # an error shows again, with its cause, when the fork server does it itself
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read()
    os.waitpid(pid, 0)
    return dict(json.loads(said)) if said else {}


def _compile(writing: int) -> None:
    """Look whether the run is refused, which is written as JSON; else fill the cache."""
    refusal, job = _prepare()
    if refusal:
        os.write(writing, json.dumps(refusal).encode())
        return
    how_often = "once for this version of the code" if cache_is_writable() else "at each run: the cache cannot be written"
    sys.stderr.write(f"compiling    kernels ({_named()}), {how_often}; this takes five seconds to a minute\n")
    sys.stderr.flush()
    if not user_folders():  # a user's own function may have any product
        load_array_types()
    if cache_is_writable():
        listed = callback_count()
        is_done = _compile_in_two()
        # What the other one has not done, and a user's own members; where all is done, its code need not be loaded here.
        warm_up(begin=listed if is_done else 0)
        mark_cache_complete(members_needed())
        if job is not None:
            from host.run.late_compile import compile_late

            compile_late(job.placement, members_needed())


def _collect_seldom() -> None:
    """Have garbage collected, since a compiler makes much, but seldom: it takes a tenth of the time at Python's own measure."""
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    gc.enable()


def _compile_in_two() -> bool:
    """Compile what modules have declared, in this process and in another one, where there is a core for it: each takes the number
    of the next module out of a pipe. Return whether the other one, too, has done all that it took.
    """
    numbers_pipe, writing = os.pipe()
    modules = modules_to_compile(own_members())
    os.write(writing, bytes(range(len(modules))))
    os.close(writing)
    other_pid = _begin_in_another(modules, numbers_pipe) if len(os.sched_getaffinity(0)) > 1 else 0
    _do_jobs(modules, numbers_pipe)
    return _wait_for(other_pid)


def _begin_in_another(modules: list[str], numbers_pipe: int) -> int:
    """Fork a process that compiles; return its process id, 0 where there is no room for one."""
    first_pid = os.getpid()
    try:
        other_pid = os.fork()
    except OSError:
        return 0
    if not other_pid:
        code = 1
        parent_death.die_with(first_pid)
        try:
            _do_jobs(modules, numbers_pipe)
            code = 0 if cache_is_writable() else 1  # else nobody can read what it has compiled
        finally:  # what it has not compiled, the first one does
            os._exit(code)
    return other_pid


def _do_jobs(modules: list[str], numbers_pipe: int) -> None:
    """Compile one module after another, as long as there are numbers to take."""
    while number := os.read(numbers_pipe, 1):
        module = modules[number[0]]
        compile_callbacks([module])
        if module in own_members():
            before = callback_count()
            load_member(module)
            compile_callbacks(begin=before)


def _wait_for(pid: int) -> bool:
    """Wait for the other one that compiles, if there is one, but not where it stands still; return whether it ended well."""
    while pid:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status == 0
        if is_stopped(pid):
            os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_S)
    return True


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
