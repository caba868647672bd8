"""Cost twins: what the priced loops of a weight format or neuron model do (`host/cost/costs.toml`: those whose cycles were
counted), one file each, found by the name that it has in `models/formats` or `models/kernels`.

Contract of a format's twin (`PortCounts` is in `host/cost/formats`):

- `visited(macs, heard, stored, rows)`: how many stored weights a step looks at, of its effective multiply-accumulates, the
  events that it heard, the stored weights of all lanes, and rows;
- `cycles(port, table, wait_states)`: of weights times events, (positions, ports), with wait states for each load of a weight;
- `sram_bytes(port, settings)`: read and written over the run, (ports,) each, word by word, without the instruction fetch.

Of a neuron model's: `PORT_STAGES`, the stage in which a layer works on each port (a port that it does not name costs nothing beside
the unit's step: a unit that hears itself alone has that at hand); `cycles(units, table)` of so many units'
step, the stage `pointwise`; and `UNIT_READ_BYTES` and `UNIT_WRITTEN_BYTES` of SRAM. Where it has them: `active_cycles(counts,
events, table)`, what activity adds to that: `counts` maps the names of what the kernel counts to (positions, turns), and
`events` of that shape were sent; and `UNIT_MACS`, the products of its own that a unit makes (0).

Either may have `CONSTANTS`: entries as in `costs.toml`, of names that no other has. `used_when` is the twin's own name where it
is not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from host.errors import HostError
from models.families import member, member_names

_FAMILIES = {"formats": "weight format", "kernels": "neuron model"}


def names(family: str) -> list[str]:
    """Return the names of all "formats" or "kernels" that have a price, ascending."""
    return member_names(f"host.cost.{family}")


@cache
def twin(family: str, name: str) -> Any:
    """Return the twin of a format or kernel, a module; HostError where there is none."""
    if name not in names(family):
        raise HostError(f"{_FAMILIES[family]} {name!r}: has no prices; have {', '.join(names(family))}")
    return member(f"host.cost.{family}", name, _FAMILIES[family])


def constants() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the constants that twins bring: by name, whose they are ("format=csr") and the entry; HostError for a name twice."""
    entries: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for family in _FAMILIES:
        for name in names(family):
            whose = f"{family.removesuffix('s')}={name}"
            for constant, entry in getattr(twin(family, name), "CONSTANTS", {}).items():
                if constant in entries:
                    raise HostError(f"cost twins {entries[constant][0]} and {whose}: both bring a constant {constant!r}")
                entries[constant] = whose, entry
    return entries


def port_stages(kernels: list[str]) -> tuple[str, ...]:
    """Return the stages in which layers of these neuron models work on their ports, each once."""
    return tuple(dict.fromkeys(stage for name in kernels for stage in twin("kernels", name).PORT_STAGES.values()))
