"""The part of numba's compiler that kernels need: passes for what no kernel of ours has are left out.

A kernel is loops over arrays. It makes no function, no list and no `with`, and adds no array to another as a whole, which is
what a third of numba's passes look for. A user's own functions may do all that, and go through all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import NativeLowering

from models.compute.type_memo import TypeMemo

UNUSED = frozenset(
    {
        "WithLifting", "InlineClosureLikes", "RewriteDynamicRaises", "MakeFunctionToJitFunction", "InlineInlinables",
        "FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass", "NopythonRewrites", "DumpParforDiagnostics",
    }
)  # fmt: skip
"""Passes that kernels do without, by numba's names."""


class WholeCompiler(CompilerBase):
    """All of numba's passes, but for how a function is written at the end."""

    unused: ClassVar[frozenset[str]] = frozenset()
    lowering: ClassVar[type] = NativeLowering

    _steps: ClassVar[dict[Any, list[Any]]] = {}  # by class, and what numba's passes go by

    def define_pipelines(self) -> list[Any]:
        """Return numba's own passes, those that are of use."""
        flags = self.state.flags
        key = type(self), self.state.func_ir is None, flags.no_rewrites, flags.enable_ssa, flags.auto_parallel.enabled
        if key not in self._steps:
            steps = DefaultPassBuilder.define_nopython_pipeline(self.state).passes
            used = [(step, about) for step, about in steps if step.__name__ not in self.unused]
            self._steps[key] = [(self.lowering if step is NativeLowering else step, about) for step, about in used]
        passes = PassManager(type(self).__name__)
        passes.passes = self._steps[key]
        passes.finalize()
        return [passes]


class KernelCompiler(WholeCompiler):
    """The passes that a kernel needs."""

    unused = UNUSED

    def __init__(self, typingctx: Any, *others: Any) -> None:
        super().__init__(TypeMemo(typingctx), *others)  # type: ignore[no-untyped-call]  # numba's
