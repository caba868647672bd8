"""Recoverable faults that a user may inject (`--fault`): they must not change one bit of any answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host.errors import HostError


@dataclass(frozen=True)
class Faults:
    """The faults of one run.

    `slow`: name of a PE, a router ("router@1") or a link between chips ("0>1") -> seconds before each message; `late`:
    (first tick, ticks) at which the DRAM delivers nothing; `shuffle`: seed of a random order of arrival (transport `mem`).
    """

    slow: dict[str, float] = field(default_factory=dict)
    late: tuple[tuple[int, int], ...] = ()
    shuffle: int | None = None

    def of_router(self, name: str) -> dict[str, float]:
        """Return the seconds that a router waits before each message, by sender, "" for all others."""
        late = {"": self.slow[name]} if name in self.slow else {}
        for link, seconds in self.slow.items():
            came_from, arrow, to = link.partition(">")
            if arrow and f"router@{to}" == name:
                late[f"router@{came_from}"] = seconds + late.get("", 0.0)
        return late

    def is_late(self, tick: int) -> bool:
        """Tell whether the DRAM delivers nothing at `tick`."""
        return any(first <= tick < first + ticks for first, ticks in self.late)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Faults:
        """Return the faults that `dataclasses.asdict` made a record of, after its way through JSON or msgpack."""
        late = tuple((int(first), int(ticks)) for first, ticks in record["late"])
        return cls(slow=record["slow"], late=late, shuffle=record["shuffle"])


def parse_fault(texts: list[str]) -> Faults:
    """Read `--fault slow=NAME:SECONDS`, `late=TICK:TICKS`, `shuffle=SEED`; HostError for anything else."""
    slow: dict[str, float] = {}
    late: list[tuple[int, int]] = []
    shuffle = None
    for text in texts:
        kind, _, rest = text.partition("=")
        left, _, right = rest.rpartition(":")
        try:
            if kind == "slow":
                slow[left] = float(right)
            elif kind == "late":
                late.append((int(left), int(right)))
            elif kind == "shuffle":
                shuffle = int(rest)
            else:
                raise HostError(f"--fault {text!r}: unknown kind {kind!r}; have slow=NAME:SECONDS, late=TICK:TICKS, shuffle=SEED")
        except HostError:
            raise
        except (ValueError, OverflowError) as error:
            raise HostError(f"--fault {text!r}: {kind} needs numbers behind '='") from error
    if any(not name or not 0 <= seconds < 60 for name, seconds in slow.items()):
        raise HostError("--fault slow: needs the name of a PE, router or link and 0 to 60 seconds")
    if any(first < 0 or ticks < 1 for first, ticks in late):
        raise HostError("--fault late: needs a tick from 0 and at least 1 tick")
    return Faults(slow=slow, late=tuple(late), shuffle=shuffle)
