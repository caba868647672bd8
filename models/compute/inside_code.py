"""How numba compiles what only other compiled code calls: into LLVM's language, and no further.

By itself, numba makes machine code of each function, and optimises each again wherever it is called: what is called through four
others goes through LLVM five times. Here all of that waits for a function that has an address (`models/compute/compiling.py`).
"""

from __future__ import annotations

from typing import Any, NoReturn

from numba._dynfunc import make_function
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import require_global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering


class InsideLibrary(JITCodeLibrary):
    """The code of a function, with that of what it calls, to be linked with its callers'."""

    def finalize(self) -> None:
        """Put the code of what the function calls beside its own."""
        require_global_compiler_lock()
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
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
        state.targetctx.insert_user_function(entry, lowered.fndesc, [library])
        state["cr"] = lowered._replace(cfunc=entry)
        return True


class InsideCompiler(CompilerBase):
    """The passes that such a function goes through."""

    def define_pipelines(self) -> list[Any]:
        """Return numba's own passes, but for how the function is written at the end."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(InsideLowering if step is NativeLowering else step, about) for step, about in passes.passes]
        passes.finalize()
        return [passes]


class InsideDispatcher(CPUDispatcher):
    """Such a function, by its types, as Python sees it."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise TypeError: there is nothing to call."""
        raise TypeError(f"{self.py_func.__qualname__}: only compiled code can call this; `.py_func` is the function in Python")
