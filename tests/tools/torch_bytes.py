"""The files that `torch.save` writes, put together by hand: the pickle opcode for opcode, the members name for name.

`test_torch_file.py` holds them against torch's own where torch is there, so that all other tests need no torch.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage", "int32": "IntStorage",
    "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage", "bfloat16": "BFloat16Storage",
}  # fmt: skip


class Bits(np.ndarray):
    """The uint16 bits of a bfloat16 array."""


def bfloat16(values):
    """The bits of values that bfloat16 holds exactly."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).view(Bits)


class Pickle:
    """A pickle of protocol 2 as Python's pickler writes it: what was written before is fetched from the memo."""

    def __init__(self):
        self.out = bytearray(b"\x80\x02")
        self.memo = {}
        self.puts = 0

    def put(self, name=None):
        self.out += b"q" + bytes([self.puts]) if self.puts < 256 else b"r" + struct.pack("<I", self.puts)
        if name is not None:
            self.memo[name] = self.puts
        self.puts += 1

    def got(self, name):
        if name not in self.memo:
            return False
        number = self.memo[name]
        self.out += b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
        return True

    def text(self, text, known=True):
        """A string; `known` where Python has it as one object, so that it is fetched again."""
        if not (known and self.got(("text", text))):
            raw = text.encode()
            self.out += b"X" + struct.pack("<I", len(raw)) + raw
            self.put(("text", text) if known else None)

    def named(self, words):
        if not self.got(("name", words)):
            self.out += f"c{words}\n".replace(" ", "\n").encode()
            self.put(("name", words))

    def integer(self, n):
        for code, kind, below in ((b"K", "<B", 1 << 8), (b"M", "<H", 1 << 16), (b"J", "<i", 1 << 31)):
            if 0 <= n < below:
                self.out += code + struct.pack(kind, n)
                return
        raw = n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
        self.out += b"\x8a" + bytes([len(raw)]) + raw

    def tuple_of(self, numbers):
        if not numbers:
            self.out += b")"
            return
        if len(numbers) > 3:
            self.out += b"("
        for n in numbers:
            self.integer(n)
        self.out += {1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(numbers), b"t")
        self.put()

    def ordered_dict(self):
        self.named("collections OrderedDict")
        self.out += b")R"
        self.put()

    def items(self, table, value):
        """The items of a dict that lies on the stack."""
        if len(table) > 1:
            self.out += b"("
        for key, item in table.items():
            self.text(key)
            value(item)
        self.out += {0: b"", 1: b"s"}.get(len(table), b"u")

    def tensor(self, storage_type, key, location, elements, offset, shape, strides, legacy=False):
        self.named("torch._utils _rebuild_tensor_v2")
        self.out += b"(("
        self.text("storage")
        self.named(f"torch {storage_type}")
        self.text(key)
        self.text(location, known=location == "cpu")
        self.integer(elements)
        self.out += b"Nt" if legacy else b"t"
        self.put()
        self.out += b"Q"
        self.integer(offset)
        self.tuple_of(shape)
        self.tuple_of(strides)
        self.out += b"\x89"
        self.ordered_dict()
        self.out += b"t"
        self.put()
        self.out += b"R"
        self.put()


def state_dict_members(
    tensors: Mapping[str, np.ndarray], location="cpu", metadata=None, wrapper="", byteorder="little", legacy=False
):
    """Return data.pkl and storages by key for `tensors`; arrays that are one object share a storage, as tied weights do."""
    pickle, storages, keys = Pickle(), {}, {}

    def tensor(array):
        if id(array) not in keys:
            keys[id(array)] = str(len(keys))
            plain = np.ascontiguousarray(array).view(np.ndarray)
            storages[keys[id(array)]] = plain.astype(plain.dtype.newbyteorder(">" if byteorder == "big" else "<")).tobytes()
        kind = STORAGES["bfloat16" if isinstance(array, Bits) else array.dtype.name]
        strides = [int(np.prod(array.shape[i + 1 :], dtype=int)) for i in range(array.ndim)]
        pickle.tensor(kind, keys[id(array)], location, array.size, 0, array.shape, strides, legacy)

    if wrapper:
        pickle.out += b"}"
        pickle.put()
        pickle.text(wrapper)
    pickle.ordered_dict()
    pickle.items(tensors, tensor)
    if metadata is not None:
        pickle.out += b"}"
        pickle.put()
        pickle.text("_metadata")
        pickle.ordered_dict()

        def version(number):
            pickle.out += b"}"
            pickle.put()
            pickle.items({"version": number}, pickle.integer)

        pickle.items(metadata, version)
        pickle.out += b"sb"
    if wrapper:
        pickle.out += b"s"
    return bytes(pickle.out) + b".", storages


def archive(pickle: bytes, storages=None, root="archive", byteorder="little", extra=None, compression=zipfile.ZIP_STORED):
    """Return a file with the members that torch writes, in its order; `extra` adds or replaces members."""
    members = {
        "data.pkl": pickle,
        ".format_version": b"1",
        ".storage_alignment": b"64",
        "byteorder": byteorder.encode(),
        **{f"data/{key}": raw for key, raw in (storages or {}).items()},
        "version": b"3\n",
        ".data/serialization_id": b"0636067187857041371400000000000000000000",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, raw in members.items():
            file.writestr(f"{root}/{name}", raw)
        for name, raw in (extra or {}).items():
            file.writestr(name, raw)
    return out.getvalue()


def torch_file(tensors, root="archive", byteorder="little", **layout):
    """Return the bytes of a file as `torch.save(state_dict, path)` writes it."""
    pickle, storages = state_dict_members(tensors, byteorder=byteorder, **layout)
    return archive(pickle, storages, root, byteorder)


def legacy_file(tensors, byteorder="little"):
    """Return the bytes of a file as torch before 1.6 wrote it."""
    pickle, storages = state_dict_members(tensors, byteorder=byteorder, legacy=True)
    machine = Pickle()
    machine.out += b"}"
    machine.put()
    machine.text("little_endian")
    machine.out += (b"\x88" if byteorder == "little" else b"\x89") + b"s."
    keys = Pickle()
    keys.out += b"]"
    keys.put()
    keys.out += b"("
    for key in storages:
        keys.text(key)
    keys.out += b"e."
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    head = magic + b"\x80\x02M\xe9\x03." + bytes(machine.out) + pickle + bytes(keys.out)
    sizes = {id(t): t.size for t in tensors.values()}
    return head + b"".join(struct.pack("<q", size) + raw for size, raw in zip(sizes.values(), storages.values(), strict=True))
