"""The samples of a run: int8 inputs of the network, float ones where there is a float network, and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from host.errors import HostError
from host.workloads.dnn.input_files import MOST_TEXT_BYTES, read_inputs
from host.workloads.dnn.options import Options
from models.dnn.integer import IntegerNetwork
from models.dnn.model import DnnModel
from models.dnn.reference import quantised_inputs
from models.dnn.sample_set import check_labels
from models.input_file import InputError, check_input, read_text_input
from models.network import Array, ModelError


@dataclass(frozen=True, kw_only=True)
class Samples:
    """`inputs` by name, each (samples, ...) as given, without the batch; `labels` (samples,), or (samples, *places) with -1 where a
    place is not judged, or none; names of `classes`, and what the samples are, in words.
    """

    inputs: Mapping[str, Array]
    labels: Array | None
    classes: tuple[str, ...]
    about: str

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def int8(self, network: IntegerNetwork) -> dict[str, Array]:
        """Return the inputs as the network hears them, int8 (samples, *shape)."""
        made = {}
        for name in network.inputs:
            array, shape = self.inputs[name], network.tensors[name].shape
            whole = array.reshape(len(array), *shape)
            made[name] = whole if array.dtype == np.int8 else quantised_inputs(network, {**self.inputs, name: whole})[name]
        return made


def read_run_samples(options: Options, model: DnnModel, network: IntegerNetwork) -> Samples:
    """Return the samples that the options name, or those that the model carries; HostError, one line, for what does not fit."""
    if options.inputs is None:
        own = model.test_set
        if own is None:
            raise HostError("--inputs: needs samples; the model carries no test data")
        samples = Samples(inputs=own.inputs, labels=own.labels, classes=own.classes, about=own.about)
    else:
        shapes = {name: network.tensors[name].shape for name in network.inputs}
        dtypes = {name: network.tensors[name].dtype for name in network.inputs}
        path, pixels = Path(options.inputs), options.pixel_range
        inputs = read_inputs(f"--inputs {options.inputs}", path, shapes, dtypes, pixels)
        labels = read_labels(Path(options.labels)) if options.labels is not None else None
        samples = Samples(inputs=inputs, labels=labels, classes=(), about=path.name)
        if labels is not None:
            if len(labels) != len(samples):
                raise HostError(f"--labels {options.labels}: has {len(labels):,} classes for {len(samples):,} samples")
            output = network.tensors[network.outputs[0]].shape
            try:
                check_labels(labels, int(np.prod(output)), output)
            except ModelError as error:
                raise HostError(f"--labels {options.labels}: {error}") from None
    if options.samples is not None and options.samples > len(samples):
        raise HostError(f"--samples {options.samples}: there are {len(samples):,}")
    count = options.samples or len(samples)
    return Samples(
        inputs={name: array[:count] for name, array in samples.inputs.items()},
        labels=None if samples.labels is None else samples.labels[:count], classes=samples.classes, about=samples.about,
    )  # fmt: skip


def read_labels(path: Path) -> Array:
    """Return classes, int64, of a .npy file, (samples, ...), or of a text with one a line, (samples,)."""
    who = f"--labels {path}"
    try:
        check_input(path)
        if path.suffix == ".npy":
            numbers: Array = np.load(path)
        else:
            numbers = np.array([int(line) for line in read_text_input(path, MOST_TEXT_BYTES).split()], np.int64)
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except Exception as error:  # numpy's reader answers with errors of a dozen kinds
        raise HostError(f"{who}: needs a whole number for each sample ({type(error).__name__})") from None
    if numbers.ndim == 0 or numbers.dtype.kind not in "iu" or (numbers.ndim == 1 and (numbers < 0).any()):
        raise HostError(f"{who}: needs whole numbers, one from 0 for each sample, has {numbers.dtype} {numbers.shape}")
    return numbers.astype(np.int64)
