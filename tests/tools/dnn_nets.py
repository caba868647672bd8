"""Float graphs of a few operators, and samples, for tests of DNNs."""

from itertools import pairwise

import numpy as np

from models.dnn.graph import GraphInput, Operator, OperatorGraph


def graph(steps, shape, constants=None, outputs=None, dtype="float32"):
    """A graph of (kind, inputs, output, attributes) over one input x."""
    operators = tuple(
        Operator(output, kind, tuple(inputs), (output,) if isinstance(output, str) else tuple(output), dict(*more))
        for kind, inputs, output, *more in steps
    )
    ends = outputs or (operators[-1].outputs[0],)
    return OperatorGraph((GraphInput("x", shape, dtype),), tuple(ends), operators, dict(constants or {}))


def mlp(rng, widths=(6, 8, 4), spread=1.0):
    """Linear layers with relu between; channels of the first differ in range by `spread`."""
    steps, constants, last = [], {}, "x"
    for at, (into, out) in enumerate(pairwise(widths)):
        weights = rng.normal(size=(out, into)).astype(np.float32)
        if at == 0 and spread != 1:
            weights *= np.geomspace(1, spread, out).astype(np.float32)[:, None]
        constants |= {f"w{at}": weights, f"b{at}": rng.normal(size=out).astype(np.float32) * 0.1}
        steps.append(("Gemm", [last, f"w{at}", f"b{at}"], f"y{at}", {"transB": 1}))
        last = f"y{at}"
        if at < len(widths) - 2:
            steps.append(("Relu", [last], f"r{at}"))
            last = f"r{at}"
    return graph(steps, (1, widths[0]), constants)


def samples_of(rng, count, *shape):
    """Samples of the input x."""
    return {"x": rng.normal(size=(count, *shape)).astype(np.float32)}
