"""Which endpoints of a chip hear the same, so that one bundle is made for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noc.packet import HOST
from noc.streams import Group, Population, Stream


def groups_of(
    waits: Mapping[str, Sequence[int]], streams: Mapping[tuple[int, int], Stream], populations: Mapping[int, Population],
    targets: Sequence[str],
) -> list[Group]:  # fmt: skip
    """Return the groups of endpoints that wait for populations (`waits`), in the order in which they are named.

    `streams`: by population and chip. `targets`: who may be sent transfers, each in a group of its own. ValueError, TypeError or
    KeyError where these contradict each other.
    """
    names_of: dict[Any, list[str]] = {}
    if not waits.keys() >= {*targets}:
        raise ValueError(f"{min({*targets} - waits.keys())} may be sent transfers and waits for no population")
    for endpoint, numbers in waits.items():
        if not isinstance(endpoint, str):
            raise TypeError(f"endpoint {endpoint!r} is no name")
        routed = frozenset(
            key
            for key, stream in streams.items()
            if stream.population in numbers
            and (
                endpoint == HOST or endpoint in stream.endpoints or _stays_inside(endpoint, populations[stream.population], streams)
            )
        )
        waits_for = tuple(populations[n].number for n in numbers)
        alone = endpoint if endpoint == HOST or endpoint in targets else ""
        names_of.setdefault((waits_for, routed, alone), []).append(endpoint)
    alike: dict[Any, int] = {}
    groups: list[Group] = []
    for (numbers, routed, alone), names in names_of.items():
        kind = alike.setdefault((numbers, routed, names == [HOST]), len(alike))
        groups.append(Group(numbers, routed, tuple(names), alone in targets, kind, len(groups)))
    return groups


def _stays_inside(endpoint: str, population: Population, streams: Mapping[tuple[int, int], Stream]) -> bool:
    """Tell whether `endpoint` alone sends a population: its events reach it inside, without a packet or the table's say."""
    begun_here = [not stream.arrives_from for (number, _), stream in streams.items() if number == population.number]
    return begun_here == [True] and set(population.slots) == {endpoint}
