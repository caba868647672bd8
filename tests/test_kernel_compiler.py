"""Kernels go through the part of numba's compiler that they need, a user's own through all of it; types come out the same."""

from __future__ import annotations

import ast
import importlib
import operator
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numba
import numpy as np
import pytest
from numba import types
from numba.core.compiler import DefaultPassBuilder, Flags
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.core.typing.typeof import typeof
from numba.extending import intrinsic

from models.compute import compiling
from models.compute.compiling import compiled, inlined
from models.compute.inside_code import InsideCompiler, WholeInsideCompiler
from models.compute.kernel_compiler import UNUSED, KernelCompiler, WholeCompiler
from models.compute.type_memo import TypeMemo

ROOT = Path(__file__).resolve().parents[1]
_OPERATORS = [operator.add, operator.sub, operator.truediv, operator.rshift, operator.xor, operator.lt]
_OPERANDS = [
    types.int64, types.uint8, types.float32, types.float64, types.bool_, types.literal(3), types.literal(7), types.none,
    types.UniTuple(types.int64, 2), types.Array(types.float32, 1, "C"),
]  # fmt: skip


@pytest.fixture
def kernels(monkeypatch):
    """Has functions of a test go through what the project's go through."""
    monkeypatch.setattr(compiling, "_is_kernel", lambda _: True)


@pytest.fixture
def context():
    """Numba's own context of types."""
    context = cpu_target.typing_context
    context.refresh()
    return context


@pytest.mark.parametrize("function", _OPERATORS, ids=lambda function: function.__name__)
def test_an_operation_has_the_type_that_numba_says_also_when_it_is_asked_again(function, context):
    memo, called = TypeMemo(context), context.resolve_value_type(function)

    def said(asked, operands):
        try:
            return asked.resolve_function_type(called, operands, {})
        except NumbaError as error:
            return type(error)

    for operands in product(_OPERANDS, repeat=2):
        first, again, numbas = said(memo, operands), said(memo, operands), said(context, operands)
        assert first == again == numbas, operands


@intrinsic(prefer_literal=True)
def _repeated(typing, count):
    return types.UniTuple(types.int64, count.literal_value)(count), lambda *_: None


def test_what_goes_by_a_number_that_is_written_out_has_the_type_of_that_number(context):
    memo, called = TypeMemo(context), context.resolve_value_type(_repeated)
    counts = [memo.resolve_function_type(called, (types.literal(number),), {}).return_type.count for number in (2, 3, 2)]
    assert counts == [2, 3, 2]


def test_an_attribute_has_the_type_that_numba_says_also_when_it_is_asked_again(context):
    memo = TypeMemo(context)
    owners = [*_OPERANDS, typeof(np.zeros(2, [("size", np.int64), ("shape", np.float32)])[0]), types.Module(np)]
    for owner, name in product(owners, ["size", "shape"]):
        assert memo.resolve_getattr(owner, name) == memo.resolve_getattr(owner, name) == context.resolve_getattr(owner, name)


def test_what_a_module_has_is_what_it_has_now():
    kernel = numba.njit(pipeline_class=KernelCompiler)  # without the cache, which goes by sources alone
    module, answers = ModuleType("numbers"), []
    for number in (2, 2.5):
        module.NUMBER, module.added = number, kernel(lambda a, more=number: a + more)
        answers.append(kernel(lambda a: module.added(a) * module.NUMBER)(1))
    assert answers == [6, 8.75]


@pytest.mark.usefixtures("kernels")
def test_a_function_is_compiled_once_for_all_numbers_that_its_callers_write_out():
    @inlined
    def shifted(a, by):
        return a << by

    @compiled
    def shifted_five_times(a, by):
        return shifted(a, 1) + shifted(a, 2) + shifted(a, 3) + shifted(a, by) + shifted(a, by=5)

    assert shifted_five_times(1, 4) == 2 + 4 + 8 + 16 + 32
    assert shifted.signatures == [(types.int64, types.int64)]


