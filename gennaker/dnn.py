"""`Dnn`: a layered network that `load` has read, in float32, in int8, or both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gennaker.errors import WrongInput, explained, in_python
from gennaker.rich_text import html_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.dnn.model import DnnModel
    from models.quantise.dnn import LayerLoss


class Dnn:
    """A layered network (DNN), as `load` gives it of an ONNX file, of torch.export's .pt2, or of a torch module with `example=`.

    `name`: of the file or class. `notes`: what was done to it, a line each. `model`: its float graph and integer network. `losses`:
    what int8 did to each layer, where it was quantised here.

        >>> net = gk.load(example.onnx)
        cnn-float.onnx: quantised already: 8 tensors have the file's own scales
        cnn-float.onnx: sums are rounded as ONNX rounds, ties to even; `quantise round` has others
        >>> int8 = net.quantise(example.samples)
        >>> int8.quantised, len(int8.losses) > 0
        (True, True)
        >>> {name: y.shape for name, y in int8.reference(example.samples[0]).items()}
        {'matmul30': (1, 7)}
    """

    def __init__(
        self, model: DnnModel, *, name: str, description: Mapping[str, str] | None = None, notes: Sequence[str] = ()
    ) -> None:
        self.model, self.name, self.notes = model, name, tuple(in_python(note) for note in notes)
        self.losses: tuple[LayerLoss, ...] = ()
        self._description = dict(description or {})

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The inputs by name, and their shapes."""
        return self._ends(outputs=False)

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The outputs by name, and their shapes."""
        return self._ends(outputs=True)

    @property
    def quantised(self) -> bool:
        """Whether there is an integer network."""
        return self.model.network is not None

    @property
    def sha256(self) -> str:
        """The hash of the integer network with its rounding and overflow; "" before it is quantised."""
        return self.model.network.fingerprint() if self.model.network is not None else ""

    def quantise(
        self, samples: Any = None, *, scales: str = "pow2", round: str | None = None, overflow: str = "saturate",
        per_channel: bool = False, equalise: bool = True,
    ) -> Dnn:  # fmt: skip
        """Return the network in int8.

        Args:
            samples: numbers to choose scales by, (samples, ...) of the input's shape, at least 8; by input's name in a dict where
                there are several. None for a file that has its own scales (QDQ).
            scales: "pow2", powers of two, or "float".
            round: "half-up", "floor" or "even"; None: half-up, even for a file with scales of its own.
            overflow: what becomes of a sum beyond 24 bits: "saturate", "wrap" or "error".
            per_channel: weights with a scale for each channel out.
            equalise: bring channels of neighbouring layers to one range first.

        Raises:
            WrongInput: too few samples, another shape, or a word that is none.

        """
        from dataclasses import replace

        import numpy as np

        from models.quantise.dnn import quantise_dnn
        from models.quantise.dnn_lower import DnnSettings

        prepared = self.model.prepared
        if prepared is None:
            raise WrongInput(f"quantise {self.name}: holds integers alone; needs the float graph")
        arrays = samples
        if arrays is not None:
            names = [one.name for one in prepared.graph.inputs]
            arrays = {name: np.asarray(one) for name, one in (arrays if isinstance(arrays, dict) else {names[0]: arrays}).items()}
        elif not prepared.grids:
            raise WrongInput(f"quantise {self.name}: a float network's scales are chosen by samples; give some")
        settings = DnnSettings(
            scales=scales, rounding=round or ("even" if prepared.grids else "half-up"), overflow=overflow, per_channel=per_channel,
            equalise=equalise,
        )  # fmt: skip
        with explained():
            network, losses = quantise_dnn(prepared, arrays, settings, f"quantise {self.name}")
        quantised = Dnn(replace(self.model, network=network), name=self.name, notes=self.notes)
        quantised.losses = tuple(losses)
        return quantised

    def reference(self, inputs: Any) -> dict[str, Any]:
        """Return the outputs of the plain integer reference for one input, float32; of the float graph, before it is quantised."""
        import numpy as np

        from models.dnn.evaluate import run_graph
        from models.dnn.reference import dequantised, quantised_inputs, run_network

        arrays = inputs if isinstance(inputs, dict) else {next(iter(self.inputs)): inputs}
        with explained():
            feeds = {name: np.asarray(arrays[name]).reshape(shape) for name, shape in self.inputs.items()}
            network, prepared = self.model.network, self.model.prepared
            if network is not None:
                run = run_network(network, quantised_inputs(network, feeds))
                return {name: dequantised(network, name, run.tensors[name]) for name in network.outputs}
            assert prepared is not None
            return run_graph(prepared.graph, {one.name: feeds[one.name].astype(one.dtype) for one in prepared.graph.inputs})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network as a checkpoint of this project, which commands for DNNs take; WrongInput where the file exists."""
        from models.dnn.file import save_dnn

        target = Path(path).expanduser()
        if os.path.lexists(target):
            raise WrongInput(f"save {target}: exists already; nothing is overwritten")
        try:
            save_dnn(target, self.model)
        except OSError as error:
            raise WrongInput(f"save {target}: cannot be written ({error.strerror})") from None

    def rows(self) -> list[tuple[str, str]]:
        """Return what is to be said of the network, as pairs of a name and a text."""
        ends = [
            (word, ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in of.items()))
            for word, of in (("inputs", self.inputs), ("outputs", self.outputs))
        ]
        rows = [
            ("model", self.name),
            *ends,
            *((name, text) for name, text in self._description.items() if name not in ("inputs", "outputs")),
        ]
        if self.model.test_set is not None:
            rows.append(("test set", f"{len(self.model.test_set):,} samples: {self.model.test_set.about}"))
        return rows + ([("sha256", self.sha256)] if self.quantised else []) + [("note", note) for note in self.notes]

    def _ends(self, *, outputs: bool) -> dict[str, tuple[int, ...]]:
        network, prepared = self.model.network, self.model.prepared
        if network is not None:
            return {name: network.tensors[name].shape for name in (network.outputs if outputs else network.inputs)}
        assert prepared is not None
        names = prepared.graph.outputs if outputs else [one.name for one in prepared.graph.inputs]
        return {name: prepared.shapes[name] for name in names}

    def __repr__(self) -> str:
        return f"<gennaker.Dnn {self.name}: {'int8' if self.quantised else 'float32'}>"

    def __str__(self) -> str:
        return "\n".join(f"{name:<14} {text}" for name, text in self.rows())

    def _repr_html_(self) -> str:
        return html_table(["", ""], self.rows(), title=f"DNN {self.name}")
