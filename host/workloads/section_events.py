"""What a section carries, whatever its population sends: keys, numbers, bits, and how many events they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.event_numbers import is_scaled, values_of
from models.kernels import ticks_of
from models.network import U32, Array, Network, Population
from models.numerics import PAYLOADS, payload_bytes
from noc.packet import Section


class Sending(NamedTuple):
    """How a population sends: the numpy type of its numbers ("" for spikes), bytes of each, whether without keys (`dense`), the
    ticks that a position takes, its units, and all keys of its lanes.
    """

    dtype: str
    number_bytes: int
    dense: bool
    ticks: int
    units: int
    keys: U32

    def count_events(self, keys: bytes, values: bytes) -> int:
        """Return how many events they are; each number of a dense section is one."""
        return len(values) // self.number_bytes if self.dense else len(keys) // 4

    def keys_of(self, section: Section) -> U32:
        """Return the keys of a section's events, ascending."""
        return self.keys[: self.count_events(b"", section.values)] if self.dense else np.frombuffer(section.keys, "<u4")

    def bits_of(self, section: Section) -> U32:
        """Return each event's number as 32 bits: those of a float32, a whole number with its sign, 1 for a spike."""
        if self.dtype == "<f4":
            return np.frombuffer(section.values, "<u4")
        return self.numbers_of(section).astype("<i8").astype("<u4")

    def numbers_of(self, section: Section) -> Array:
        """Return each event's number, of the payload's type; a 1 of uint8 for a spike."""
        if not self.dtype:
            return np.ones(len(section.keys) // 4, np.uint8)
        return np.frombuffer(section.values, self.dtype)

    def spread(self, section: Section, lanes: int) -> Array:
        """Return the numbers of all units, (lanes, units), 0 where there is no event."""
        out = np.zeros((lanes, self.units), self.dtype or "|u1")
        out.reshape(-1)[self.keys_of(section)] = self.numbers_of(section)
        return out


def sending_of(population: Population, lanes: int) -> Sending:
    """Return how a population sends."""
    keys = np.arange(lanes * population.units if population.dense else 0, dtype=np.uint32)
    return Sending(
        dtype=PAYLOADS[population.payload], number_bytes=payload_bytes(population.payload), dense=population.dense,
        ticks=ticks_of(population.kernel, population.params), units=population.units, keys=keys,
    )  # fmt: skip


def all_sending(network: Network, lanes: int) -> dict[int, Sending]:
    """Return how each population of a network sends, by its number."""
    return {number: sending_of(population, lanes) for number, population in enumerate(network.populations)}


def section_values(section: Section, population: Population | None = None) -> Array:
    """Return the values, float32, of a section's events with values: of a population whose numbers have a scale, or as they are."""
    if population is None or not is_scaled(population):
        return np.frombuffer(section.values, "<f4")
    return values_of(population, np.frombuffer(section.values, PAYLOADS[population.payload]))
