"""Environments with rules of our own: one file each, found by name (`models/families.py`).

Contract of a file:

- `TASKS`: name, as the command line has it -> `Task`;
- `Lanes`: the environments that run side by side, an `EnvironmentLanes`.

Whoever asks for another name gets gymnasium's environment of that name, where it is installed
(`models/control/gymnasium_lanes.py`).
"""

from __future__ import annotations

import difflib
from typing import Any

from models.control.task import EnvironmentLanes, Task
from models.families import family_path, member, member_names
from models.network import ModelError

__path__ = family_path(__path__, __name__)
WORD = "environment"


def own_tasks() -> dict[str, tuple[Task, Any]]:
    """Return the tasks with rules of our own by name, each with the module that has them."""
    modules = [member(__name__, name, WORD) for name in member_names(__name__)]
    return {name: (task, module) for module in modules for name, task in module.TASKS.items()}


def task_named(name: str) -> Task:
    """Return a task of ours, or gymnasium's of that name; ModelError, one line, for one that is neither or that cannot be
    run.
    """
    own = own_tasks()
    if name in own:
        return own[name][0]
    from models.control.gymnasium_lanes import GymnasiumMissing, gymnasium_task

    try:
        return gymnasium_task(name)
    except GymnasiumMissing as error:
        near = difflib.get_close_matches(name, own, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"environment {name!r}: have {', '.join(own)}{hint}; {error}") from error


def same_rules(name: str, other: str) -> bool:
    """Tell whether two tasks are the same but for when an episode is cut off: a network that acts in one acts in the other."""
    if name == other:
        return True
    modules = [
        {one for task, (about, module) in own_tasks().items() for one in [module] if wanted in (task, about.gymnasium)}
        for wanted in (name, other)
    ]
    return bool(modules[0] & modules[1])


def lanes_of(task: Task, lanes: int, **settings: Any) -> EnvironmentLanes:
    """Return `lanes` environments of a task, with settings that its file knows."""
    own = own_tasks()
    if task.name in own:
        made: EnvironmentLanes = own[task.name][1].Lanes(task, lanes, **settings)
        return made
    from models.control.gymnasium_lanes import GymnasiumLanes

    return GymnasiumLanes(task, lanes)
