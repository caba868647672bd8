"""What only compiled code calls becomes machine code with its callers, once each; Python is kept from it."""

from __future__ import annotations

import llvmlite.binding as llvm
import numba
import pytest
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.serialize import loads

from models.compute.compiling import always_inlined, compiled, compiled_callback, inlined
from models.compute.kernel_cache import KernelFolder, _without_bitcode

_SIGNATURE = types.int64(types.int64, types.int64)


@inlined
def _double(a):
    return a + a


@inlined
def _twice_double(a):
    return _double(_double(a))


@always_inlined
def _third(values, at):
    return values[at + 2]


def test_it_answers_as_python_does_through_whoever_calls_it():
    @compiled
    def five_times(a):
        return _twice_double(a) + a

    @compiled
    def sum_of(values):
        total = 0.0
        for at in range(len(values) - 2):
            total += _double(_third(values, at))
        return total

    assert [five_times(7), five_times(7.5)] == [35, 37.5]
    assert sum_of((1.0, 2.0, 3.0, 4.5)) == 15


def _texts_of(library):
    return [one.name for one in library._final_module.global_variables if not one.is_declaration and '"' in one.name]


def test_machine_code_is_made_of_the_caller_alone(monkeypatch):
    names = []
    before = JITCodeLibrary._finalize_specific

    def note(self):
        names.append(self.name)
        return before(self)

    monkeypatch.setattr(JITCodeLibrary, "_finalize_specific", note)

    @inlined
    def inner(a):
        return a * a

    @inlined
    def middle(a):
        return inner(a) + 1

    def outer(a, b):
        return middle(a) - inner(b)

    callback = numba.cfunc(_SIGNATURE)(outer)
    assert [name.rpartition(".")[2] for name in names] == ["outer"]
    assert callback.ctypes(5, 3) == 17


def test_python_cannot_call_it_also_once_it_is_compiled():
    @inlined
    def half(a):
        return a / 2

    @compiled
    def quarter(a):
        return half(a) / 2

    for _ in range(2):
        with pytest.raises(TypeError, match=r"half: only compiled code can call this; `\.py_func` is the function in Python$"):
            half(1.0)
        assert quarter(1.0) == 0.25
    assert half.signatures
    assert half.py_func(1.0) == 0.5


def test_what_it_says_and_raises_arrives_in_the_process_that_compiles(capfd):
    @inlined
    def said(a):
        print('it is "that", 100 \\ sure:', a)  # noqa: T201 - what a function may do
        if a > 8:
            raise ValueError("too much")
        return a

    @compiled
    def called(a):
        return said(a) + 1

    assert called(7) == 8
    with pytest.raises(ValueError, match="too much"):
        called(9)
    (code,) = called.overloads.values()
    _, _, (_, names) = _without_bitcode(*code._reduce()[0])  # whatever the texts are in it
    assert {one.name for one in llvm.parse_bitcode(names).global_variables} >= {*_texts_of(code.library)}
    assert capfd.readouterr().out.splitlines() == ['it is "that", 100 \\ sure: 7', 'it is "that", 100 \\ sure: 9']


def test_what_is_called_by_its_address_is_kept_as_machine_code_and_names(tmp_path, monkeypatch):
    """The half that others would be linked with is memory of each process that loads it; the answer is the same without."""
    folder = KernelFolder("kernels-1")
    folder._folders = [tmp_path]
    monkeypatch.setattr("models.compute.compiling._folder", folder)

    def difference(a, b):
        return _twice_double(a) - b

    assert compiled_callback(difference, _SIGNATURE).ctypes(5, 3) == 17
    (file,) = tmp_path.iterdir()
    (_, kind, (machine_code, names)), *_ = loads(folder.read(file.name))
    assert kind == "object"
    assert machine_code.startswith(b"\x7fELF")
    functions = [one for one in llvm.parse_bitcode(names).functions if not one.is_declaration]
    assert functions
    assert all([one.opcode for block in function.blocks for one in block.instructions] == ["unreachable"] for function in functions)
    again = compiled_callback(difference, _SIGNATURE)
    assert (again.ctypes(5, 3), again.cache_hits) == (17, 1)
