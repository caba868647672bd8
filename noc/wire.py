"""Message <-> bytes: msgpack arrays `[code, field, ...]`; events travel as raw little-endian bin.

In place of the tick of a batch that stands, or of a bundle behind ticks that were spared, is how many ticks that concerns and the
tick, in an array.

A message may end in its checksum (`noc/checksum.py`); one that is not as it was sent is none.
`decode` is the border: any bytes give a well-formed message or `WireError`, never another exception or a large allocation.
"""

from typing import Any, get_args, get_origin, get_type_hints
from zlib import crc32

import msgpack

from noc.checksum import CHECKSUM_BYTES, RESIDUE, unseal
from noc.packet import FLAGS, KINDS, MOST_TRANSFER_BYTES, READ, Batch, Bundle, Message, Packed, Relay, Section, Transfer
from noc.unpacked_size import is_larger_unpacked

MAX_MESSAGE_BYTES = 1 << 28  # a shard is 128 KiB and the largest report some MB; more is no message of ours
_REMARKABLE_BYTES = 1 << 16  # of a message: what is smaller unpacks to 5 MB at most
MOST_UNPACKED_BYTES = 1 << 24  # of a message's objects, beside the bytes of its arrays
_MAX_TICK = 1 << 62
_TRANSFER_TYPES = [int, str, str, int, int, int, bytes]
# Kept: a new one would allocate its 256 KiB of buffer for every message. What was let in can be handed on, be it text or not.
_PACKER = msgpack.Packer(unicode_errors="surrogatepass")
_CARRIES_EVENTS = 2  # codes below this: Batch and Bundle
_KINDS: tuple[Any, ...] = get_args(Message)  # a message's code is its place there
_KIND_COUNT = len(_KINDS)
_SECTION_FIELDS = len(Section._fields)
_made: Any = tuple.__new__  # what a named tuple's own `_make` calls, in half the time
_CODES: dict[Any, int] = {kind: code for code, kind in enumerate(_KINDS)}
# Of what has a checksum behind code and fields.
_SEALED_LENGTHS = [len(kind._fields) + 2 - (code < _CARRIES_EVENTS) for code, kind in enumerate(_KINDS)]
_FIELD_TYPES = {kind: [get_origin(form) or form for form in get_type_hints(kind).values()] for kind in _KINDS}


class WireError(ValueError):
    """Bytes that are no message."""


def encode(message: Message | Packed) -> bytes:
    """Return the message's bytes."""
    if isinstance(message, Packed):
        return unseal(message.sealed)
    packed: bytes = _PACKER.pack(_fields_of(message))
    return packed


def encode_sealed(message: Message | Packed) -> bytes:
    """Return the message's bytes with their checksum at the end (`noc/checksum.py`)."""
    if isinstance(message, Packed):
        return message.sealed
    raw: bytes = _PACKER.pack((*_fields_of(message), bytes(CHECKSUM_BYTES)))
    checked = memoryview(raw)[:-CHECKSUM_BYTES]
    return b"".join((checked, crc32(checked).to_bytes(CHECKSUM_BYTES, "little")))


def _fields_of(message: Message) -> tuple[Any, ...]:
    """Return a message's code and fields, as they are on the wire."""
    code = _CODES[type(message)]
    if not isinstance(message, Batch | Bundle):
        return (code, *message)
    tick, sections, transfers, spared = message
    return code, [spared, tick] if spared else tick, sections, transfers


def encode_transfer(transfer: Transfer) -> bytes:
    """Return a transfer as it is in a message."""
    packed: bytes = _PACKER.pack(transfer)
    return packed


def decode(raw: bytes) -> Message:
    """Return the message in `raw`; WireError, saying what is wrong, for anything else."""
    if len(raw) > _REMARKABLE_BYTES and is_larger_unpacked(raw, MOST_UNPACKED_BYTES):
        raise WireError(f"{len(raw)} B would unpack to more than {MOST_UNPACKED_BYTES} B of lists and numbers")
    try:
        parts = msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception as error:
        # msgpack documents several exception classes for bad input and lets others through (RecursionError, UnicodeDecodeError).
        raise WireError(f"{len(raw)} B are not msgpack ({type(error).__name__})") from error
    # Batches come several hundred times a tick: what is asked of them costs as little as it may.
    count = len(parts) if type(parts) is list else 0
    code = parts[0] if count else -1
    if type(code) is not int or not 0 <= code < _KIND_COUNT:
        raise WireError(f"{len(raw)} B of msgpack are no message")
    kind = _KINDS[code]
    if count == _SEALED_LENGTHS[code]:
        if crc32(raw) == RESIDUE:
            count -= 1
        elif type(parts[-1]) is bytes and len(parts[-1]) == CHECKSUM_BYTES:
            raise WireError(f"{kind.__name__}: {len(raw)} B are not those that were sent, by their checksum")
    if code < _CARRIES_EVENTS:
        tick, spared = (parts[1], 0) if count == 4 else (None, 0)
        if type(tick) is list:
            tick, spared = _spared(kind, tick)
        if type(tick) is not int or not 0 <= tick < _MAX_TICK or type(parts[2]) is not list:
            raise WireError(f"{kind.__name__}: needs a tick, a list of sections and one of transfers")
        sections: tuple[Section, ...] = ()
        for section in parts[2]:  # one to three of them: a comprehension would cost more than it saves
            sections += (_section(kind, section),)
        transfers = () if parts[3] == [] else _transfers(kind, parts[3])
        message: Message = _made(kind, (tick, sections, transfers, spared))
        return message
    del parts[count:]
    if kind is Relay:
        return _relay(parts)
    types = _FIELD_TYPES[kind]
    if count != len(types) + 1 or any(type(part) is not t for part, t in zip(parts[1:], types, strict=True)):
        names = ", ".join(f"{name} {t.__name__}" for name, t in zip(kind._fields, types, strict=True))
        raise WireError(f"{kind.__name__}: needs fields ({names})")
    other: Message = kind(*parts[1:])
    return other


