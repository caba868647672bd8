"""The accounts of a run's packets: what was sent, delivered, dropped and handed on, and every line that does not balance."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noc.machine import Machine
from noc.packet import HOST, KIND_NAMES, KINDS, Bundle, chip_of, router_name

Readings = Mapping[str, Mapping[str, Any]]
_MOST_AHEAD = 16  # ticks of an endpoint ahead of the host's: whoever exchanges transfers is at most 1


def balance(machine: Machine, pes: Readings, routers: Readings, host_sent: int, host_got: int) -> dict[str, Any]:
    """Return the accounts of copies after fan-out, from everybody's counters, by name of PE and link, and what does not balance."""
    wrong, links = [], {}
    into_routers, out_of_routers, dropped = (
        _sums(reading[f"packets_{what}"] for reading in routers.values()) for what in ("in", "out", "dropped")
    )
    sent = {name: reading["packets_sent"] for name, reading in pes.items()} | {HOST: host_sent}
    delivered = {name: reading["packets_delivered"] for name, reading in pes.items()} | {HOST: host_got}

    router_of = {name: router_name(machine.host_chip if name == HOST else chip_of(name)) for name in sent}
    for name, have in sent.items():
        if have != into_routers.get(name, 0):
            wrong.append(f"{name} sent {have} packets, {router_of[name]} took in {into_routers.get(name, 0)}")
    for name, have in delivered.items():
        if have != out_of_routers.get(name, 0):
            wrong.append(f"{router_of[name]} handed {out_of_routers.get(name, 0)} packets to {name}, which got {have}")
    for link in machine.links:
        here, there = router_name(link.chip), router_name(link.to)
        out, into = routers[here]["links_out"].get(there, 0), routers[there]["links_in"].get(here, 0)
        links[str(link)] = out
        if out != into:
            wrong.append(f"{here} handed {out} packets over link {link}, {there} took in {into}")
    lost = sum(dropped.values())
    if sum(sent.values()) != sum(delivered.values()) + lost:
        wrong.append(f"sent {sum(sent.values())} is not delivered {sum(delivered.values())} + dropped {lost}")
    if lost:
        wrong.append(f"{lost} packets were dropped for want of a routing entry")
    return {"sent": sent, "delivered": delivered, "dropped": dropped, "links": links, "wrong": wrong}


def balance_transfers(machine: Machine, pes: Readings, routers: Readings, host_got: Sequence[int]) -> dict[str, Any]:
    """Return the accounts of transfers, by kind: what PEs, DRAMs and the host sent and got, what links carried, bytes of the DRAMs,
    and what does not balance; nothing where nobody exchanges any.
    """
    none = [0] * len(KINDS)
    into, out = (
        {name: counts for reading in routers.values() for name, counts in reading.get(key, {}).items()}
        for key in ("transfers_in", "transfers_out")
    )
    if not into:
        return {}
    wrong, links = [], {}
    said = {name: (reading.get("transfers_sent", none), reading.get("transfers_delivered", none)) for name, reading in pes.items()}
    said[HOST] = none, list(host_got)
    for name, (sent, delivered) in said.items():
        for what, have, need in (("sent", sent, into.get(name, none)), ("got", delivered, out.get(name, none))):
            if list(have) != need:
                wrong.append(f"{name} {what} {_kinds(have)}, its router counted {_kinds(need)}")
    for link in machine.links:
        here, there = router_name(link.chip), router_name(link.to)
        over = routers[here].get("transfers_over", {}).get(there, none)
        came = routers[there].get("transfers_from", {}).get(here, none)
        links[str(link)] = over
        if over != came:
            wrong.append(f"{here} handed {_kinds(over)} over link {link}, {there} took in {_kinds(came)}")
    total_in, total_out = ([sum(column) for column in zip(*counts.values(), strict=True)] for counts in (into, out))
    if total_in != total_out:
        wrong.append(f"sent {_kinds(total_in)} is not delivered {_kinds(total_out)}")
    dram = {f"DRAM@{chip_of(name)}": reading["dram"] for name, reading in routers.items() if reading.get("dram")}
    return {"sent": into, "delivered": out, "links": links, "dram": dram, "wrong": wrong}


class TransfersHeard:
    """Transfers that the host got, by kind. Whoever hears no input directly may be ahead of the ticks that are accounted for."""

    def __init__(self) -> None:
        self._counts = [0] * len(KINDS)
        self._latest = deque[tuple[int, list[int]]](maxlen=_MOST_AHEAD)  # by tick

    def add(self, bundle: Bundle) -> None:
        """Count the transfers of a tick; ticks come in order."""
        counts = [0] * len(KINDS)
        for transfer in bundle.transfers:
            counts[transfer.kind] += 1
        self._latest.append((bundle.tick, counts))
        self._counts = [have + more for have, more in zip(self._counts, counts, strict=True)]

    def before(self, tick: int) -> list[int]:
        """Return how many came in the ticks before `tick`, one of the latest."""
        ahead = [counts for at, counts in self._latest if at >= tick]
        return [sum(column) for column in zip(self._counts, *([-count for count in counts] for counts in ahead), strict=True)]


def _kinds(counts: Sequence[int]) -> str:
    return ", ".join(f"{count} {name.upper()}" for name, count in zip(KIND_NAMES, counts, strict=True) if count) or "none"


def _sums(accounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for account in accounts:
        total.update(account)
    return dict(total)
