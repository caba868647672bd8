"""`python -m bench.dnn_run`: how fast DNNs run on PE processes, beside their targets, onnxruntime's int8 and the modelled chip.

A barrier: a chain of additions of 40 rows of 16 numbers, one row a worker, on processes. Each row stays where it was made, so
that a layer is what its workers and the scheduler say to each other; beside it, the same with rows that come from DRAM. Images a
second: the shipped digits at batch 16. onnxruntime, where it is installed, runs a stored int8 file of a small CNN, and so does the
emulator.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.targets import Figures, verdicts
from host.launch.launcher import Launcher
from host.workloads.dnn.options import Options
from models.dnn.file import save_dnn
from models.dnn.integer import IntegerNetwork, IntegerOperation, IntegerTensor, Requantisation
from models.dnn.model import DnnModel

WORKERS, LAYERS, PASSES = 40, 24, 6
_STORED = Path(__file__).parent.parent / "tests" / "golden_dnn" / "cnn-pow2.onnx"


def chain(layers: int = LAYERS, rows: int = WORKERS, *, of_input: bool = True) -> IntegerNetwork:
    """Return a network of additions of so many rows of 16 numbers: of its input to each sum, or of each sum to itself."""
    shape = (1, rows, 16)
    names = ["x", *(f"y{n}" for n in range(layers))]
    tensors = {name: IntegerTensor(name=name, shape=shape, dtype="int8", scale=1.0, exponent=0) for name in names}
    half = Requantisation(
        multipliers=np.ones(1, np.int64), shifts=np.ones(1, np.int32), zero_point=0, low=-128, high=127, rounding="half-up"
    )
    operations = tuple(
        IntegerOperation(
            name=f"add{n}", kind="add", inputs=(names[n], "x" if of_input else names[n]), output=names[n + 1],
            attributes={"multipliers": (1, 1), "offsets": (0, 0)}, requantisation=half, sum_low=-256, sum_high=254,
        )
        for n in range(layers)
    )  # fmt: skip
    return IntegerNetwork(inputs=("x",), outputs=(names[-1],), tensors=tensors, operations=operations, constants={})


def run_s(options: Options) -> tuple[float, float, dict[str, object]]:
    """Run; return seconds of the run, of the modelled chip, and the result. AssertionError where it did not end well."""
    options.check()
    outcome = Launcher(options, lambda _: None, lambda _: None).run()
    assert outcome.report is not None and outcome.problem is None, outcome.problem
    assert outcome.report["conservation"]["wrong"] == []
    return outcome.report["emulation"]["run_s"], outcome.report["modelled"]["time_s"], outcome.report["result"]


def save_chain(folder: Path, passes: int = PASSES, *, of_input: bool = True) -> tuple[Path, Path]:
    """Write the chain and inputs of so many passes into a folder; return their paths."""
    path, inputs = folder / "chain.safetensors", folder / "x.npy"
    save_dnn(path, DnnModel(network=chain(of_input=of_input)))
    np.save(inputs, np.random.default_rng(1).integers(-100, 100, (passes, WORKERS, 16)).astype(np.int8))
    return path, inputs


def barrier_options(saved: tuple[Path, Path], **chosen: Any) -> Options:
    """Return the options of a run of the chain."""
    path, inputs = map(str, saved)
    asked = {"batch": 1, "pes": WORKERS + 1, "tiles": "smallest", "resident": "weights", "alone": True} | chosen
    return Options(checkpoint=path, inputs=inputs, **asked)


def layer_ms(runs: int, *, of_input: bool) -> float:
    """Return the median milliseconds of a layer over 40 workers; `of_input`: each adds rows that come from DRAM."""
    with tempfile.TemporaryDirectory() as folder:
        options = barrier_options(save_chain(Path(folder), of_input=of_input), resident="both")
        times = [run_s(options)[0] for _ in range(runs)]
    return 1e3 * statistics.median(times) / (LAYERS * PASSES)


def digits(runs: int, pes: int) -> tuple[float, float]:
    """Return images a second of the shipped digits at batch 16, and the run's time over the chip's."""
    options = Options(checkpoint="digits-cnn", batch=16, pes=pes, resident="both", tiles="fastest", alone=True)
    measured = [run_s(options) for _ in range(runs)]
    seconds = statistics.median(run for run, _, _ in measured)
    return int(str(measured[0][2]["samples"])) / seconds, seconds / measured[0][1]


def against_onnxruntime(samples: int = 64) -> tuple[float, float] | None:
    """Return images a second of onnxruntime, one thread, and of the emulator, of a stored int8 CNN; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(_STORED), settings, providers=["CPUExecutionProvider"])
    one = session.get_inputs()[0]
    images = np.random.default_rng(2).normal(size=(samples, *one.shape[1:])).astype(np.float32)
    began = time.perf_counter()
    for image in images:
        session.run(None, {one.name: image[None]})
    rate = samples / (time.perf_counter() - began)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "x.npy"
        np.save(inputs, images)
        options = Options(checkpoint=str(_STORED), inputs=str(inputs), batch=16, pes=17, resident="weights", alone=True)
        return rate, samples / run_s(options)[0]


def measure(runs: int = 5, pes: int = 9) -> Figures:
    """Measure, print, and return the figures that have a target; `pes`: of the digits."""
    rate, over_chip = digits(runs, pes)
    figures: Figures = {"dnn_barrier": layer_ms(runs, of_input=False), "dnn_image": 1e3 / rate}
    print(verdicts(figures))
    print(f"  a layer with rows from DRAM: {layer_ms(runs, of_input=True):.1f} ms")
    print(f"  digits: {rate:,.0f} images a second, {over_chip:,.0f} times the modelled chip's time")
    if (pair := against_onnxruntime()) is not None:
        runtime_rate, own_rate = pair
        ratio = runtime_rate / own_rate
        print(f"  a small int8 CNN: onnxruntime {runtime_rate:,.0f} a second, one thread; here {own_rate:,.0f}; ratio {ratio:.1f}")
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pes", type=int, default=9, help="for the digits")
    flags = parser.parse_args()
    measure(flags.runs, flags.pes)


if __name__ == "__main__":
    main()
