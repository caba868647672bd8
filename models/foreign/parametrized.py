"""Weights that a state_dict holds as the parts they are computed from: weight norm and spectral norm, as torch leaves them.

- weight norm, w = g v / |v|: `weight_g` and `weight_v`, or `parametrizations.weight.original0` and `.original1`. The length |v| is
  taken over those dimensions in which g has one element.
- spectral norm as it is after training, w = v / (a . v b): `weight_orig`, `weight_u`, `weight_v`, or
  `parametrizations.weight.original`, `.0._u`, `.0._v`; v is seen as a matrix with the rows that a has elements.

The value is computed in float64 and rounded once, where torch computes in float32. Any other parametrization is refused by its
key when somebody asks for the weight: how its value is computed is in the program, not in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from models.network import F32, F64, Array, ModelError

REMEDY = "torch.nn.utils.parametrize.remove_parametrizations(MODULE, NAME) before saving helps"
WEIGHT_NORM, SPECTRAL_NORM, UNKNOWN = "weight norm", "spectral norm", "unknown"
_NEW = re.compile(r"(?P<module>(?:.+\.)?)parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)")
_OLD = re.compile(r"(?P<whole>(?:.+\.)?(?:weight|kernel|recurrent_kernel)[^.]*)_(?P<part>orig|g|v|u)")
_KINDS = {
    frozenset({"original0", "original1"}): (WEIGHT_NORM, ("original0", "original1")),
    frozenset({"original", "0._u", "0._v"}): (SPECTRAL_NORM, ("original", "0._u", "0._v")),
    frozenset({"g", "v"}): (WEIGHT_NORM, ("g", "v")),
    frozenset({"orig", "u", "v"}): (SPECTRAL_NORM, ("orig", "u", "v")),
}


class Recipe(NamedTuple):
    """How a weight is computed: the kind of parametrization, and the keys of its parts, in the order that `value_of` takes them."""

    kind: str
    keys: tuple[str, ...]


def recipes(keys: Iterable[str]) -> dict[str, Recipe]:
    """Return for each weight that is parametrized, by its plain key, how it is computed."""
    groups: dict[str, dict[str, str]] = {}
    old: dict[str, dict[str, str]] = {}
    plain = set()
    for key in keys:
        if match := _NEW.fullmatch(key):
            groups.setdefault(match["module"] + match["name"], {})[match["part"]] = key
        elif match := _OLD.fullmatch(key):
            old.setdefault(match["whole"], {})[match["part"]] = key
        else:
            plain.add(key)
    groups |= {whole: parts for whole, parts in old.items() if frozenset(parts) in _KINDS and whole not in plain}
    return {whole: _recipe(parts) for whole, parts in groups.items()}


def _recipe(parts: Mapping[str, str]) -> Recipe:
    kind, order = _KINDS.get(frozenset(parts), (UNKNOWN, tuple(parts)))
    return Recipe(kind, tuple(parts[part] for part in order))


def shape_of(recipe: Recipe, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of the weight: that of its direction, or of the weight before spectral norm; of the largest part else."""
    if recipe.kind == WEIGHT_NORM:
        return shapes[recipe.keys[1]]
    if recipe.kind == SPECTRAL_NORM:
        return shapes[recipe.keys[0]]
    return max((shapes[key] for key in recipe.keys), key=math.prod)


def value_of(who: str, recipe: Recipe, read: Callable[[str], Array]) -> F32:
    """Return the weight; `read` gives a part. ModelError, beginning with `who`, where its value cannot be computed."""
    first = recipe.keys[0]
    if recipe.kind == UNKNOWN:
        raise ModelError(f"{who}: {first}: weights are parametrized in a way that is not known here; {REMEDY}")
    parts = [np.asarray(read(key), np.float64) for key in recipe.keys]
    with np.errstate(all="ignore"):  # what becomes infinite or NaN is refused by who asked for the weight
        value = _weight_norm(who, first, *parts) if recipe.kind == WEIGHT_NORM else _spectral_norm(who, first, *parts)
        return value.astype(np.float32)


def _weight_norm(who: str, key: str, length: F64, direction: F64) -> F64:
    fits = length.ndim in (0, direction.ndim) and all(n in (1, m) for n, m in zip(length.shape, direction.shape, strict=False))
    if not fits:
        have = f"{length.shape} for {direction.shape}"
        raise ModelError(f"{who}: {key}: weight norm needs lengths along one dimension of the weight, has {have}; {REMEDY}")
    axes = tuple(range(direction.ndim)) if length.ndim == 0 else tuple(n for n, size in enumerate(length.shape) if size == 1)
    scaled: F64 = direction * (length / np.sqrt(np.sum(direction**2, axis=axes, keepdims=True)))
    return scaled


def _spectral_norm(who: str, key: str, weight: F64, left: F64, right: F64) -> F64:
    for axis in range(weight.ndim):
        matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        if left.shape == matrix.shape[:1] and right.shape == matrix.shape[1:]:
            normed: F64 = weight / (left @ (matrix @ right))
            return normed
    have = f"{left.shape} and {right.shape} for {weight.shape}"
    raise ModelError(f"{who}: {key}: spectral norm needs a vector for rows and one for columns, has {have}; {REMEDY}")
