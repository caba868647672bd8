"""Integer networks of every kind of operator, of shapes that follow from a seed, for tests of whoever computes them."""

import math

import numpy as np

from models.dnn.integer import ROUNDINGS, IntegerNetwork, IntegerOperation, IntegerTensor, Requantisation


class Zoo:
    """A network as it is put together: each operation hears what an earlier one, an input or a constant is."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.tensors, self.operations, self.constants, self.inputs = {}, [], {}, []

    def numbers(self, *shape, least=-128):
        return self.rng.integers(least, 128, shape).astype(np.int8)

    def input(self, shape, dtype="int8"):
        return self._tensor(f"in{len(self.inputs)}", shape, dtype, is_input=True)

    def constant(self, *shape):
        name = self._tensor(f"constant{len(self.constants)}", shape, "int8")
        self.constants[name] = self.numbers(*shape)
        return name

    def _tensor(self, name, shape, dtype, is_input=False):
        self.tensors[name] = IntegerTensor(name=name, shape=tuple(shape), dtype=dtype, scale=1.0, exponent=0)
        if is_input:
            self.inputs.append(name)
        return name

    def shape(self, name):
        return self.tensors[name].shape

    def scaling(self, depth, channels=1, *, each=False, floats=False):
        """A requantisation that leaves sums of so many products of int8 about as wide as int8."""
        multiplied = bool(self.rng.integers(2)) and not floats
        count = channels if each else 1
        multipliers = self.rng.integers(1 << 29, 1 << 31, count) if multiplied else np.ones(count, np.int64)
        shift = 0 if floats else max(1, round(math.log2(max(2, 40 * math.sqrt(depth)))))
        return Requantisation(
            multipliers=multipliers, shifts=np.full(count, shift + 30 * multiplied, np.int32),
            zero_point=int(self.rng.integers(-5, 6)),
            low=int(self.rng.choice([-128, 0])), high=127, rounding=str(self.rng.choice(ROUNDINGS)),
        )  # fmt: skip

    def add(self, kind, inputs, made, scale=None, arrays=None, **attributes):
        """Add an operation; return the name of what it makes."""
        number = len(self.operations)
        output = self._tensor(f"{kind}_{number}", made, "int8")
        self.operations.append(IntegerOperation(
            name=f"{kind}{number}", kind=kind, inputs=tuple(inputs), output=output, attributes=attributes, arrays=arrays or {},
            requantisation=scale,
        ))  # fmt: skip
        return output

    def offsets(self):
        return tuple(int(n) for n in self.rng.integers(-9, 10, 2))

    def conv2d(self, x, channels, kernel, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), depthwise=False):
        _, into, high, wide = self.shape(x)
        depth = 1 if depthwise else into
        rows = (high + pads[0] + pads[2] - dilations[0] * (kernel[0] - 1) - 1) // strides[0] + 1
        columns = (wide + pads[1] + pads[3] - dilations[1] * (kernel[1] - 1) - 1) // strides[1] + 1
        arrays = {
            "weights": self.numbers(channels, depth, *kernel), "bias": self.rng.integers(-999, 999, channels).astype(np.int32),
        }  # fmt: skip
        return self.add(
            "depthwise_conv2d" if depthwise else "conv2d", [x], (1, channels, rows, columns),
            self.scaling(64 * depth * math.prod(kernel), channels, each=True), arrays, strides=strides, pads=pads,
            dilations=dilations, pad_value=3,
        )  # fmt: skip

    def matmul(self, x, columns):
        depth = self.shape(x)[-1]
        arrays = {"weights": self.numbers(depth, columns), "bias": self.rng.integers(-999, 999, columns).astype(np.int32)}
        return self.add("matmul", [x], (*self.shape(x)[:-1], columns), self.scaling(64 * depth, columns, each=True), arrays)

    def batch_matmul(self, x, y):
        shape = (*self.shape(x)[:-1], self.shape(y)[-1])
        return self.add("batch_matmul", [x, y], shape, self.scaling(64 * self.shape(x)[-1]), offsets=self.offsets())

    def transpose(self, x, *order):
        return self.add("transpose", [x], tuple(self.shape(x)[axis] for axis in order), permutation=order)

    def reshape(self, x, *shape):
        return self.add("reshape", [x], shape, shape=shape)

    def concat(self, parts, axis):
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        return self.add("concat", parts, tuple(shape), axis=axis)

    def slice(self, x, *parts):
        starts, ends, steps = zip(*(part.indices(length) for part, length in zip(parts, self.shape(x), strict=True)), strict=True)
        shape = tuple(len(range(*part)) for part in zip(starts, ends, steps, strict=True))
        return self.add("slice", [x], shape, starts=starts, ends=ends, steps=steps)

    def pad(self, x, before, after):
        shape = tuple(b + n + a for b, n, a in zip(before, self.shape(x), after, strict=True))
        return self.add("pad", [x], shape, pads=(*before, *after), pad_value=-7)

    def resize(self, x, *factors):
        shape = tuple(n * f for n, f in zip(self.shape(x), factors, strict=True))
        return self.add("resize_nearest", [x], shape, factors=factors)

    def elements(self, kind, x, y):
        shape = np.broadcast_shapes(self.shape(x), self.shape(y))
        more = {"multipliers": (300, -211)} if kind == "add" else {}
        return self.add(kind, [x, y], shape, self.scaling(200), offsets=self.offsets(), **more)

    def mean(self, x, *axes):
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(self.shape(x)))
        count = math.prod(self.shape(x)[axis] for axis in axes)
        scale = Requantisation(
            multipliers=np.array([(1 << 20) // count]), shifts=np.array([20], np.int32), zero_point=2, low=-128, high=127,
            rounding="half-up",
        )  # fmt: skip
        return self.add("mean", [x], shape, scale, axes=axes, offset=-4)

    def pool(self, kind, x, kernel, strides, pads=(0, 0, 0, 0)):
        planes, high, wide = self.shape(x)[:2], *self.shape(x)[2:]
        rows, columns = (
            (n + a + b - k) // s + 1 for n, a, b, k, s in zip((high, wide), pads[:2], pads[2:], kernel, strides, strict=True)
        )
        more = {"dilations": (1, 1)} if kind == "max_pool2d" else {"offset": 5}
        scale = None if kind == "max_pool2d" else self.scaling(3)
        return self.add(kind, [x], (*planes, rows, columns), scale, kernel=kernel, strides=strides, pads=pads, **more)

    def table(self, x, channels=0):
        shape = (channels, 256) if channels else (256,)
        return self.add("table", [x], self.shape(x), arrays={"table": self.numbers(*shape)})

    def softmax(self, x, mask=None):
        table = np.rint(np.exp(-np.arange(256) / 24) * 2.0**20).astype(np.uint32)
        arrays = {"table": table, "factor": np.array([127.0], np.float32)} | ({} if mask is None else {"mask": mask})
        return self.add("softmax", [x], self.shape(x), self.scaling(1, floats=True), arrays)

    def layer_norm(self, x):
        wide = self.shape(x)[-1]
        arrays = {
            "gamma": self.rng.normal(30, 9, wide).astype(np.float32), "beta": self.rng.normal(0, 9, wide).astype(np.float32),
            "epsilon": np.array([0.7], np.float32),
        }  # fmt: skip
        return self.add("layer_norm", [x], self.shape(x), self.scaling(1, floats=True), arrays)

    def gather(self, indices, rows, wide):
        return self.add("gather", [indices], (*self.shape(indices), wide), arrays={"weights": self.numbers(rows, wide)})

    def network(self):
        """Return the network."""
        return IntegerNetwork(
            inputs=tuple(self.inputs), outputs=(self.operations[-1].output,), tensors=self.tensors,
            operations=tuple(self.operations), constants=self.constants,
        )  # fmt: skip

    def samples(self, count):
        """Return inputs (count, *shape) by name."""
        made = {}
        for name in self.inputs:
            tensor = self.tensors[name]
            shape = (count, *tensor.shape)
            rows = [one.arrays["weights"] for one in self.operations if name in one.inputs and one.kind == "gather"]
            made[name] = self.rng.integers(0, len(rows[0]), shape).astype(np.int32) if rows else self.numbers(*shape)
        return made


def every_kind(seed):
    """A network with each kind of operator at least once, of small shapes."""
    zoo = Zoo(seed)
    heads, tokens, channels = (int(n) for n in zoo.rng.integers(2, 5, 3))
    wide, high, across = heads * int(zoo.rng.integers(5, 19)), int(zoo.rng.integers(6, 12)), int(zoo.rng.integers(6, 19))
    tokens += int(zoo.rng.integers(1, 9))
    image, indices = zoo.input((1, channels, high, across)), zoo.input((1, tokens), "int32")
    # An image's way: convolutions, pools, a border, larger, a table a channel, and means of it.
    made = zoo.conv2d(image, 2 * channels, (3, 2), pads=(1, 0, 1, 1))
    made = zoo.conv2d(made, 4 * channels, (3, 3), strides=(1, 2), pads=(1, 1, 0, 1), depthwise=True)
    pooled = zoo.pool("max_pool2d", made, (3, 2), (2, 1), (1, 1, 1, 0))
    average = zoo.pool("average_pool2d", pooled, (2, 2), (1, 1), (0, 1, 0, 0))
    larger = zoo.resize(average, 1, 1, 1, 2)
    tabled = zoo.table(zoo.pad(larger, (0, 1, 0, 2), (0, 0, 1, 3)), 4 * channels + 1)
    zoo.mean(tabled, 2, 3)
    zoo.table(zoo.reshape(zoo.mean(tabled, 1, 2), 1, zoo.shape(tabled)[3]))
    zoo.elements("multiply", tabled, zoo.mean(tabled, 3))
    # A sequence's way: an embedding, places, attention between heads under a mask, and a dense layer.
    words = zoo.elements("add", zoo.gather(indices, 23, wide), zoo.constant(1, tokens, wide))
    heard = zoo.layer_norm(words)
    query, key, value = (
        zoo.transpose(zoo.reshape(zoo.matmul(heard, wide), 1, tokens, heads, wide // heads), 0, 2, 1, 3) for _ in range(3)
    )
    scores = zoo.batch_matmul(query, zoo.transpose(key, 0, 1, 3, 2))
    shares = zoo.softmax(scores, np.tril(np.ones((tokens, tokens), np.uint8)))
    mixed = zoo.reshape(zoo.transpose(zoo.batch_matmul(shares, value), 0, 2, 1, 3), 1, tokens, wide)
    words = zoo.elements("add", words, zoo.matmul(mixed, wide))
    zoo.softmax(words)
    words = zoo.table(zoo.elements("multiply", words, zoo.constant(wide)))
    both = zoo.concat([words, heard, zoo.slice(words, slice(0, 1), slice(1, None, 2), slice(None))], 1)
    both = zoo.concat([both, zoo.slice(both, slice(0, 1), slice(None), slice(3, None, 3))], 2)
    last = zoo.reshape(zoo.slice(both, slice(0, 1), slice(-1, None), slice(None)), 1, zoo.shape(both)[2])
    zoo.table(zoo.matmul(last, 7), 7)
    return zoo


def large_planes(seed):
    """A network whose planes, rows and table no worker has room for as a whole."""
    zoo = Zoo(seed)
    image = zoo.input((1, 1, 190, 250))
    zoo.pool("max_pool2d", image, (3, 3), (2, 2), (1, 1, 1, 1))
    zoo.pool("average_pool2d", image, (3, 2), (2, 2), (1, 0, 1, 0))
    zoo.conv2d(image, 2, (3, 3), strides=(2, 1), pads=(1, 1, 1, 1), depthwise=True)
    row = zoo.reshape(image, 1, 190 * 250)
    zoo.table(row)
    zoo.elements("add", row, zoo.reshape(zoo.table(image), 1, 190 * 250))
    zoo.slice(row, slice(0, 1), slice(5, None))
    zoo.gather(zoo.input((1, 9), "int32"), 1500, 40)
    return zoo
