"""`Outcome`: how a run ended."""

from dataclasses import dataclass, field
from typing import Any

from host.errors import Exit


@dataclass
class Outcome:
    """How a run ended: exit code, the report (complete or partial), one line on what went wrong, and the mapping table."""

    code: Exit
    report: dict[str, Any] | None = None
    problem: str | None = None
    mapping: list[dict[str, Any]] = field(default_factory=list)
    mismatch: dict[str, Any] | None = None
