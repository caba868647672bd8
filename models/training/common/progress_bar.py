"""A progress bar for a training run, on the terminal it is watched from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from models.training.common.loop import OnProgress


@contextmanager
def progress_bar(begun: int, total: int) -> Iterator[OnProgress]:
    """Yield what a training loop calls with its progress.

    The iterations that a run which goes on had `begun` with count as done, but not for its speed.
    """
    with tqdm(unit="it", dynamic_ncols=True, smoothing=0.05, initial=begun, total=total) as bar:

        def update(done: int, total: int, shown: dict[str, str]) -> None:  # noqa: ARG001 - a trainer says both
            bar.set_postfix(shown, refresh=False)
            bar.update(done - bar.n)

        yield update
