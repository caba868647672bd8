"""`Loaded`: a network in memory and the file that it can be run from; what plans need of a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gennaker.errors import WrongInput, explained, in_python
from gennaker.rich_text import html_table
from gennaker.temporary_folder import TemporaryFolder

if TYPE_CHECKING:
    from host.workloads.arrays.expected_input import ExpectedInput
    from models.checkpoint import Model as Checkpoint


class Loaded:
    """A network, with what lies around it on the host.

    `name`: of the file or class. `notes`: what was left out or done to it, a line each. `exact`: whether it computes what the other
    program does, up to the rounding of sums; None where nothing is known or nothing was converted. `checkpoint`: the network
    itself.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, name: str, path: Path | None = None, description: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.checkpoint, self.name = checkpoint, name
        recorded = checkpoint.provenance.get("notes", ())
        self.notes = tuple(in_python(str(note)) for note in notes or (recorded if isinstance(recorded, list | tuple) else ()))
        exact = checkpoint.provenance.get("exact")
        self.exact: bool | None = exact if isinstance(exact, bool) else None
        self._description = dict(description or {})
        self._path = path.absolute() if path else None
        self._stamp = _stamp(self._path) if self._path else None
        self._folder: TemporaryFolder | None = None

    @property
    def inputs(self) -> dict[str, int]:
        """The inputs by name, and how many numbers each takes: those of the front end where the model has one.

        >>> model.inputs
        {'input': 8}
        """
        return {one.name: one.units for one in self.expected}

    @property
    def outputs(self) -> dict[str, int]:
        """The outputs by name, and how many numbers each gives: those of the head where the model has one.

        >>> model.outputs
        {'egru2': 12}
        """
        import numpy as np

        from models.heads.affine import answer_of

        network = self.checkpoint.network
        ends = {network.populations[n].name: network.populations[n].units for n in network.outputs}
        if len(ends) > 1:
            return ends
        return {name: answer_of(self.checkpoint, np.zeros(units, np.float32)).shape[-1] for name, units in ends.items()}

    @property
    def layers(self) -> dict[str, int]:
        """The populations that run on PEs by name, and their units.

        >>> model.layers
        {'egru1': 16, 'egru2': 12}
        """
        network = self.checkpoint.network
        return {network.populations[n].name: network.populations[n].units for n in network.layers}

    @property
    def expected(self) -> list[ExpectedInput]:
        """What each input takes."""
        from host.workloads.arrays.prepare import expected_by

        return expected_by(self.checkpoint)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a checkpoint of this project, which every command takes; WrongInput where the file exists.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/mine.safetensors")
        ...     gk.load(f"{folder}/mine.safetensors").layers
        {'egru1': 16, 'egru2': 12}
        """
        from models.checkpoint import save

        target = Path(path).expanduser()
        if os.path.lexists(target):
            raise WrongInput(f"save {target}: exists already; nothing is overwritten")
        with explained():
            try:
                save(target, self.checkpoint)
            except OSError as error:
                raise WrongInput(f"save {target}: cannot be written ({error.strerror})") from None

    def file(self) -> Path:
        """Return a checkpoint file of the model: the one that it was read from, as long as that is as it was, else a copy that goes
        with this object.
        """
        if self._path is not None and _stamp(self._path) == self._stamp:
            return self._path
        if self._folder is None:
            self._folder = TemporaryFolder("model")
            self.save(self._folder.path / "model.safetensors")
        return self._folder.path / "model.safetensors"

    def rows(self) -> list[tuple[str, str]]:
        """Return what is to be said of the model, as pairs of a name and a text."""
        network = self.checkpoint.network
        ends = [(name, ", ".join(f"{key} {units:,}" for key, units in of.items())) for name, of in self._ends().items()]
        exact = {True: "yes, up to the rounding of sums", False: "no: see the notes", None: ""}[self.exact]
        rows = [("model", self.name), *ends, ("weights", f"{network.nonzeros:,} that are not zero")]
        names = {name for name, _ in rows}
        rows += [(name, text) for name, text in self._description.items() if name not in names]
        return rows + ([("exact", exact)] if exact else []) + [("note", note) for note in self.notes]

    def _ends(self) -> dict[str, dict[str, int]]:
        return {"inputs": self.inputs, "layers": self.layers, "outputs": self.outputs}

    def __repr__(self) -> str:
        layers = " > ".join(map(str, (*self.inputs.values(), *self.layers.values())))
        return f"<gennaker.Model {self.name}: {layers}, {self.checkpoint.network.nonzeros:,} weights>"

    def __str__(self) -> str:
        return "\n".join(f"{name:<14} {text}" for name, text in self.rows())

    def _repr_html_(self) -> str:
        return html_table(["", ""], self.rows(), title=f"Model {self.name}")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
