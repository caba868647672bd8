"""What would fit, for the line that says that something does not: fewer sequences, more PEs, other strategies and formats."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import replace

from host.errors import HostError
from host.mapping import strategies
from host.mapping.dealing import fewest_pes, name_of, pieces_of, split_pes
from host.mapping.request import Request
from host.mapping.sharding import ShareTooLargeError, all_fit
from models import formats
from models.network import Network

SPARSE_UNITS = 4  # units a PE, below which the exchange of events outweighs what a step computes


def explain(error: HostError, network: Network, request: Request, mapping: str, count_pes: Callable[[str, str], int]) -> str:
    """Return one line: what does not fit by `error`, and what would.

    `count_pes` returns how many PEs a strategy takes in a format; HostError where the network does not fit.
    """
    line = str(error)
    if isinstance(error, ShareTooLargeError):
        try:
            line += f"; {_more_pes(network, request, mapping, error)}"
        except HostError as hopeless:
            line = str(hopeless)
    fewer = largest_batch(network, request, mapping) if request.lanes > 1 else 0
    batch = f"; the largest batch that fits on these PEs is --batch {fewer}" if fewer else ""
    fits = []
    for other in strategies.names():
        if strategies.named(other).assign_chips is None:  # the others deal as one of these
            for form in formats.names_for(network.weights):
                with contextlib.suppress(HostError):
                    fits.append(f"--mapping {other} --format {form} ({count_pes(other, form)} PEs)")
    return f"{line}{batch}; what fits: {', '.join(fits)}" if fits else f"{line}{batch}"


def fewer_pes(network: Network, request: Request, used: int) -> str:
    """Return a line where a mapping that could choose took more PEs than units make sense, and what takes fewer; else ""."""
    units = sum(network.populations[n].units for n in network.layers)
    if request.pes is not None or units >= SPARSE_UNITS * used:
        return ""
    fewest = ""
    with contextlib.suppress(HostError):
        fewest = f", --mapping balanced takes {len(strategies.named('balanced').deals(network, request)[0])}"
    each = f"{units / used:.2g}"
    return f"{each} unit{'' if each == '1' else 's'} a PE: more PEs than so few units make use of; --pes N takes fewer{fewest}"


def largest_batch(network: Network, request: Request, mapping: str) -> int:
    """Return the most sequences side by side that fit as `request` asks otherwise; 0: not even one."""
    low, high = 0, 1  # a batch that fits, and then one that does not
    while _fits(network, replace(request, lanes=high), mapping):
        low, high = high, 2 * high
    while high - low > 1:  # each sequence needs memory of its own on every PE
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(network, replace(request, lanes=middle), mapping) else (low, middle)
    return low


def _fits(network: Network, request: Request, mapping: str) -> bool:
    """Tell whether the available PEs hold the network as a strategy prefers to deal it."""
    try:
        shares, *_ = strategies.named(mapping).deals(network, request)
    except HostError:
        return False
    return len(shares) <= request.available and all_fit(network, request, shares)


def _more_pes(network: Network, request: Request, mapping: str, error: ShareTooLargeError) -> str:
    """Return the smallest number of PEs that would do."""
    group, even = network.group_of(error.share[0].population), strategies.named(mapping).EVEN
    need = {one: fewest_pes(network, request, one, even=even) for one in network.groups}
    total = _in_all(network, need, even=even)
    available = f", {request.available} are there" if total > request.available else ""
    return f"use --pes {total} or more ({need[group]} for {name_of(group)}){available}"


def fewest_pes_in_all(network: Network, request: Request, *, even: bool) -> int:
    """Return the smallest number of PEs that holds a network, where layers are dealt `even` or not; HostError where none does."""
    return _in_all(network, {one: fewest_pes(network, request, one, even=even) for one in network.groups}, even=even)


def _in_all(network: Network, need: Mapping[tuple[int, ...], int], *, even: bool) -> int:
    """Return the smallest number of PEs of which each group of layers gets what it needs."""
    total = sum(need.values())
    if even:  # every layer gets as many as the others, whatever it needs; the more in all, the more for each

        def enough(pes: int) -> bool:
            return all(count >= need[one] for one, count in split_pes(network, pes).items())

        most = sum(pieces_of(network, one) for one in network.groups)
        total = range(total, most + 1)[bisect_left(range(total, most), True, key=enough)]
    return total
