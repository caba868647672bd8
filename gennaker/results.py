"""`Run`: what came of a run: outputs, events, states, cost, hash; and the run folder that the command line would have written."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gennaker.answers import Bottleneck, bottleneck_from
from gennaker.bands import Band
from gennaker.costs import Cost, cost_of, settings_of
from gennaker.errors import Error, WrongInput, explained
from gennaker.figures import Figures
from gennaker.ledger import Ledger
from gennaker.rich_text import frame_of, html_table, list_of_rows
from host.run_folder import read_report
from models.network import Array

if TYPE_CHECKING:
    from gennaker.sequences import Sequences
    from gennaker.temporary_folder import TemporaryFolder
    from host.cost.ledger import RunLedger


class Run:
    """A run that has come to its end; it keeps its folder in a temporary place as long as it is there.

    `report` is what `report.json` and the files that it lists hold (docs/report.md).

    >>> run.sha256 == plan.run(x, transport="mem").sha256
    True
    """

    def __init__(self, name: str, folder: TemporaryFolder, sequences: Sequences, saved: tuple[str, ...]) -> None:
        self._name, self._folder, self._sequences, self._saved = name, folder, sequences, saved
        self.report: dict[str, Any] = read_report(self._path)

    @property
    def _path(self) -> Path:
        return self._folder.path / "run"

    def _file(self, name: str) -> Path:
        if name not in self._saved:
            have = ", ".join(self._saved) or "nothing"
            raise Error(f"run.{name}: was not kept; run with save=({', '.join(map(repr, (*self._saved, name)))}), have {have}")
        return self._path / f"{name}.npz"

    @cached_property
    def outputs(self) -> Any:
        """What the network answers, behind its head where it has one: float32, in the form of x: (time, features), (sequences,
        time, features), or a list of (time, features). Of a network with several outputs a dict of such by name.

        >>> run.outputs.dtype, run.outputs.shape
        (dtype('float32'), (3, 20, 12))
        """
        with np.load(self._file("outputs")) as file:
            lengths = file["lengths"].tolist()
            arrays = {name: file[name] for name in file.files if name != "lengths"}
        shaped = {name: self._shaped(array, lengths) for name, array in arrays.items()}
        return next(iter(shaped.values())) if len(shaped) == 1 else shaped

    def _shaped(self, array: Array, lengths: list[int]) -> Any:
        return self._sequences.shaped([array[number, :length] for number, length in enumerate(lengths)])

    @cached_property
    def events(self) -> Array:
        """Every event of every layer, a structured array: `sequence`, `position` within it, `phase` (0 but for neurons that take
        several ticks), `population` (`populations` has the names), `unit` and `value` (1 of a spike).

        >>> run.events.dtype.names
        ('sequence', 'position', 'phase', 'population', 'unit', 'value')
        """
        with np.load(self._file("events")) as file:
            events: Array = file["events"]
            return events

    @cached_property
    def populations(self) -> tuple[str, ...]:
        """The names of populations by number, as `events` counts them.

        >>> run.populations
        ('input', 'egru1', 'egru2')
        """
        with np.load(self._file("events")) as file:
            return tuple(map(str, file["populations"]))

    def events_frame(self) -> Any:
        """Return the events as a pandas DataFrame, with the populations' names in `layer`."""
        frame = frame_of(self.events)
        frame["layer"] = np.array(self.populations)[self.events["population"]]
        return frame

    @cached_property
    def states(self) -> Mapping[str, Mapping[str, Any]]:
        """What neurons keep after each position, where `save` had "states": layer -> field -> an array in the form of outputs.

        >>> with_states = plan.run(x, save=["states"], transport="mem")
        >>> with_states.states["egru1"]["cell"].shape
        (3, 20, 16)
        """
        states: dict[str, dict[str, Any]] = {}
        with np.load(self._file("states")) as file:
            lengths = file["lengths"].tolist()
            for name in file.files:
                layer, _, field = name.rpartition(".")
                if layer:
                    states.setdefault(layer, {})[field] = self._shaped(file[name], lengths)
        return states

    def to_xarray(self) -> Any:
        """Return outputs and states, as far as they are kept, as an xarray Dataset over `sequence` and `time`; Error where there is
        no xarray. They are called as in their files: `outputs`, or an output's name where there are several; `egru1.cell`.
        Behind the end of a short sequence are zeros; `length` says where that is.
        """
        try:
            xarray = importlib.import_module("xarray")
        except ImportError:
            raise Error("to_xarray needs xarray: pip install xarray") from None
        arrays: dict[str, Any] = {}
        for array in ("outputs", "states"):
            if array in self._saved:
                with np.load(self._file(array)) as file:
                    arrays["length"] = ("sequence", file["lengths"])
                    for name in file.files:
                        if name != "lengths":
                            population = name if array == "outputs" else name.rpartition(".")[0]
                            axes = [f"{population}.phase", f"{population}.unit"][4 - file[name].ndim :]
                            arrays[name] = (("sequence", "time", *axes), file[name])
        return xarray.Dataset(arrays)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all events (docs/report.md): the same on any PEs, chips and transports, and as `launch.py run`
        prints it.
        """
        return str(self.report["events"]["sha256"])

    @property
    def metrics(self) -> dict[str, float | None]:
        """The workload's figures of merit and the run's counters by name: `events`, `macs` (multiply-accumulates) ...

        >>> run.metrics["events"] == len(run.events)
        True
        """
        counts = {name: value for name, value in self.report["counters"].items() if isinstance(value, int)}
        return counts | {metric["name"]: metric["value"] for metric in self.report["metrics"]}

    @property
    def sparsity(self) -> dict[str, float]:
        """For each layer the share of units without an event, from 0 to 1."""
        layers = [population.name for population in self._ledger.populations if population.kernel]
        return dict(zip(layers, self.report["events"]["sparsity_by_layer"], strict=True))

    @cached_property
    def ledger(self) -> Ledger:
        """What every PE did at every position: a table, as a pandas DataFrame or an xarray Dataset.

        >>> run.ledger
        <gennaker.Ledger: ... positions on ... PEs, ... columns>
        """
        return Ledger(self._path)

    @property
    def _ledger(self) -> RunLedger:
        return self.ledger.recorded

    @cached_property
    def cost(self) -> Cost:
        """What the run would cost on the chip, as it was configured."""
        return self.price()

    @property
    def time_s(self) -> Band:
        """Modelled seconds of the run on the chip.

        >>> 0 < run.time_s.low <= run.time_s.high
        True
        """
        return self.cost.time_s

    @property
    def energy_j(self) -> Band:
        """Modelled joules of the run on the chip."""
        return self.cost.energy_j

    @cached_property
    def figures(self) -> Figures:
        """Every figure of the run's page by name: `run.figures.raster()` is a matplotlib Figure, to change or to save.

        >>> "stages" in run.figures
        True
        """
        return Figures(self._path)

    def price(self, **settings: Any) -> Cost:
        """Return what the run would cost with other settings; nothing is run.

        Args:
            settings: as of `launch.py price --set` (docs/costs.md): `clock="300MHz"`, `schedule="pipelined"`,
                `exponential="unit"`, any constant of host/cost/costs.toml; `chip={"name": number}` for numbers of the chip.

        Raises:
            WrongInput: a name or value that is none.

        >>> run.price(clock="300MHz").time_s.value < run.time_s.value
        True

        """
        from host.cost.price import price_at

        with explained():
            return cost_of(price_at(self._ledger, settings_of(settings)), self._ledger.executions)

    @cached_property
    def bottleneck(self) -> Bottleneck:
        """What takes the largest share of the run's time on the chip, in a sentence and in figures.

        >>> print(run.bottleneck.sentence)  # doctest: +ELLIPSIS
        ...; the slowest layer is egru1 with ...
        """
        return bottleneck_from(self._answers)

    def what_if(self, frame: bool | None = None) -> Any:
        """Return what each single setting would change, a row each; nothing is run (docs/answers.md).

        A row has `group`, `value` and `was`, the setting, the choice and what the run has; `time_s`, `energy_j`, `moved_bytes` and
        `sram_bytes` of the fullest PE; and `time_change`, `energy_change` and `bytes_change`, shares of the run's own. Other
        formats, mappings and numbers of chips are among them: their counts are `expected`. Where there are no figures `note`
        says why.

        Args:
            frame: whether as a pandas DataFrame, else a list of dicts; None: a frame where pandas is installed.

        >>> rows = run.what_if(frame=False)
        >>> fast = next(row for row in rows if row["value"] == "300MHz")
        >>> fast["time_s"] == run.price(clock="300MHz").time_s.value
        True

        """
        if frame is None:
            frame = importlib.util.find_spec("pandas") is not None
        return list_of_rows(self._answers["rows"], frame)

    @cached_property
    def _answers(self) -> dict[str, Any]:
        from host.cost.what_if import PricingTerms
        from host.run.placed_answers import answers_of_folder

        with explained():
            return answers_of_folder(self._path, PricingTerms(self._ledger), self.report)

    def save(self, folder: str | os.PathLike[str], *, pictures: bool = True) -> Path:
        """Write the run folder that `launch.py run` would have written: report, options, mapping, ledger and what was kept; with
        `pictures` also report.html, its figures and trace.json.gz. The inputs lie beside them, so that its config.json repeats
        the run.

        Returns the folder. WrongInput where it exists, or cannot be written.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     sorted(file.name for file in run.save(f"{place}/mine", pictures=False).iterdir())
        ['config.json', 'conservation.json', 'details.json', 'events.npz', ... 'modelled.json', 'neurobench.json', ...]
        """
        target = Path(folder).expanduser()
        with explained():
            if os.path.lexists(target):
                raise WrongInput(f"save {target}: exists already; a run never writes over another")
            try:
                shutil.copytree(self._path, target)
                self._move_inputs(target)
            except OSError as error:
                shutil.rmtree(target, ignore_errors=True)
                raise WrongInput(f"save {target}: cannot be written ({error.strerror})") from None
            if pictures:
                from host.options import TRACE_POSITIONS
                from host.show.pictures import make_pictures

                make_pictures(target, TRACE_POSITIONS)
        return target

    def _move_inputs(self, target: Path) -> None:
        """Copy what lies in temporary places beside the run, and let config.json say so."""
        path = target / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        for option, name in (("inputs", "inputs.npz"), ("checkpoint", "model.safetensors")):
            source = Path(config[option])
            if Path(tempfile.gettempdir()).resolve() in source.resolve().parents and source.name == name:
                shutil.copy(source, target / name)
                config[option] = str((target / name).resolve())
        path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "run", f"{self._name}: {self.report['result'].get('vectors', 0):,} vectors of {self._sequences.count:,} sequences"
        yield "sha256", self.sha256
        yield "events", f"{self.report['events']['count']:,}"
        yield "cost", str(self.cost)

    def __repr__(self) -> str:
        return f"<gennaker.Run {self._name}: {self.report['events']['count']:,} events, {self.sha256[:12]}>"

    def __str__(self) -> str:
        return "\n".join(f"{name:<8} {text}" for name, text in self._rows())

    def _repr_html_(self) -> str:
        return html_table(["", ""], list(self._rows()), title=f"Run of {self._name}")
