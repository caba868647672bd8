"""Recoverable faults that a user may inject (`--fault`): they must not change one bit of any answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host.errors import HostError
from noc.bad_links import LinkFaults

_OF_LINKS = LinkFaults._fields
_MOST = 0.5  # of messages: with more, nothing comes of what is said again
_KINDS = "slow=NAME:SECONDS, late=TICK:TICKS, shuffle=SEED, drop=, dup=, reorder=, corrupt=SHARE with seed=N"


@dataclass(frozen=True)
class Faults:
    """The faults of one run.

    `slow`: name of a PE, a router ("router@1") or a link between chips ("0>1") -> seconds before each message; `late`:
    (first tick, ticks) at which the DRAM delivers nothing; `shuffle`: seed of a random order of arrival (transport `mem`);
    `links`: what links between routers, and between routers and PEs, do to messages.
    """

    slow: dict[str, float] = field(default_factory=dict)
    late: tuple[tuple[int, int], ...] = ()
    shuffle: int | None = None
    links: LinkFaults | None = None

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
        links = LinkFaults(*record["links"]) if record.get("links") else None
        return cls(slow=record["slow"], late=late, shuffle=record["shuffle"], links=links)


def parse_fault(texts: list[str]) -> Faults:
    """Read `--fault slow=NAME:SECONDS`, `late=TICK:TICKS`, `shuffle=SEED`, and of links `drop=SHARE,dup=SHARE,reorder=SHARE,
    corrupt=SHARE,seed=N`; HostError for anything else.
    """
    slow: dict[str, float] = {}
    late: list[tuple[int, int]] = []
    shuffle, links = None, dict[str, float]()
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
            elif kind in _OF_LINKS:
                links |= _read_links(text)
            else:
                raise HostError(f"--fault {text!r}: unknown kind {kind!r}; have {_KINDS}")
        except HostError:
            raise
        except (ValueError, OverflowError) as error:
            raise HostError(f"--fault {text!r}: {kind} needs numbers behind '='") from error
    if any(not name or not 0 <= seconds < 60 for name, seconds in slow.items()):
        raise HostError("--fault slow: needs the name of a PE, router or link and 0 to 60 seconds")
    if any(not 0 <= share <= _MOST for name, share in links.items() if name != "seed"):
        raise HostError(f"--fault drop, dup, reorder, corrupt: need a share of messages, 0 to {_MOST:g}")
    if any(first < 0 or ticks < 1 for first, ticks in late):
        raise HostError("--fault late: needs a tick from 0 and at least 1 tick")
    return Faults(slow=slow, late=tuple(late), shuffle=shuffle, links=_link_faults(links))


def _read_links(text: str) -> dict[str, float]:
    """Return what `drop=0.01,seed=3` says; HostError for another name, ValueError for what is no number."""
    read: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in _OF_LINKS:
            raise HostError(f"--fault {text!r}: unknown kind {name!r} beside others of links; have {', '.join(_OF_LINKS)}")
        read[name] = int(value) if name == "seed" else float(value)
    return read


def _link_faults(read: Mapping[str, float]) -> LinkFaults | None:
    if not read:
        return None
    return LinkFaults(**{name: value for name, value in read.items() if name != "seed"}, seed=int(read.get("seed", 0)))
