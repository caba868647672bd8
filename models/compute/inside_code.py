"""How numba compiles what only other compiled code calls: into LLVM's language, and no further.

By itself, numba makes machine code of each function, and optimises each again wherever it is called: what is called through four
others goes through LLVM five times. Here all of that waits for a function that has an address (`models/compute/compiling.py`).
"""

from __future__ import annotations

from typing import Any, NoReturn

from numba._dynfunc import make_function
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import require_global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering

from models.compute.kernel_compiler import KernelCompiler, WholeCompiler


class InsideLibrary(JITCodeLibrary):
    """The code of a function, to be linked with its callers', as what it calls itself is."""

    @property
    def libraries(self) -> tuple[Any, ...]:
        """Itself, and those of all that the function calls, however far away."""
        return tuple(dict.fromkeys((self, *self._linking_libraries)))

    def finalize(self) -> None:
        """Finish without linking: what the function calls is linked once, with whoever has an address."""
        require_global_compiler_lock()
        self._raise_if_finalized()
        self._final_module.verify()
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class InsideLowering(NativeLowering):
    """Writes a function in LLVM's language, as numba does, and makes no machine code of it."""

    _name = "inside_lowering"

    def run_pass(self, state: Any) -> bool:
        """Write the function that is being compiled; True, as numba asks: it has changed."""
        state.library = library = InsideLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # Numba knows a function by its entry for Python. This one leads nowhere, and `InsideDispatcher` keeps Python from it.
        entry = make_function(lowered.fndesc.lookup_module(), lowered.fndesc.qualname, "", 0, lowered.env, (library,))
        state.targetctx.insert_user_function(entry, lowered.fndesc, library.libraries)
        state["cr"] = lowered._replace(cfunc=entry)
        return True


class InsideCompiler(KernelCompiler):
    """Compiles a kernel that only compiled code calls."""

    lowering = InsideLowering


class WholeInsideCompiler(WholeCompiler):
    """Compiles such a function of a user's own."""

    lowering = InsideLowering


class InsideDispatcher(CPUDispatcher):
    """Such a function, by its types, as Python sees it."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise TypeError: there is nothing to call."""
        raise TypeError(f"{self.py_func.__qualname__}: only compiled code can call this; `.py_func` is the function in Python")
