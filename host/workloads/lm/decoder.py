"""The decoder of a language model: what the last layer's events say of the next word.

It runs on the host, with the softmax; where the paper ran them is not stated.
"""

from dataclasses import dataclass, field

import numpy as np

from host.workloads.section_events import section_values
from models.checkpoint import DecoderProjection
from models.heads.language import logits_of as add_logits
from models.heads.language import project
from models.network import F32, Population
from noc.packet import FRESH, RESET, VALID, Section


def section_flags(position: int, segment: int) -> int:
    """Return the flags of a text's position: cell states are zeroed every `segment` positions, 0: never again."""
    if position == 0:
        return VALID | FRESH | RESET
    return VALID | RESET if segment and position % segment == 0 else VALID


@dataclass
class Decoder:
    """The tied decoder: `columns` (units, words) float32, `bias` (words,) float32, behind a projection if there is one.

    `output` is the population whose events it hears; None: one of float32 events.
    """

    columns: F32
    bias: F32
    projection: DecoderProjection | None = None
    output: Population | None = None
    logits: F32 = field(init=False)

    def __post_init__(self) -> None:
        self.logits = np.empty_like(self.bias)
        if self.projection is not None:
            self._into, self._hidden = np.ascontiguousarray(self.projection.weight.T), np.empty_like(self.projection.bias)

    def logits_of(self, section: Section, lane: int) -> F32:
        """Return the logits (words,) that one lane's output events make; valid until the next call."""
        units = len(self.columns if self.projection is None else self._into)
        keys, values = np.frombuffer(section.keys, "<u4"), section_values(section, self.output)
        first, last = np.searchsorted(keys, (lane * units, (lane + 1) * units))
        # Copies, because a compiled kernel would be built a second time for the wire's read-only arrays.
        keys, values, first_key = keys[first:last].copy(), values[first:last].copy(), lane * units
        if self.projection is not None:
            project(keys, values, first_key, self._into, self.projection.bias, self.projection.activation, self._hidden)
            keys, first_key = np.flatnonzero(self._hidden).astype(np.uint32), 0
            values = self._hidden[keys]
        add_logits(keys, values, first_key, self.columns, self.bias, self.logits)
        return self.logits
