"""Cost twins: what the priced loops of a weight format or neuron model do (`host/cost/costs.toml`: those whose cycles were
counted), one file each, found by the name that it has in `models/formats` or `models/kernels`.

Contract of a format's twin (`PortCounts` is in `host/cost/formats`):

- `visited(macs, heard, stored, rows)`: how many stored weights a step looks at, of its effective multiply-accumulates, the
  events that it heard, the stored weights of all lanes, and rows;
- `cycles(port, table, wait_states)`: of weights times events, (positions, ports), with wait states for each load of a weight;
- `most_visited(stored, heard, rows)`, where a step may look at more than what `visited` says: at how many at most;
- `sram_bytes(port, settings)`: read and written over the run, (ports,) each, word by word, without the instruction fetch.

Of a neuron model's: `PORT_STAGES`, the stage in which a layer works on each port (a port that it does not name costs nothing beside
the unit's step: a unit that hears itself alone has that at hand); `cycles(units, table)` of so many units'
step, the stage `pointwise`; and `UNIT_READ_BYTES` and `UNIT_WRITTEN_BYTES` of SRAM. Where it has them: `position_cycles(units,
table)`, what the first tick of a position adds where it takes several; `active_cycles(counts, events, table)`, what activity
adds to that: `counts` maps the names of what the kernel counts to (positions, turns), and `events` of that shape were sent;
`UNIT_MACS`, the products of its own that a unit makes (0); and `STAGE_WORDS`, what its stages are called in a sentence.

Either may have `CONSTANTS`: entries as in `costs.toml`, of names that no other in use has. `used_when` is the twin's own name where
it is not given.

A price loads the twins of what the run uses and no other.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from host.errors import HostError
from models.families import member, member_names
from models.network import in_one_line

_FAMILIES = {"formats": "weight format", "kernels": "neuron model"}
_NEEDS = {
    "formats": ("visited", "cycles", "sram_bytes"),
    "kernels": ("PORT_STAGES", "cycles", "UNIT_READ_BYTES", "UNIT_WRITTEN_BYTES"),
}

_STAGE_WORDS = {
    "pointwise": "the units' own steps", "broadcast": "sending events", "links": "the way over links between chips",
    "wait": "waiting for DRAM", "transfers": "exchanging data",
}  # fmt: skip
"""What the stages that every network may have are called in a sentence (`host/cost/cycles.py` names them)."""


def names(family: str) -> list[str]:
    """Return the names of all "formats" or "kernels" that have a price, ascending."""
    return member_names(f"host.cost.{family}")


@cache
def twin(family: str, name: str) -> Any:
    """Return the twin of a format or kernel, a module; HostError where there is none, or where its file is broken."""
    if name not in names(family):
        raise HostError(f"{_FAMILIES[family]} {name!r}: has no prices; have {', '.join(names(family))}")
    try:
        module = member(f"host.cost.{family}", name, _FAMILIES[family])
    except Exception as error:  # whatever the file of a user's own raises
        raise HostError(f"cost twin {_file(family, name)}: cannot be loaded ({in_one_line(error)})") from error
    if lacking := [need for need in _NEEDS[family] if not hasattr(module, need)]:
        raise HostError(f"cost twin {_file(family, name)}: lacks {', '.join(lacking)}; host/cost/twins.py says what it needs")
    return module


def _file(family: str, name: str) -> str:
    spec = importlib.util.find_spec(f"host.cost.{family}.{name}")
    return str(spec.origin if spec else name)


def in_use(form: str, kernels: Iterable[str]) -> list[str]:
    """Return whose twins price a run with this weight format and these neuron models: "format=csr", "kernel=egru"."""
    return [f"format={form}", *(f"kernel={name}" for name in dict.fromkeys(kernels))]


def constants(used: Iterable[str] | None = None) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the constants that twins bring: by name, whose they are ("format=csr") and the entry; HostError for a name twice.

    `used`: as of `in_use`, the twins in use. None, where that is not known yet: every twin that can be loaded.
    """
    entries: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for whose in _loadable() if used is None else used:
        family, _, name = whose.partition("=")
        for constant, entry in getattr(twin(f"{family}s", name), "CONSTANTS", {}).items():
            if constant in entries:
                raise HostError(f"cost twins {entries[constant][0]} and {whose}: both bring a constant {constant!r}")
            entries[constant] = whose, entry
    return entries


def _loadable() -> list[str]:
    """Return every twin whose file is whole; a price that needs another says what is wrong with it."""
    whole = []
    for family in _FAMILIES:
        for name in names(family):
            with contextlib.suppress(HostError):
                twin(family, name)
                whole.append(f"{family.removesuffix('s')}={name}")
    return whole


def port_stages(kernels: list[str]) -> tuple[str, ...]:
    """Return the stages in which layers of these neuron models work on their ports, each once."""
    return tuple(dict.fromkeys(stage for name in kernels for stage in twin("kernels", name).PORT_STAGES.values()))


def stage_words(kernels: Iterable[str]) -> dict[str, str]:
    """Return what stages of layers of these neuron models are called in a sentence; a stage without words has its name."""
    words = dict(_STAGE_WORDS)
    for name in dict.fromkeys(kernels):
        one = twin("kernels", name)
        words |= {stage: stage for stage in one.PORT_STAGES.values() if stage not in words} | getattr(one, "STAGE_WORDS", {})
    return words
