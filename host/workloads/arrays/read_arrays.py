"""Arrays from files: .npy, .npz, .csv, .safetensors and NIR data, for networks with one input or several, sequences of any lengths.

A file holds for each input an array (time, units), (sequences, time, units), or one array a sequence under its number
(`name.0`, `name.1` ..., or `arr_0`, `arr_1` ... as `numpy.savez` calls them). `lengths` (sequences,) beside an array of sequences
says how much of each counts. An input's array is called as the input is; that of a network with one input may be called anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.errors import HostError, need_file
from host.workloads.arrays.expected_input import ExpectedInput, check_inputs
from models.foreign.nir_data import read_data
from models.input_file import HEAD_BYTES, MOST_TEXT_BYTES, InputError, is_safetensors, is_zip, read_text_input
from models.network import F32, Array, ModelError, in_one_line

FEATURES = "features"  # as the one tensor of a file for a network with one input is called
LENGTHS = "lengths"
NIR_DATA = ".nir"
SUFFIXES = (".npy", ".npz", ".csv", ".safetensors", NIR_DATA)
_NPY = b"\x93NUMPY"
_NUMBERED = re.compile(r"(.+)[._](\d+)")


def save_features(path: Path, features: F32) -> None:
    """Write (sequences, frames, units) float32 to a safetensors file, for a network with one input."""
    path.write_bytes(save_tensors({FEATURES: np.ascontiguousarray(features, np.float32)}))


def read_inputs(path: Path, expected: Sequence[ExpectedInput], who: str) -> dict[str, list[Array]]:
    """Return for each input one (time, units) array a sequence, of the type that it sends.

    HostError, one line that begins with `who`, where the file is missing, damaged or of another kind, and as `check_inputs`.
    """
    need_file(path, who)
    kind = path.suffix or _kind_of(path)
    if kind not in SUFFIXES:
        raise HostError(f"{who}: needs a name that ends in {', '.join(SUFFIXES)}")
    if kind in (".npy", ".csv") and len(expected) > 1:
        names = ", ".join(one.name for one in expected)
        raise HostError(
            f"{who}: this network has {len(expected)} inputs; needs a .npz or .safetensors with an array for each: {names}"
        )
    try:
        arrays = _read(path, kind, expected[0].name)
    except (HostError, ModelError):
        raise
    except InputError as error:
        raise HostError(f"{who}: {error}") from error
    except Exception as error:  # the libraries' own, and a stranger's bytes: exceptions of several kinds
        raise HostError(f"{who}: cannot be read ({in_one_line(error)})") from error
    inputs = [one.name for one in expected]
    if kind == NIR_DATA and not arrays.keys().isdisjoint(inputs):  # a recording has other nodes, too
        arrays = {name: array for name, array in arrays.items() if name in inputs}
    return check_inputs(who, expected, _sequences(who, arrays, inputs))


def _kind_of(path: Path) -> str:
    """Return the suffix that a file without one, as what comes through a pipe, should have by its first bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if is_safetensors(head):
        return ".safetensors"
    return ".npy" if head.startswith(_NPY) else ".npz" if is_zip(head) else ".csv"


def _read(path: Path, kind: str, name: str) -> dict[str, Array]:
    """Return the arrays of a file by name; `name` for that of a file that has one without a name."""
    if kind == ".csv":
        return {name: _table(read_text_input(path, MOST_TEXT_BYTES))}
    if kind == NIR_DATA:
        return read_data(path)
    if kind == ".safetensors":
        with safe_open(path, "numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    loaded = np.load(path)
    if isinstance(loaded, np.ndarray):
        if kind != ".npy":
            raise InputError("is a .npy by what it holds; rename it")
        return {name: loaded}
    with loaded as archive:
        if kind != ".npz":
            raise InputError("is a .npz by what it holds; rename it")
        return {key: archive[key] for key in archive.files}


def _table(text: str) -> Array:
    """Return the numbers of a table, (rows, columns) float32, without a first line of names; InputError where there are none."""
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if lines and not any(_is_number(cell) for cell in lines[0].split(",")):
        del lines[0]
    rows = [line.split(",") for line in lines]
    if not rows:
        raise InputError("has no row of numbers")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(f"row {number} has {len(row)} columns, the first has {len(rows[0])}")
        if wrong := [cell.strip() for cell in row if not _is_number(cell)]:
            raise InputError(f"row {number} has {wrong[0][:20]!r}, which is no number; columns have commas between")
    return np.array([[np.float32(cell) for cell in row] for row in rows], np.float32)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _sequences(who: str, arrays: Mapping[str, Array], names: Sequence[str]) -> dict[str, list[Array]]:
    """Return the sequences of each input."""
    rest = {key: array for key, array in arrays.items() if key != LENGTHS}
    by_name: dict[str, dict[int, Array]] = {}
    whole: dict[str, list[Array]] = {}
    for key, array in rest.items():
        numbered = _NUMBERED.fullmatch(key)
        if numbered and key not in names:
            by_name.setdefault(numbered[1], {})[int(numbered[2])] = array
        else:
            whole[key] = _split(who, key, array, arrays.get(LENGTHS))
    for name, parts in by_name.items():
        if name in whole or sorted(parts) != list(range(len(parts))):
            need = f"{name}.0 to {name}.{len(parts) - 1}"
            raise HostError(
                f"{who}: sequences of {name} need to be {need}, has {', '.join(f'{name}.{n}' for n in sorted(parts))[:80]}"
            )
        ordered = [parts[number] for number in range(len(parts))]
        whole[name] = ordered if len(ordered) > 1 else _split(who, name, ordered[0], arrays.get(LENGTHS))
    if len(names) == len(whole) == 1:
        return {names[0]: next(iter(whole.values()))}
    return whole


def _split(who: str, name: str, array: Array, lengths: Array | None) -> list[Array]:
    """Return the sequences of an array, (time, units) or (sequences, time, units)."""
    if array.ndim != 3:
        return [array]
    if lengths is None:
        return list(array)
    if lengths.shape != array.shape[:1] or lengths.dtype.kind not in "iu":
        have = f"{lengths.shape} of {lengths.dtype}"
        raise HostError(f"{who}: {LENGTHS} needs a whole number for each of the {len(array)} sequences of {name}, has {have}")
    if len(lengths) and not (int(lengths.min()) >= 1 and int(lengths.max()) <= array.shape[1]):
        raise HostError(f"{who}: {LENGTHS} needs numbers from 1 to {array.shape[1]}, has {lengths.min()} to {lengths.max()}")
    return [one[: int(length)] for one, length in zip(array, lengths, strict=True)]
