"""A progress bar for a training run, on the terminal it is watched from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(begun: int, total: int) -> Iterator[Callable[[int, int, dict[str, str]], None]]:
    """Yield what a `Trainer` tells: (iterations done, of how many, what to show beside them).

    The iterations that a run which goes on had `begun` with count as done, but not for its speed.
    """
    with tqdm(unit="it", dynamic_ncols=True, smoothing=0.05, initial=begun, total=total) as bar:

        def told(done: int, total: int, shown: dict[str, str]) -> None:  # noqa: ARG001 - a trainer says both
            bar.set_postfix(shown, refresh=False)
            bar.update(done - bar.n)

        yield told
