"""What a run compiles late, written down for the next run of its kind.

Which types a format or neuron model meets (int8 weights, spikes, dense sections) is known only when a network is mapped. That is
after the processes were got ready that PEs are forked from, so each PE would load such code for itself: 20 ms of its start, 6 MB of
its own memory, and a copy of the code in the processor's caches for each PE. So the host notes in the kernel cache what it has
bound, and whoever gets ready to fork for a run that needs the same members loads that first. A note is a hint: where there is none,
or it is of no use, nothing changes but the time and memory that a run takes.
"""

from __future__ import annotations

import importlib
import json

from models.compute.bound_calls import Bindable
from models.compute.compiling import cache_read, cache_write

_MOST = 64  # variants in a note; a run binds fewer than twenty


def note_variants(need: str) -> None:
    """Note which variants of bindable functions this process has, beside those that other runs have noted for `need`."""
    now = [[module, name, *key] for (module, name), one in Bindable.declared.items() for key in one.late_keys()]
    before = _noted(need)
    if any(variant not in before for variant in now):
        kept = now + [variant for variant in before if variant not in now]
        cache_write(_name(need), json.dumps(kept[:_MOST]).encode())


def load_noted(need: str) -> None:
    """Have the variants that are noted for `need` ready to be compiled or loaded (`compile_callbacks`). Raises what a module raises
    that cannot be imported any more.
    """
    for module, name, *key in _noted(need):
        importlib.import_module(module)
        if (one := Bindable.declared.get((module, name))) is not None:
            one.prepare(tuple(key))


def _noted(need: str) -> list[list[str]]:
    content = cache_read(_name(need))
    return [] if content is None else list(json.loads(content))


def _name(need: str) -> str:
    return f"variants {need}"
