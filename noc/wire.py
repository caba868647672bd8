"""Message <-> bytes: msgpack arrays `[code, field, ...]`; events travel as raw little-endian bin.

`decode` is the border: any bytes give a well-formed message or `WireError`, never another exception or a large allocation.
"""

from typing import Any, get_args, get_origin, get_type_hints

import msgpack

from noc.packet import FLAGS, LEDGER, Message, Relay, Section

MAX_MESSAGE_BYTES = 1 << 28  # a shard is 128 KiB and the largest report some MB; more is no message of ours
_MAX_TICK = 1 << 62
_LEDGER_BYTES = 4 * len(LEDGER)
_SECTION_TYPES = [int, int, int, bytes, bytes, bytes]
_PACKER = msgpack.Packer()  # kept: a new one would allocate its 256 KiB of buffer for every message
_STATUS_PACKER = msgpack.Packer(unicode_errors="surrogatepass")  # names of files may be no text
_CARRIES_EVENTS = 2  # codes below this: Batch and Bundle
_KINDS: tuple[Any, ...] = get_args(Message)  # a message's code is its place there
_CODES: dict[Any, int] = {kind: code for code, kind in enumerate(_KINDS)}
_FIELD_TYPES = {kind: [get_origin(form) or form for form in get_type_hints(kind).values()] for kind in _KINDS}


class WireError(ValueError):
    """Bytes that are no message."""


def encode(message: Message) -> bytes:
    """Return the message's bytes."""
    packed: bytes = _PACKER.pack((_CODES[type(message)], *message))
    return packed


def decode(raw: bytes) -> Message:
    """Return the message in `raw`; WireError, saying what is wrong, for anything else."""
    try:
        parts = msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception as error:
        # msgpack documents several exception classes for bad input and lets others through (RecursionError, UnicodeDecodeError).
        raise WireError(f"{len(raw)} B are not msgpack ({type(error).__name__})") from error
    if type(parts) is not list or not parts or type(parts[0]) is not int or not 0 <= parts[0] < len(_KINDS):
        raise WireError(f"{len(raw)} B of msgpack are no message")
    code = parts[0]
    kind = _KINDS[code]
    if code < _CARRIES_EVENTS:
        if len(parts) != 3 or type(parts[1]) is not int or not 0 <= parts[1] < _MAX_TICK or type(parts[2]) is not list:
            raise WireError(f"{kind.__name__}: needs a tick and a list of sections")
        sections: tuple[Section, ...] = ()
        for section in parts[2]:  # one to three of them: a comprehension would cost more than it saves
            sections += (_section(kind, section),)
        message: Message = kind(parts[1], sections)
        return message
    if kind is Relay:
        return _relay(parts)
    types = _FIELD_TYPES[kind]
    if len(parts) != len(types) + 1 or any(type(part) is not t for part, t in zip(parts[1:], types, strict=True)):
        names = ", ".join(f"{name} {t.__name__}" for name, t in zip(kind._fields, types, strict=True))
        raise WireError(f"{kind.__name__}: needs fields ({names})")
    other: Message = kind(*parts[1:])
    return other


def _relay(parts: list[Any]) -> Relay:
    shapes = [*map(type, parts[1:])] == [int, list, list] and len(parts[2]) == len(parts[3])
    if not shapes or not 0 <= parts[1] < _MAX_TICK:
        raise WireError("Relay: needs a tick and as many heads as sections")
    for head in parts[2]:
        if type(head) is not list or [*map(type, head)] != [int, int] or not (0 <= head[0] < _MAX_TICK and head[1] in (0, 1)):
            raise WireError("Relay: a head needs a chip and 0 or 1")
    return Relay(parts[1], parts[2], tuple([_section(Relay, section) for section in parts[3]]))


def _section(kind: Any, parts: Any) -> Section:
    # One comparison of all types at once: this runs several hundred times a tick.
    if type(parts) is not list or [*map(type, parts)] != _SECTION_TYPES:
        raise WireError(f"{kind.__name__}: a section needs population, flags, position as numbers and keys, values, ledger as bin")
    section = Section._make(parts)
    population, flags, position, keys, values, ledger = section
    if len(keys) != len(values) or len(keys) & 3 or len(ledger) % _LEDGER_BYTES:
        have = f"{len(keys)} B of keys, {len(values)} B of values, {len(ledger)} B of ledger"
        raise WireError(f"{kind.__name__}: {have} do not match")
    if not (0 <= population < _MAX_TICK and 0 <= position < _MAX_TICK and 0 <= flags <= FLAGS):
        raise WireError(f"{kind.__name__}: population {population}, flags {flags} or position {position} out of range")
    return section


def pack_status(status: dict[str, Any]) -> bytes:
    """Return a flat status record (host to launcher) as bytes."""
    packed: bytes = _STATUS_PACKER.pack(status)
    return packed


def unpack_status(raw: bytes) -> dict[str, Any]:
    """Return the status record in `raw`, which comes from our own process."""
    status: dict[str, Any] = msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogatepass")
    return status
