"""Which operators can be run in the end, and what to put in the place of one that cannot."""

from __future__ import annotations

import difflib

from models.dnn.graph import Operator
from models.network import ModelError

SUPPORTED = (
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "DepthToSpace", "Div", "Elu", "Erf", "Exp",
    "Expand", "Flatten", "Gather", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish",
    "LayerNormalization", "LeakyRelu", "MatMul", "Max", "MaxPool", "Min", "Mish", "Mul", "PRelu", "Pad", "Pow",
    "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Selu", "Sigmoid", "Slice", "Softmax",
    "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
_INSTEAD = {
    "ArgMax": "nothing: outputs are compared on the host, so leave it off",
    "ConvInteger": "Conv between QuantizeLinear and DequantizeLinear (QDQ)",
    "ConvTranspose": "Resize (nearest) and Conv",
    "DynamicQuantizeLinear": "QuantizeLinear with a constant scale",
    "Einsum": "MatMul and Transpose",
    "GRU": "its steps, unrolled as Gemm, Sigmoid, Tanh and Mul; a torch.nn.GRU of its own is imported as an event network",
    "GroupNormalization": "LayerNormalization",
    "If": "the branch that is taken, alone",
    "InstanceNormalization": "BatchNormalization or LayerNormalization",
    "LSTM": "its steps, unrolled as Gemm, Sigmoid, Tanh and Mul",
    "LogSoftmax": "Softmax",
    "Loop": "its steps, unrolled",
    "LpPool": "AveragePool",
    "MatMulInteger": "MatMul between QuantizeLinear and DequantizeLinear (QDQ)",
    "QLinearConv": "Conv between QuantizeLinear and DequantizeLinear (QDQ)",
    "QLinearMatMul": "MatMul between QuantizeLinear and DequantizeLinear (QDQ)",
    "RNN": "its steps, unrolled as Gemm, Tanh and Add",
    "ReduceL2": "LayerNormalization",
    "ReduceMin": "ReduceMax of what is negated",
    "Quant": "QuantizeLinear and DequantizeLinear (QDQ), which `qonnx-convert --output-style qcdq` of the qonnx package writes",
    "Scan": "its steps, unrolled",
    "TopK": "nothing: outputs are compared on the host, so leave it off",
}


def refuse(operator: Operator, why: str = "") -> ModelError:
    """Return what to raise of an operator that cannot be run: it names the node and the nearest that can."""
    kind = operator.kind.rsplit(".", 1)[-1]
    near = _INSTEAD.get(kind) or difflib.get_close_matches(kind, SUPPORTED, 1, cutoff=0.0)[0]
    return ModelError(
        f"node {operator.name[:80]!r}: operator {operator.shown_kind} {why or 'is not supported'}; the nearest that is: {near}"
    )
