"""A progress bar for a training run, on the terminal it is watched from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, dict[str, str]], None]]:
    """Yield what a `Trainer` tells: (iterations done, of how many, what to show beside them)."""
    with tqdm(unit="it", dynamic_ncols=True, smoothing=0.05) as bar:

        def told(done: int, total: int, shown: dict[str, str]) -> None:
            bar.total = total
            if not bar.n:  # a run that goes on is not that fast
                bar.initial = bar.n = max(0, done - 1)
            bar.set_postfix(shown, refresh=False)
            bar.update(done - bar.n)

        yield told
