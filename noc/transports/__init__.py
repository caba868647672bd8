"""Transports: one file a scheme, found by name (`models/families.py`); `--transport` takes the names.

Contract of a scheme's file:

- `PROCESSES`: whether routers, PEs and the host are processes of their own; else all of them run in one.
- `new_address()`: an address for a router to listen on that nobody else uses.
- `listen(name, address, queue, calls=, secret=, most_bytes=)`: a router's `Transport` (`noc/transport.py`). It also calls its
  neighbours: name -> address. `queue`: messages that may wait for one peer. `secret`: the run's; what comes from whoever does
  not show the identity that it gives (`noc/identities.py`) comes from `STRANGER`, as b"". `most_bytes`: of a message that is let
  in.
- `connect(name, address, queue, peer=, identity=)`: the `Transport` of the endpoint `name`, which calls the router `peer` and shows
  its identity.
- `connect_pe(name, address, queue, peer=, identity=)`, where a PE's way is another than the host's. A PE whose transport is a
  `FramedTransport` makes its ticks in one compiled loop.
- `connect_ahead`, which is called as `connect_pe`, where a connection may be made before the PE's process is forked: without a
  thread, with no descriptor but its `descriptor`, and with `release()` for who has only made it. And `scripted_pe(name, peer=,
  messages=)`: such a connection on which these have come, and its other end, which is to be kept meanwhile.
- `JOINS_MACHINES`, where it is so: what `listen` returns has a `socket` that can be polled beside the links to other machines
  (`noc/transport_tcp.py`), so that it goes with `--cluster`.
- With `PROCESSES = False`, in the place of all that: `network(shuffle_seed)`, what all endpoints are attached to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from noc.transport import Transport


class Scheme(Protocol):
    """A module of this package whose endpoints are processes."""

    PROCESSES: bool

    def new_address(self) -> str:
        """Return an address nobody else uses, for a router to listen on."""

    def listen(self, name: str, address: str, queue: int, *, calls: Mapping[str, str], secret: bytes, most_bytes: int) -> Transport:
        """Return the transport of a router; TransportError where it cannot listen there."""

    def connect(self, name: str, address: str, queue: int, *, peer: str, identity: bytes) -> Transport:
        """Return the transport of an endpoint that speaks to the router `peer` alone."""
