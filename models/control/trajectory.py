"""The hash of an episode: a chain of SHA-256 over its observations and actions, which can be gone on with from its last link."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from models.network import F32


def next_link(link: str, observation: F32, action: Any) -> str:
    """Return the link that follows `link` ("" before the first) by an observation (numbers,) float32 and the action taken there: a
    whole number, or numbers in float32.
    """
    raw = (
        bytes.fromhex(link)
        + observation.astype("<f4").tobytes()
        + np.asarray(action, "<u4" if isinstance(action, int) else "<f4").tobytes()
    )
    return hashlib.sha256(raw).hexdigest()
