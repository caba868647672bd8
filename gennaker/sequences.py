"""What a user hands over as x: one sequence, a batch, or sequences of any lengths, for one input or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gennaker.errors import WrongInput, explained
from gennaker.loaded import Loaded
from models.network import Array

ONE, BATCH, LIST = "one", "batch", "list"  # the forms of x, which outputs have too


@dataclass(frozen=True)
class Sequences:
    """Arrays as a network takes them: for each input one (time, features) array a sequence; `form` is that of x."""

    inputs: Mapping[str, list[Array]]
    form: str

    @property
    def count(self) -> int:
        """How many sequences there are."""
        return len(next(iter(self.inputs.values())))

    def shaped(self, arrays: list[Array]) -> Any:
        """Return one array a sequence in the form of x: alone, stacked, or as a list."""
        if self.form == ONE:
            return arrays[0]
        return np.stack(arrays) if self.form == BATCH else arrays


def sequences_of(model: Loaded, x: Any) -> Sequences:
    """Return x as sequences; WrongInput, one line, where the model does not take it."""
    from host.workloads.arrays.expected_input import check_inputs
    from host.workloads.arrays.prepare import expected_by

    names = list(model.inputs)
    if not isinstance(x, Mapping):
        if len(names) > 1:
            raise WrongInput(f"x: the model has {len(names)} inputs; needs a dict with an array for each of {', '.join(names)}")
        x = {names[0]: x}
    inputs, forms = {}, {}
    for name, value in x.items():
        inputs[name], forms[name] = _one_input(f"x[{name!r}]" if len(names) > 1 else "x", value)
    if len(set(forms.values())) > 1:
        raise WrongInput(f"x: {', '.join(f'{name} is {form}' for name, form in forms.items())}; needs one form for all inputs")
    with explained():
        return Sequences(check_inputs("x", expected_by(model.checkpoint), inputs), next(iter(forms.values()), LIST))


def _one_input(who: str, value: Any) -> tuple[list[Array], str]:
    """Return an input's value as one array a sequence, and its form."""
    if isinstance(value, list | tuple) and value and all(np.ndim(part) == 2 for part in map(_as_array, value)):
        return [_as_array(part) for part in value], LIST
    array = _as_array(value)
    if array.dtype == object:
        raise WrongInput(f"{who}: needs an array of numbers, or a list of (time, features) arrays; has {type(value).__name__}")
    if array.ndim == 2:
        return [array], ONE
    if array.ndim == 3:
        return list(array), BATCH
    raise WrongInput(f"{who}: needs (time, features) or (sequences, time, features), has the shape {array.shape}")


def _as_array(value: Any) -> Array:
    """Return numbers as an array: of torch too, where they live on this machine's processor and nobody differentiates them."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # of unequal lengths, or what is no number
        out = np.empty((), object)
        out[()] = value
        return out
