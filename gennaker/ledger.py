"""`Ledger`: what every PE did at every position of a run, as a table."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gennaker.errors import explained

if TYPE_CHECKING:
    from host.cost.ledger import RunLedger


class Ledger:
    """The ledger in a run folder (docs/report.md): a row a position, a column for each count, read where it is asked for.

    WrongInput where the folder has none, or one that is damaged.

    >>> run.ledger.columns[1]
    ('stepped', '', 'egru1', '')
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    @cached_property
    def recorded(self) -> RunLedger:
        """The same as the prices of the project read it (host/cost/ledger.py)."""
        from host.cost.ledger_file import open_ledger

        with explained():
            return open_ledger(self._folder)

    def __len__(self) -> int:
        """Return how many positions it has."""
        return self.recorded.positions

    @cached_property
    def columns(self) -> list[tuple[str, str, str, str]]:
        """The name of each column: what is counted, on which PE ("" for none), of which population, and where there is one the port
        with its source, the tick of the step, or the peer.
        """
        from host.cost.ledger_columns import column_names

        return [(*name,) for name in column_names(self.recorded, tuple(self.recorded.part(0, 0).by_turn))]

    def to_frame(self, first: int = 0, last: int | None = None) -> Any:
        """Return positions from `first` to `last` (exclusive, None: all) as a pandas DataFrame with these columns; needs pandas.

        >>> frame = run.ledger.to_frame()
        >>> int(frame["events"].sum().sum()) == run.metrics["events"]
        True
        """
        from host.cost.ledger_frames import ledger_frame

        with explained():
            return ledger_frame(self.recorded, first, last)

    def to_xarray(self, first: int = 0, last: int | None = None) -> Any:
        """Return the same as an xarray Dataset over `position` and `turn`, `port`, `input` and so on; needs xarray."""
        from host.cost.ledger_frames import ledger_dataset

        with explained():
            return ledger_dataset(self.recorded, first, last)

    def __repr__(self) -> str:
        run = self.recorded
        return f"<gennaker.Ledger: {run.positions:,} positions on {len(run.pes)} PEs, {len(self.columns):,} columns>"