def _spared(kind: Any, parts: list[Any]) -> tuple[Any, int]:
    """Return the tick of a batch that stands, or of a bundle behind ticks that were spared, and for how many, or how many."""
    if len(parts) != 2 or type(parts[0]) is not int or not 0 < parts[0] < _MAX_TICK:
        raise WireError(f"{kind.__name__}: needs a tick, with no more before it than how many are spared")
    return parts[1], parts[0]


def _relay(parts: list[Any]) -> Relay:
    shapes = [*map(type, parts[1:])] == [int, list, list, list] and len(parts[2]) == len(parts[3])
    if not shapes or not 0 <= parts[1] < _MAX_TICK:
        raise WireError("Relay: needs a tick, as many heads as sections, and a list of transfers")
    for head in parts[2]:
        if type(head) is not list or [*map(type, head)] != [int, int] or not (0 <= head[0] < _MAX_TICK and head[1] in (0, 1)):
            raise WireError("Relay: a head needs a chip and 0 or 1")
    return Relay(parts[1], parts[2], tuple([_section(Relay, section) for section in parts[3]]), _transfers(Relay, parts[4]))


def _transfers(kind: Any, parts: Any) -> tuple[Transfer, ...]:
    if parts == []:
        return ()
    if type(parts) is not list:
        raise WireError(f"{kind.__name__}: transfers are no list")
    return tuple([_transfer(kind, transfer) for transfer in parts])


def _transfer(kind: Any, parts: Any) -> Transfer:
    if type(parts) is not list or [*map(type, parts)] != _TRANSFER_TYPES:
        what = "kind, source, target, number, address and bytes as numbers, names and bin"
        raise WireError(f"{kind.__name__}: a transfer needs {what}")
    transfer = Transfer._make(parts)
    if transfer.kind not in KINDS or not (0 <= transfer.number < _MAX_TICK and 0 <= transfer.address < _MAX_TICK):
        where = f"number {transfer.number} or address {transfer.address}"
        raise WireError(f"{kind.__name__}: kind {transfer.kind}, {where} of a transfer out of range")
    size, have = transfer.size_bytes, len(transfer.data)
    if not 0 <= size <= MOST_TRANSFER_BYTES or have != (0 if transfer.kind == READ else size):
        raise WireError(
            f"{kind.__name__}: a transfer of {size} B with {have} B; needs at most {MOST_TRANSFER_BYTES} B, a READ none"
        )
    return transfer


def _section(kind: Any, parts: Any) -> Section:
    if type(parts) is not list or len(parts) != _SECTION_FIELDS:
        raise _no_section(kind)
    population, flags, position, keys, values, ledger, lanes = parts
    # One class after another, as this runs several hundred times a tick.
    if not (
        population.__class__ is flags.__class__ is position.__class__ is int
        and keys.__class__ is values.__class__ is ledger.__class__ is lanes.__class__ is bytes
    ):
        raise _no_section(kind)
    size, have = len(keys), len(values)
    # With keys, each has a value of 0, 1, 2 or 4 bytes; which of these, a router and a PE know of each population.
    if size & 3 or (size != have and size and 4 * have not in (0, size, 2 * size)):
        raise WireError(f"{kind.__name__}: {len(keys)} B of keys and {len(values)} B of values do not match")
    if not (0 <= population < _MAX_TICK and 0 <= position < _MAX_TICK and 0 <= flags <= FLAGS):
        raise WireError(f"{kind.__name__}: population {population}, flags {flags} or position {position} out of range")
    section: Section = _made(Section, parts)
    return section


def _no_section(kind: Any) -> WireError:
    need = "population, flags, position as numbers and keys, values, ledger, lanes as bin"
    return WireError(f"{kind.__name__}: a section needs {need}")


def pack_status(status: dict[str, Any]) -> bytes:
    """Return a flat status record (host to launcher) as bytes."""
    packed: bytes = _PACKER.pack(status)
    return packed


def unpack_status(raw: bytes) -> dict[str, Any]:
    """Return the status record in `raw`, which comes from our own process."""
    status: dict[str, Any] = msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogatepass")
    return status
