"""What a router says of packets: copies of events by endpoint, from what its streams and columns have counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from noc.columns import Columns
from noc.streams import Population, Stream


def count_packets(
    streams: Iterable[Stream], populations: Mapping[int, Population], columns: Columns, lost_parts: Mapping[tuple[str, str], int]
) -> dict[str, dict[str, int]]:
    """Return copies taken in from each sender, handed to each destination, and dropped of each sender (of a stream that passes: of
    its chip). `lost_parts`: events by endpoint and by who is said to have lost them.

    A copy to the sender itself stays in its PE and is no packet.
    """
    taken: Counter[str] = Counter()
    handed: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for stream in streams:
        population = populations[stream.population]
        own = {} if stream.arrives_from else columns.events_of(population)
        for sender, events in own.items():
            wanted = stream.wanted - any(sender in group.endpoints for group in population.groups)
            taken[sender] += events * wanted
            dropped[sender] += events * (wanted - stream.given + (sender in stream.endpoints))
        if stream.arrives_from:
            dropped[f"chip {stream.source}"] += stream.events * (stream.wanted - stream.given)
        for name in stream.endpoints:
            handed[name] += stream.events - own.get(name, 0)
    for (name, sender), events in lost_parts.items():
        handed[name] -= events
        dropped[sender] += events
    return {"packets_in": dict(taken), "packets_out": dict(handed), "packets_dropped": dict(dropped)}
