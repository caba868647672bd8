"""`run.figures`: every figure of a run's page, as matplotlib draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gennaker.errors import explained

if TYPE_CHECKING:
    from host.show.blocks import Figure


class Figures:
    """The figures of a run, one method each: `run.figures.raster()` is a new matplotlib Figure, on white, to change or to save.

    >>> sorted(run.figures)[:3]
    ['activity', 'activity_map', 'busy_map']
    >>> run.figures.stages().savefig("stages.pdf")  # doctest: +SKIP
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _by_name(self) -> dict[str, Figure]:
        from host.run_folder import read_report
        from host.show.page import figures_of
        from host.show.pictures import content_of
        from host.workloads.registry import workload_named

        with explained():
            workload = workload_named(read_report(self._folder).get("workload"))
            content = content_of(self._folder, workload.page() if workload else None)
            return {figure.name: figure for figure in figures_of(content)}

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the figures, as they stand on the page."""
        return iter(self._by_name)

    def __dir__(self) -> list[str]:
        return sorted(self._by_name)

    def __getattr__(self, name: str) -> Callable[[], Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._by_name:
            raise AttributeError(f"run.figures.{name}: this run has {', '.join(self._by_name)}")

        def draw() -> Any:
            from models.palette import GROUND

            figure = self._by_name[name].draw()
            figure.set_facecolor(GROUND)
            return figure

        draw.__name__, draw.__doc__ = name, f"{self._by_name[name].title}. {self._by_name[name].caption}"
        return draw

    def __repr__(self) -> str:
        return f"<gennaker.Figures {', '.join(self)}>"
