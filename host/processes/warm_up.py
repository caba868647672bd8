"""What the fork server loads ahead, so that no process forked from it need do it: a PE's tick, and the members that a run has."""

import contextlib
import importlib
import os
from collections.abc import Iterator

from host.processes.fork_environment import MEMBERS_VARIABLE, PRELOAD_VARIABLE, code_for_lack, members_needed


def members() -> list[str]:
    """Return the modules of the neuron models, formats and more that the run has."""
    return [*filter(None, os.environ.get(MEMBERS_VARIABLE, "").split(","))]


def own_members() -> list[str]:
    """Return those of them that are the project's."""
    from models.compute.kernel_cache import ROOT

    return [module for module in members() if (ROOT / module.replace(".", "/")).with_suffix(".py").exists()]


def import_all() -> None:
    """Import what is compiled."""
    with _explained():
        import pe.router_loop
        import pe.socket_loop  # noqa: F401 - a PE's tick
        from models.compute import exponentials  # noqa: F401 - the reference's
    for module in own_members():  # a user's own is compiled as it is imported
        _load_module(module)


def warm_up(*, begin: int = 0) -> None:
    """Compile, or load from the cache, a PE's tick, the kernels and the format of the run, and the heads of its workload; but not
    the functions that were declared before number `begin`, whose code another process has put into the cache.

    ModelError where the compiler fails and a user's settings may be why.
    """
    from models.compute.compiling import compile_callbacks
    from models.compute.late_variants import load_noted

    import_all()
    with _explained():
        for module in members():
            load_member(module)
        if preload := os.environ.get(PRELOAD_VARIABLE):
            _load_module(preload)
        with _left_to_who_needs_it():
            load_noted(members_needed())
        compile_callbacks(begin=begin)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise ModelError in place of an error of the compiler that a user's settings may be the cause of."""
    from models.compute.compiler_settings import explain

    try:
        yield
    except Exception as error:
        problem = explain(error)
        if problem is None or code_for_lack(error) is not None:
            raise
        raise problem from error


def load_member(module: str) -> None:
    """Load a member, and what it says is to be compiled ahead (`warm`), which would be at its first call."""
    from models.families import member

    package, _, name = module.rpartition(".")
    with _left_to_who_needs_it():
        loaded = member(package, name, "member")
        if hasattr(loaded, "TRANSFERS"):
            importlib.import_module("pe.exchange")
        getattr(loaded, "warm", lambda: None)()


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
