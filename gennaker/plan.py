"""`Plan`: a network placed on PEs, before anything is started. It runs arrays, and opens sessions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gennaker.errors import in_python
from gennaker.placing import PlacedModel
from gennaker.rich_text import html_table, list_of_rows

if TYPE_CHECKING:
    from gennaker.results import Run
    from gennaker.session import Session

_ROLES = ("program", "debug", "weights", "variables", "spill", "free")


class Plan(PlacedModel):
    """A model on PEs. `pes` and `chips` say how many are in use, `free` the bytes that the fullest PE has left.

    >>> print(plan)
    4 PEs on 1 chip, mapping balanced, format csr, batch 1
    PE           layer  units  program  weights  variables    free
    PE(1,1,0)@0  egru1      8   18,330    3,904      2,732  88,692
    PE(1,1,2)@0  egru2      6   18,330    3,608      2,612  89,124
    the fullest PE of each layer, bytes
    """

    @property
    def pes(self) -> int:
        """How many PEs are in use."""
        return len(self.placement.pes)

    @property
    def chips(self) -> int:
        """How many chips the machine has."""
        return len(self.placement.machine.live)

    @property
    def free(self) -> int:
        """Bytes of data memory that the fullest PE has left."""
        return self.placement.worst()["free"]

    @property
    def advice(self) -> str:
        """What to say of it: where it has more PEs than its few units make use of, and `fit` was not told how many; else "".

        >>> gk.load("tiny").fit().advice
        '1.7 units a PE: more PEs than so few units make use of; pes=N takes fewer, mapping=balanced takes 2'
        """
        from host.mapping.advice import fewer_pes

        return in_python(fewer_pes(self.placement.network, self.placement.request, self.pes))

    def table(self, frame: bool = False) -> Any:
        """Return a row a PE: `pe`, its name; `layer`; `units`, how many; and bytes: `program`, `debug`, `weights`, `variables`,
        `spill` (of variables behind the program) and `free`.

        A list of dicts, or with `frame=True` a pandas DataFrame.

        >>> plan.table()[0]["pe"], plan.table()[0]["units"]
        ('PE(1,1,0)@0', 8)
        """
        rows = []
        for row in self.placement.table():
            sizes = {role: row["sram"][role] for role in _ROLES}
            rows.append({"pe": row["pe"], "layer": "+".join(row["layers"]), "units": sum(map(len, row["units"])), **sizes})
        return list_of_rows(rows, frame)

    def run(
        self, x: Any, *, save: str | Sequence[str] = ("outputs", "events"), transport: str = "zmq", verify: bool = False,
        progress: bool | None = None, stall_s: float = 30.0,
    ) -> Run:  # fmt: skip
        """Run arrays through the network.

        Args:
            x: one sequence (time, features), a batch (sequences, time, features), or a list of sequences of any lengths; float32,
                or what the input sends (whole numbers, 0 and 1 of spikes). For several inputs, a dict of such by the input's name.
            save: what to keep of what the network computes, of "outputs", "events" and "states"; one name or several.
            transport: "zmq", a process for each PE and router; or "mem", all in this process: the same bits and hash.
            verify: compare every event with a plain reference; slow.
            progress: show how far the run is; None: in a notebook or a terminal.
            stall_s: give up after so many seconds without progress.

        Returns:
            A `Run`, with outputs of x's form, events, and what it would have cost on the chip.

        Raises:
            WrongInput: x is of another shape, width, type or batch than the plan, or has numbers that are not finite.
            DoesNotFit: so many sequences side by side do not fit the PEs.
            RunError: a process died or stood still, packets were lost, or verify found a difference.

        >>> run = plan.run(x, transport="mem")
        >>> x.shape, run.outputs.shape
        ((3, 20, 8), (3, 20, 12))

        """
        from gennaker.running import run_plan

        names = (save,) if isinstance(save, str) else tuple(save)
        return run_plan(self, x, save=names, transport=transport, verify=verify, progress=progress, stall_s=stall_s)

    def session(
        self, *, batch: int | None = None, transport: str = "zmq", stall_s: float = 30.0,
        restore: str | os.PathLike[str] | None = None,
    ) -> Session:  # fmt: skip
        """Open a closed loop: the network stays on its PEs, and is fed a vector at a time.

        Args:
            batch: how many sequences run side by side; None: the plan's, or 1.
            transport: as of `run`.
            stall_s: give up on a step after so many seconds.
            restore: a file that a session of this plan has saved, to go on from.

        Returns:
            A `Session`; use it in a `with`, at whose end its processes leave.

        >>> with plan.session(transport="mem") as chip:
        ...     y = chip.step(x[0, 0])
        >>> y.shape
        (12,)

        """
        from gennaker.session import Session

        return Session(self, batch=batch, transport=transport, stall_s=stall_s, restore=restore)

    def _fullest(self) -> list[Mapping[str, Any]]:
        rows: dict[str, Mapping[str, Any]] = {}
        for row in self.table():
            if row["layer"] not in rows or row["free"] < rows[row["layer"]]["free"]:
                rows[row["layer"]] = row
        return list(rows.values())

    def _title(self) -> str:
        of, chips = self.options, f"{self.chips} chip" + ("s" if self.chips > 1 else "")
        return f"{self.pes} PEs on {chips}, mapping {of.mapping}, format {of.format}, batch {self.placement.request.lanes}"

    def __repr__(self) -> str:
        return f"<gennaker.Plan {self.model.name}: {self._title()}>"

    def __str__(self) -> str:
        from host.show.text_table import format_table

        names = ("program", "weights", "variables", "free")
        cells = [["PE", "layer", "units", *names]]
        for row in self._fullest():
            cells.append([row["pe"], row["layer"], str(row["units"]), *(f"{row[name]:,}" for name in names)])
        table = map(str.rstrip, format_table(cells, left=(0, 1)))
        return "\n".join([self._title(), *table, "the fullest PE of each layer, bytes", *filter(None, [self.advice])])

    def _repr_html_(self) -> str:
        heads = ["PE", "layer", "units", *_ROLES]
        rows = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row.values()] for row in self._fullest()]
        note = "; ".join(filter(None, ["the fullest PE of each layer, bytes; table() has every PE", self.advice]))
        return html_table(heads, rows, title=self._title(), note=note)
