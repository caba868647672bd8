"""Tasks: what a checkpoint is beside its network, one at most. One file each, found by name (`models/families.py`).

Contract of a task's file, of whose name the metadata speak:

- `WORD`: what its part is called in a line for the user ("an embedding");
- `facts_of(who, model)`: what the metadata say of it, JSON-able; None where the model is no such thing;
- `tensors_of(who, model)`: its tensors, by names of its own;
- `parse(who, facts)`: the facts again, their types checked; ModelError for what cannot be;
- `need(tensors, facts, graph)`: ModelError unless the tensors have the names, shapes and types that `facts` say;
- `fields_of(tensors, facts)`: the fields of `Model` that it fills; a task of a user's own fills `parts`, under its name.

Every ModelError is one line that begins with `who`, the file. `parse` and `need` run before a tensor is read, on a file that
nobody vouches for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from models.families import family_path, member, member_names
from models.network import ModelError

if TYPE_CHECKING:
    from models.checkpoint.graph import Graph
    from models.checkpoint.model import Model
    from models.checkpoint.tensorfile import Tensors
    from models.network import Array

__path__ = family_path(__path__, __name__)
WORD = "checkpoint task"
Facts = Mapping[str, Any]


class Task(Protocol):
    """A module of this package."""

    WORD: str

    def facts_of(self, who: str, model: Model) -> dict[str, Any] | None:
        """Return what the metadata say of the task; None where the model is no such thing."""

    def tensors_of(self, who: str, model: Model) -> dict[str, Array]:
        """Return the task's tensors of a model that is one."""

    def parse(self, who: str, facts: Any) -> Facts:
        """Return what the metadata say, checked."""

    def need(self, tensors: Tensors, facts: Facts, graph: Graph) -> None:
        """Raise ModelError unless the tensors are there, in shape and type."""

    def fields_of(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        """Return the fields of `Model` that the task fills."""


def names() -> list[str]:
    """Return the names of all tasks."""
    return member_names(__name__)


def named(name: str) -> Task:
    """Return a task by its name; ModelError, with the nearest name, for another."""
    return cast(Task, member(__name__, name, WORD))


def need_one(who: str, facts: Mapping[str, Facts]) -> None:
    """Raise ModelError, beginning with `who`, where there are facts of more than one task."""
    if len(facts) > 1:
        words = [named(name).WORD for name in sorted(facts, reverse=True)]
        raise ModelError(f"{who}: has {' and '.join(words)}; needs one of them")
