"""The fingerprint of a scheduled network's run: SHA-256 over whole tensors, so that no tile, worker or chip shows in it.

A record is as that of an event (`host/run/event_hash.py`): position (0), number of the operation, flat index in C order, and the
value's bits as a whole number of 32; zeros are there, too. A sample is a sequence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.network import Array
from noc.packet import Section


class TensorStream:
    """Takes the tensors of each sample, in the order of the operations that make them; `layers` populations have no events."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._kept: tuple[Any, Array] = (), _record_of(())  # tensors by number and size, and their records: values are missing
        self._digests: dict[int, str] = {}
        self._numbers = self._zeros = 0

    def add(self, section: Section) -> int:  # noqa: ARG002 - a network's populations send nothing
        """Take a section, which has no events."""
        return 0

    def add_sample(self, sample: int, tensors: Mapping[int, Array]) -> None:
        """Take all tensors of a sample, by the number of the operation."""
        parts = tuple((number, tensor.size) for number, tensor in tensors.items())
        if parts != self._kept[0]:
            self._kept = parts, _record_of(parts)
        record = self._kept[1]
        values = record[:, 3].view("<i4")
        np.concatenate([tensor.reshape(-1) for tensor in tensors.values()], out=values, casting="same_kind")
        self._digests[sample] = hashlib.sha256(record.data).hexdigest()
        self._numbers += len(values)
        self._zeros += len(values) - int(np.count_nonzero(values))

    def sequence_sha256(self, sequence: int) -> str:
        """Return the digest of one sample."""
        return self._digests[sequence]

    def sha256(self) -> str:
        """Return the digest of all samples: over each one's number and digest in order."""
        total = hashlib.sha256()
        for sample in sorted(self._digests):
            total.update(np.uint32(sample).tobytes() + bytes.fromhex(self._digests[sample]))
        return total.hexdigest()

    def activity(self) -> list[float]:
        """Return the share of numbers that are not zero, of the last population; others send none."""
        share = (self._numbers - self._zeros) / self._numbers if self._numbers else 0.0
        return [0.0] * (self._layers - 1) + [share]

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {"digests": self._digests, "numbers": self._numbers, "zeros": self._zeros}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        self._digests = {int(sample): str(digest) for sample, digest in record["digests"].items()}
        self._numbers, self._zeros = record["numbers"], record["zeros"]

    def report(self) -> dict[str, Any]:
        """Return the report's `events` block: a number of a tensor is an event."""
        return {
            "sha256": self.sha256(), "sequences": [self._digests[sample] for sample in sorted(self._digests)],
            "count": self._numbers, "by_layer": [0] * (self._layers - 1) + [self._numbers],
            "sparsity_by_layer": [1.0 - share for share in self.activity()], "positions": int(bool(self._digests)),
        }  # fmt: skip


def _record_of(parts: tuple[tuple[int, int], ...]) -> Array:
    """Return the records of tensors by number and size, (numbers, 4) uint32, without their values."""
    record = np.zeros((sum(size for _, size in parts), 4), "<u4")
    at = 0
    for number, size in parts:
        record[at : at + size, 1], record[at : at + size, 2] = number, np.arange(size, dtype=np.uint32)
        at += size
    return record
