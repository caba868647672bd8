"""Makes `tests/golden_dnn/`: small nets of our own, and what onnxruntime and torch answer. Needs onnx, onnxruntime and torch.

python -m tests.tools.dnn_goldens
"""

import json
import zipfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "golden_dnn"


class Qdq:
    """A quantised net while it is written: every tensor between QuantizeLinear and DequantizeLinear."""

    def __init__(self, seed, *, pow2):
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper, self.pow2 = helper, numpy_helper, pow2
        self.rng, self.nodes, self.initializers = np.random.default_rng(seed), [], []

    def keep(self, name, array):
        self.initializers.append(self.numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, kind, inputs, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def pair(self, x, scale, zero=0):
        """x through a pair; float scales are odd numbers, with a zero point of uint8."""
        at, kind = len(self.nodes), np.int8 if self.pow2 else np.uint8
        scale = scale if self.pow2 else scale * 1.37
        names = [self.keep(f"s{at}", np.float32(scale)), self.keep(f"z{at}", kind(zero if self.pow2 else zero + 117))]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, *names]), *names])

    def weights(self, shape, scale, axis=0):
        at = len(self.nodes)
        numbers = self.rng.integers(-127, 128, shape, np.int8)
        scales = np.float32(scale) if self.pow2 else (scale * self.rng.uniform(0.5, 1.5, shape[axis])).astype(np.float32)
        zero = np.zeros(np.shape(scales), np.int8)
        names = [self.keep(f"w{at}", numbers), self.keep(f"ws{at}", scales), self.keep(f"wz{at}", zero)]
        return self.node("DequantizeLinear", names, **({} if self.pow2 else {"axis": axis})), scales

    def bias(self, count, scale):
        at = len(self.nodes)
        scales = np.broadcast_to(np.float32(scale), (count,)) if np.ndim(scale) else np.float32(scale)
        names = [
            self.keep(f"b{at}", self.rng.integers(-900, 900, count).astype(np.int32)),
            self.keep(f"bs{at}", scales.astype(np.float32)),
        ]
        names.append(self.keep(f"bz{at}", np.zeros(np.shape(scales), np.int32)))
        return self.node("DequantizeLinear", names, **({"axis": 0} if np.ndim(scale) else {}))

    def model(self, shape, output, out_shape):
        from onnx import TensorProto, checker

        ends = [self.helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), (output, out_shape))]
        graph = self.helper.make_graph(self.nodes, "net", ends[:1], ends[1:], self.initializers)
        model = self.helper.make_model(graph, opset_imports=[self.helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        return model.SerializeToString()


def quantised_cnn(*, pow2, seed=5):
    """Conv with relu, pool, depthwise, 1x1, a residual addition, an average, a matrix: (1, 2, 9, 9) to (1, 7)."""
    net = Qdq(seed, pow2=pow2)
    spread = 1.0 if pow2 else 1.37
    x = net.pair("x", 2.0**-5)
    w, scales = net.weights((8, 2, 3, 3), 2.0**-9)
    y = net.node("Conv", [x, w, net.bias(8, 2.0**-5 * spread * scales)], pads=[1, 1, 1, 1])
    y = net.pair(net.node("Relu", [y]), 2.0**-5, 0)
    y = net.pair(net.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]), 2.0**-5)
    w, scales = net.weights((8, 1, 3, 3), 2.0**-8)
    z = net.node("Conv", [y, w, net.bias(8, 2.0**-5 * spread * scales)], group=8, pads=[1, 1, 1, 1], strides=[1, 1])
    z = net.pair(net.node("Relu", [z]), 2.0**-5)
    w, scales = net.weights((8, 8, 1, 1), 2.0**-9)
    z = net.pair(net.node("Conv", [z, w, net.bias(8, 2.0**-5 * spread * scales)]), 2.0**-4)
    y = net.pair(net.node("Add", [z, y]), 2.0**-4 * (1 if pow2 else 1.1))  # else half of the sums would be ties
    y = net.pair(net.node("GlobalAveragePool", [y]), 2.0**-6)
    y = net.node("Flatten", [y])
    w, scales = net.weights((8, 7), 2.0**-8, axis=1)
    out = net.pair(net.node("MatMul", [y, w]), 2.0**-6)
    return net.model([1, 2, 9, 9], out, [1, 7])


def answers_of(model, samples, name="x"):
    """What onnxruntime answers, each operator as it is written: its fused int8 operators differ by a step or two."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {name: sample[None]})[0] for sample in samples])


def without_traces(raw):
    """A .pt2 without its stack traces, which are most of it."""
    from io import BytesIO

    made = BytesIO()
    with zipfile.ZipFile(BytesIO(raw)) as source, zipfile.ZipFile(made, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.endswith("/models/model.json"):
                about = json.loads(content)
                for node in about["graph_module"]["graph"]["nodes"]:
                    node["metadata"] = {}
                about["graph_module"]["module_call_graph"] = []
                content = json.dumps(about, separators=(",", ":")).encode()
            if "sample_inputs" not in info.filename:
                target.writestr(zipfile.ZipInfo(info.filename), content)
    return made.getvalue()


def main():
    from io import BytesIO

    import torch

    from tests.tools.dnn_modules import MODULES

    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(3)
    for name, pow2 in (("cnn-pow2", True), ("cnn-float", False)):
        model = quantised_cnn(pow2=pow2)
        samples = rng.normal(size=(12, 2, 9, 9)).astype(np.float32)
        (FOLDER / f"{name}.onnx").write_bytes(model)
        np.savez_compressed(FOLDER / f"{name}.npz", x=samples, y=answers_of(model, samples))
    for name, (make, example) in MODULES.items():
        torch.manual_seed(7)
        module, x = make().eval(), example()
        made = BytesIO()
        torch.export.save(torch.export.export(module, (x,)), made)
        (FOLDER / f"{name}.pt2").write_bytes(without_traces(made.getvalue()))
        np.savez_compressed(FOLDER / f"{name}.npz", x=x.numpy(), y=module(x).detach().numpy())


if __name__ == "__main__":
    main()
