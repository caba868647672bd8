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
from models.compute.compiling import cache_is_writable, compile_callbacks, mark_cache_complete, modules_with_callbacks

_LOOK_S = 0.02  # how often the other process that compiles is looked at, once all else is done
_SELDOM = (100_000, 20, 50)  # objects that are new, and rounds of those that stay


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
            refusal, job = _prepare()
            if refusal:
                os.write(writing, json.dumps(refusal).encode())
                os._exit(0)
            how_often = "once for this version of the code" if cache_is_writable() else "at each run: the cache cannot be written"
            sys.stderr.write(f"compiling    kernels ({_named()}), {how_often}; this takes ten seconds to a minute\n")
            sys.stderr.flush()
            if cache_is_writable():
                jobs, numbers, second_pid = _share_work()
                _do_jobs(jobs, numbers)
                _wait_for(second_pid)
                warm_up()  # what the other one has not done, and a user's own members
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


def _collect_seldom() -> None:
    """Have garbage collected, since a compiler makes much, but seldom: it takes a tenth of the time at Python's own measure."""
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    gc.enable()


def _share_work() -> tuple[list[str], int, int]:
    """Return the names of modules that have something to compile, a pipe out of which whoever compiles takes the number of the next
    one, and the process id of another that does so, where there is a core for it; else 0.
    """
    reading, writing = os.pipe()
    jobs = modules_with_callbacks()
    jobs += [module for module in own_members() if module not in jobs]
    os.write(writing, bytes(range(len(jobs))))
    os.close(writing)
    if len(os.sched_getaffinity(0)) < 2:
        return jobs, reading, 0
    first_pid = os.getpid()
    try:
        second_pid = os.fork()
    except OSError:  # no room for one more
        return jobs, reading, 0
    if not second_pid:
        parent_death.die_with(first_pid)
        try:
            _do_jobs(jobs, reading)
        finally:  # what it has not compiled, the first one does
            os._exit(0)
    return jobs, reading, second_pid


def _do_jobs(modules: list[str], numbers: int) -> None:
    """Compile one module after another, as long as there are numbers to take."""
    while number := os.read(numbers, 1):
        module = modules[number[0]]
        compile_callbacks([module])
        if module in own_members():
            load_member(module)


def _wait_for(pid: int) -> None:
    """Wait for the other one that compiles, if there is one, but not where it stands still."""
    while pid and os.waitpid(pid, os.WNOHANG) == (0, 0):
        if is_stopped(pid):
            os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_S)


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
