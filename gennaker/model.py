"""`load`: a network from a file or from torch; `Model`: what was read, what was left out, and whether it computes the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gennaker.dnn import Dnn
from gennaker.errors import WrongInput, explained
from gennaker.loaded import Loaded
from gennaker.placing import placed
from gennaker.plan import Plan

if TYPE_CHECKING:
    from models.foreign.request import DnnFindings, ImportRequest


def load(source: Any, **options: Any) -> Model | Any:
    """Read a network, of this project's own format or of another program's.

    Args:
        source: a path to a checkpoint that `launch.py import` reads (torch's state_dict of a torch.nn.GRU or an EvNN model, in
            .pth, .cpt or .safetensors, and whatever other importers there are) or that it has written; the name of a model that
            is shipped ("tiny"); an ONNX or .pt2 file; or a `torch.nn.Module`.
        options: what only you know of another program's file, as the flags of `launch.py import`: `prefix="layers"`,
            `gru="plain"`, `zoneout=0.2`, `state="zeroed"`, `importer="gru"`, `shape=(1, 3, 32, 32)` ... A module that is a DNN
            needs `example=`, an input to trace it with.

    Returns:
        A `Model`, or a `Dnn` of a layered network. What was read of another program's network, what was left out, and whether it
        is exact, is printed (of a DNN its notes alone); `print` the model to see all of it.

    Raises:
        WrongInput: the file is missing, damaged, of no kind that is known, or holds a network that cannot run; or an option is
            none.

    >>> import gennaker as gk
    >>> model = gk.load(example.path)
    >>> model.inputs, model.outputs
    ({'input': 8}, {'egru2': 12})

    """
    with explained():
        example = options.pop("example", None)
        if isinstance(source, str | os.PathLike):
            from models import shipped

            path = shipped.path_of(os.fspath(source)) or Path(source).expanduser()
            if example is not None:
                raise WrongInput(f"load {path}: example is for torch modules; this is a file")
            if (dnn := _dnn_of(path, options)) is not None:
                return dnn
            if _is_own(path):
                if options:
                    raise WrongInput(f"load {path}: options are for other programs' files; this is a checkpoint of Gennaker's")
                from models.checkpoint import load as load_own

                return Model(load_own(path), name=path.name, path=path)
            from models.foreign.import_model import import_model

            findings, name = import_model(path, _request(options)), path.name
        else:
            from models.foreign.module import is_module, model_of_module
            from models.network import ModelError

            name = type(source).__name__
            if not is_module(source):
                raise WrongInput(f"load: needs a path or a torch.nn.Module, has {name}")
            if example is not None:
                from models.foreign.dnn_module import dnn_of_module

                return _shown(dnn_of_module(source, example, _request(options)), name)
            try:
                findings = model_of_module(source, _request(options))
            except ModelError as error:
                raise ModelError(f"{error}; a DNN is exported with an input: example=TENSOR") from None
    model = Model(findings.model, name=name, description=dict(findings.description), notes=findings.notes)
    print(model)  # noqa: T201 - what a user should see before anything runs
    return model


def _dnn_of(path: Path, options: Mapping[str, Any]) -> Dnn | None:
    """Return the DNN in a file; None where it is none. WrongInput or ModelError for one that cannot be used."""
    from host.workloads.dnn_files import dnn_importer, holds_dnn

    if not holds_dnn(path):
        return None
    if dnn_importer(path) is None:
        from models.dnn.file import load_dnn

        if options:
            raise WrongInput(f"load {path}: options are for other programs' files; this is a checkpoint of Gennaker's")
        return Dnn(load_dnn(path), name=path.name)
    from models.foreign.import_dnn import import_dnn

    return _shown(import_dnn(path, _request(options)), path.name)


def _shown(findings: DnnFindings, name: str) -> Dnn:
    dnn = Dnn(findings.model, name=name, description=dict(findings.description), notes=findings.notes)
    for note in dnn.notes:
        print(f"{name}: {note}")  # noqa: T201 - what a user should see before anything runs
    return dnn


def _request(options: Mapping[str, Any]) -> ImportRequest:
    """Return the options as importers take them; WrongInput for one that none has."""
    from host.errors import nearest_name
    from models.foreign.request import ImportRequest
    from models.importers import all_flags

    shared, own = ("prefix", "segment", "state", "licence", "importer", "text"), [flag.name for flag, _ in all_flags()]
    for name in options:
        if name not in (known := sorted({*shared, *own})):
            raise WrongInput(f"load: no option {name!r}; have {', '.join(known)}; did you mean {nearest_name(name, known)!r}?")
    values = {name: options[name] for name in shared if name in options}
    if "text" in values:
        values["text"] = Path(values["text"])
    return ImportRequest(**values, options={name: options[name] for name in own if name in options})


def _is_own(path: Path) -> bool:
    """Tell whether the file is to be read as this project's own; what is missing too, by whoever says so best."""
    from models.checkpoint.tensorfile import opened
    from models.network import ModelError

    if not path.is_file():
        return True
    try:
        with opened("", path) as (metadata, _):
            return "gennaker" in metadata
    except ModelError:
        return False
    except Exception:
        return False


class Model(Loaded):
    """A network, with what lies around it on the host: what `load` has read.

    `name`: of the file or class. `notes`: what was left out or done to it, a line each. `exact`: whether it computes what the other
    program does, up to the rounding of sums; None where nothing is known or nothing was converted. `checkpoint`: the network
    itself.
    """

    def fit(
        self, *, batch: int | None = None, pes: int | None = None, mapping: str = "uniform", format: str = "csr",
        chips: int = 1, chip: str = "spinnaker2", chip_file: str | os.PathLike[str] | None = None,
    ) -> Plan:  # fmt: skip
        """Place the network on PEs; nothing is started.

        Args:
            batch: how many sequences run side by side, for which each PE has memory; None: as many as a run is given, and the plan
                is shown for one.
            pes: how many PEs to use; None: all that spare the busiest a unit ("balanced": as few as fit).
            mapping: how units are dealt to PEs: "uniform" (the paper's), "balanced", "clustered" ...
            format: how weights lie in SRAM: "csr", "packed" or "dense".
            chips: how many chips, linked as on a board.
            chip: "spinnaker2" or "spinnaker2-300mhz".
            chip_file: a TOML file with numbers of the chip to override (docs/costs.md).

        Returns:
            A `Plan`, which runs it.

        Raises:
            DoesNotFit: a PE's 128 KiB or the chip's PEs do not suffice; with the region, the bytes and the fewest PEs that would.
            WrongInput: a name or number that is none.

        >>> plan = model.fit(pes=4, mapping="balanced")
        >>> plan.pes
        4
        >>> try:
        ...     model.fit(pes=200)
        ... except gk.DoesNotFit as error:
        ...     print(error)
        ...     print(error.need, error.free, error.fewest_pes)
        pes=200: one chip has 152 PEs; what fits: ...
        200 152 2

        """
        from host.workloads.arrays.options import Options

        file = None if chip_file is None else os.fspath(chip_file)
        with explained():
            options = Options(
                checkpoint=str(self.file()), batch=batch, pes=pes, mapping=mapping, format=format, chips=chips, chip=chip,
                chip_file=file,
            )  # fmt: skip
            options.check()
        return Plan(self, options, placed(self, options, lanes=options.batch or 1))