@pytest.mark.parametrize(
    ("package", "inside", "called"),
    [("models/formats", InsideCompiler, KernelCompiler), ("tests", WholeInsideCompiler, WholeCompiler)],
)
def test_whose_a_function_is_decides_what_it_goes_through(package, inside, called):
    names = {}
    exec(compile("def difference(a, b):\n    return a - b", str(ROOT / package / "of_a_test.py"), "exec"), names)
    assert inlined(names["difference"])._compiler.pipeline_class is inside
    assert compiling._compiler_of(names["difference"]) is called


def test_a_user_s_own_function_may_be_of_what_no_kernel_has():
    """Functions within, lists, arrays added as a whole."""

    @inlined
    def squares(a):
        return [b * b for b in range(a)]

    @compiled
    def sums(a, rows):
        def with_it(b):
            return b + a

        return sum(squares(a)) + with_it(1), rows + rows * 2

    total, rows = sums(4, np.arange(3.0))
    assert total == 0 + 1 + 4 + 9 + 5
    np.testing.assert_array_equal(rows, [0, 3, 6])


def test_what_is_left_out_are_passes_of_numbas():
    passes = DefaultPassBuilder.define_nopython_pipeline(SimpleNamespace(func_ir=None, flags=Flags())).passes
    assert {step.__name__ for step, _ in passes} >= UNUSED


_DECORATORS = {"compiled", "inlined", "always_inlined", "call", "bindable", "bindable_late", "bindable_where_usual"}
_OF_NO_KERNEL = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp, ast.With, ast.Raise)


def _kernels():
    """Yield the place and the code of each function that the project compiles."""
    for path in (path for package in compiling._PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                decorators = {getattr(getattr(one, "func", one), "id", "") for one in node.decorator_list}
                if decorators & _DECORATORS:
                    yield f"{path.name}:{node.lineno} {node.name}", node


def test_no_kernel_has_what_the_passes_look_for_that_are_left_out():
    kernels = dict(_kernels())
    assert len(kernels) > 150
    for place, kernel in kernels.items():
        parts = [part for statement in kernel.body for part in ast.walk(statement)]
        assert not [ast.unparse(part) for part in parts if isinstance(part, _OF_NO_KERNEL)], place


_DECLARED = """
import os
from host.processes.warm_up import import_all, load_member, own_members
from models.compute import compiling
import_all()
for module in own_members():
    load_member(module)
__import__(os.environ["GENNAKER_PRELOAD"])
print(*sorted({one._pyfunc.__module__ for one in compiling._callbacks if one._pyfunc.__module__.startswith("models.")}))
"""


@pytest.mark.parametrize(
    ("workload", "members"),
    [
        ("lm", ["formats.csr", "heads.language", "kernels.egru"]),
        ("dvs", ["formats.dense", "heads.gesture", "kernels.egru"]),
    ],
)
def test_a_run_compiles_its_own_members_and_no_others(workload, members):
    """A module that declares another's code as it is imported would have each first run compile that, too."""
    environment = {**os.environ, "GENNAKER_MEMBERS": ",".join(f"models.{member}" for member in members)}
    environment["GENNAKER_PRELOAD"] = importlib.import_module(f"host.workloads.{workload}.prepare").__name__
    command = [sys.executable, "-c", _DECLARED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    declared = {module for module in done.stdout.split() if not module.startswith("models.compute.")}
    assert declared == {f"models.{member}" for member in members if not member.startswith("heads.")}  # which Python calls


_IMPORTED = """
import sys
from host.processes.warm_up import import_all
from models.compute import compiling
import_all()
print(compiling.compiled_now(), "numba.np.arraymath" in sys.modules)
from models.compute.bound_calls import nothing
assert nothing() == 0
print(compiling.compiled_now())
"""


def test_who_only_imports_compiles_nothing(tmp_path):
    """What the compiler loads and leaves would be in each process forked from that one."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", _IMPORTED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False", "1"]


_ARRAYS = """
import sys
from models.compute.compiler_settings import load_array_types
load_array_types()
print("numba.np.arraymath" in sys.modules, "scipy.linalg" in sys.modules)
import scipy.linalg
print("scipy.linalg.cython_blas" in sys.modules)
"""


def test_array_types_are_loaded_without_scipy_which_can_be_loaded_then():
    pytest.importorskip("scipy")
    done = subprocess.run([sys.executable, "-c", _ARRAYS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["True", "False"]
