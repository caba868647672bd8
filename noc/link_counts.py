"""`LinkCounts`: what a router found wrong on its links, and mended, by who sent it."""

from __future__ import annotations

from collections import Counter

KINDS = ("unchecked", "damaged", "repeated", "lost", "asked")


class LinkCounts:
    """Messages by sender: `unchecked` without a checksum, `damaged` by theirs, `repeated` that had come before, `lost` before one
    that came; and how often it `asked` this router to say something again.
    """

    def __init__(self) -> None:
        self.unchecked, self.damaged, self.repeated, self.lost, self.asked = (Counter[str]() for _ in KINDS)

    def record(self) -> dict[str, dict[str, int]]:
        """Return the counts that are not empty, by kind."""
        return {kind: dict(counts) for kind in KINDS if (counts := +getattr(self, kind))}
