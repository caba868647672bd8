"""`conv`: a convolution's kernel lies once in the PE, of the output channels that the shard has; events are scattered into sums.
Where many spikes come at once, they are laid out on planes first (`models/compute/spike_planes.py`).

An event's key is lane * width + unit with units in C order (channel, row, column). Where it lies follows by division; the
outputs that it meets, and which element of the kernel at each, by steps over rows and columns. No weight is repeated, and
there is no vector of the source's units. A row meets its events in the order of any other format, so the bits are theirs.

Of the kernel the PE has (channels in of a group * kernel rows * kernel columns, its own channels out), and which of those
channels each group has. Its outputs are a run of a window (`models/kernel_window.py`), whose places among the sums are
computed; or any others: then an index of two bytes for each place of the smallest window around them says where.

A projection whose weights are no convolution is kept as in `packed`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import (
    Bytes,
    EventKeys,
    EventType,
    EventValues,
    FloatRows,
    Ints,
    Lane,
    Number,
    NumberRows,
    Numbers,
    Shorts,
    WordRows,
    bindable_late,
    fill_bytes,
    nothing,
    value_of,
)
from models.compute.compiling import inlined
from models.compute.lowpass import traced
from models.compute.port import Port
from models.compute.spike_planes import MOST_PLACES, MOST_UNITS, few_spikes, multiply_planes, plane_places, plane_shape, tap_places
from models.compute.sums import clearing, forget_lane, forgetting
from models.convolution import ConvolutionRows
from models.formats import check_indices, packed, trace_field
from models.kernel_window import KernelWindow
from models.network import Array, Field, ModelError, Weights
from models.numerics import WEIGHTS
from models.shard import PortShape

KEEPS_KERNELS = True
_NOT_HERE = 0xFFFF  # in the index
_MOST_MET = 0xFF  # weights of a unit, and spikes in a window of a pool, each counted in a byte


def encode(weights: Weights, shape: PortShape) -> dict[str, Array]:
    """Return `values`, the `window`, `channels` (groups + 1), where each group's begin, and an `index` where it needs one."""
    if not shape.window:
        return packed.encode(weights.to_rows(), shape)
    if not isinstance(weights, ConvolutionRows):
        raise TypeError("a shard of a convolution needs the convolution's rows")
    window, whole = KernelWindow(*shape.window), weights.whole
    _, tall, broad = whole.output_shape
    channel = weights.rows // (tall * broad)
    channels = np.unique(channel)
    firsts = np.arange(whole.groups + 1) * (len(whole.kernel) // whole.groups)
    kernel = whole.kernel[channels].reshape(len(channels), -1)
    arrays = {
        "values": np.ascontiguousarray(kernel.T), "window": np.array(window, np.int32),
        "channels": np.searchsorted(channels, firsts).astype(np.uint16),
    }  # fmt: skip
    if window.listed:
        index = np.full((window.channels, window.rows, window.columns), _NOT_HERE, np.uint16)
        row, column = weights.rows // broad % tall, weights.rows % broad
        at = np.searchsorted(channels, channel), row - window.first_row, column - window.first_column
        index[at] = np.arange(len(weights.rows), dtype=np.uint16)
        arrays["index"] = index.reshape(-1)
    return arrays


def fields(shape: PortShape) -> list[Field]:
    """Return the kernel of a port, and what says where it goes."""
    if not shape.window:
        return packed.fields(shape)
    window = KernelWindow(*shape.window)
    arrays = [
        Field("values", (window.elements, window.channels), WEIGHTS[shape.weight], "weights", "of each channel"),
        Field("window", (len(window),), "<i4", "weights", "of the convolution and the shard"),
        Field("channels", (window.groups + 1,), "<u2", "weights", "where a group's begin"),
    ]
    if window.listed:
        arrays.append(Field("index", (window.places,), "<u2", "weights", "row of a place"))
    return [*arrays, *([trace_field(shape)] if shape.trace else [])]


def check(arrays: Mapping[str, Array], shape: PortShape) -> None:
    """Raise ModelError where the kernel, its channels or its index lead beyond the shard."""
    if not shape.window:
        return packed.check(arrays, shape)
    window, index = KernelWindow(*shape.window), arrays.get("index", np.zeros(0, np.uint16))
    if arrays["window"].tolist() != list(window) or min(window[:10]) < 1 or min(window[10:]) < 0 or min(window[12:14]) < 1:
        raise ModelError("a window that is not that of the shard's shape, or none")
    if shape.source_units > window.groups * window.of_group * window.height * window.width:
        raise ModelError(f"a window of fewer than {shape.source_units} units of the source")
    check_indices(arrays["channels"], np.zeros(window.channels, np.uint8), 1)
    if np.diff(arrays["channels"].astype(np.int64)).max(initial=0) > window.met:
        raise ModelError(f"a window whose events meet {window.met} channels at most; has more in a group")
    rows = index[index != _NOT_HERE]
    if window.listed and window.skip:
        raise ModelError("a window whose rows are listed, and that leaves some out")
    if rows.max(initial=0) >= max(shape.rows, 1) or (not window.listed and window.skip + shape.rows > window.places):
        raise ModelError("a window that leads beyond the shard's rows")
    return None


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    if not shape.window:
        return packed.port(mem, shape, trace)
    buffers = {"sums": mem["sums"], "counts": mem["counts"]}
    index = mem.get("index", np.zeros(1, np.uint16))  # not looked at where nothing is listed
    kernel = {"values": mem["values"], "window": mem["window"], "channels": mem["channels"], "index": index, **buffers}
    if trace:
        heard = mem["trace"]
        return traced(mem, trace, shape, _product.bind(trace=heard, **kernel))
    events = EventType(shape.payload, shape.dense)
    planes = _planes(KernelWindow(*shape.window), shape, kernel)
    receive = (_convolve if planes else _accumulate).bind(events, source_units=shape.source_units, **kernel, **planes)
    return Port(clear=clearing(**buffers), receive=receive, product=nothing, forget=forgetting(**buffers))


def _planes(window: KernelWindow, shape: PortShape, kernel: Mapping[str, Array]) -> dict[str, Array | int]:
    """Return what `_convolve` needs to lay spikes out on planes; nothing where each event is always scattered.

    Two spikes in one window of a pool are two terms of a sum, which a float32 rounds twice.
    """
    sums, (planes, rows, columns) = kernel["sums"], plane_shape(window)
    pool, met = window.pool_rows * window.pool_columns, window.met * window.kernel_rows * window.kernel_columns
    if shape.payload != "spike" or shape.dense or window.listed or (pool > 1 and sums.dtype.kind == "f"):
        return {}
    if planes * rows * columns > MOST_PLACES or shape.source_units > MOST_UNITS or max(met, pool) > _MOST_MET:
        return {}
    units = np.zeros((shape.source_units, 2), np.uint16)
    units[:, 0] = plane_places(window, shape.source_units)
    parts = {name: part for name, part in kernel.items() if name not in ("sums", "counts")}
    count_work = _count_work.bind(**parts, sums=np.zeros((1, shape.rows), sums.dtype), units=units.reshape(-1))
    if kernel["window"].any():  # else nothing was loaded: it is bound to be compiled
        count_work()
    return {
        "units": units.reshape(-1), "planes": np.zeros(planes * rows * columns + 1, np.uint8), "columns": columns,
        "taps": tap_places(window).astype(np.int32), "line": np.zeros(rows * columns, sums.dtype),
        "weights": np.zeros(window.elements + 3, sums.dtype), "places": np.zeros(window.elements + 3, np.int32),
        "few": few_spikes(window, shape.rows),
    }  # fmt: skip


@inlined
def _quotient(dividend: Any, divisor: Any) -> Any:
    """Return the quotient, rounded down. Most divisors are 1, and a division takes longer than all else about an element."""
    return dividend if divisor == 1 else dividend // divisor


@inlined
def _scatter(values: Array, window: Array, channels: Array, index: Array, unit: Any, event: Any, sums: Array) -> tuple[int, int]:
    """Add what a unit's event makes to a lane's sums; return how many weights it met that are not zero, and how many in all."""
    # Of 64 bits, so that none is widened again for each element; and places without a sign, which cannot be counted from the end.
    height, width, groups, of_group = np.int64(window[0]), np.int64(window[1]), window[2], np.int64(window[3])
    pool_rows, pool_columns = window[4], window[5]
    kernel_rows, kernel_columns = np.int64(window[6]), np.int64(window[7])
    stride_down, stride_right = np.int64(window[8]), np.int64(window[9])
    dilation_down, dilation_right = np.int64(window[12]), np.int64(window[13])
    first_row, rows, first_column, columns = np.int64(window[15]), np.int64(window[16]), np.int64(window[17]), np.int64(window[18])
    skip, listed, size, zero = np.int64(window[19]), window[20], np.uint64(sums.size), values.dtype.type(0)
    channel = unit // (height * width)
    place_in = unit - channel * height * width
    row = place_in // width
    down, right = _quotient(row, pool_rows), _quotient(place_in - row * width, pool_columns)
    group = 0 if groups == 1 else channel // of_group
    first, last = np.int64(channels[group]), np.int64(channels[group + 1])
    if first == last:
        return 0, 0
    if (pool_rows > 1 or pool_columns > 1) and (down >= height // pool_rows or right >= width // pool_columns):
        return 0, 0  # a pool drops what is left over
    down, right = down + window[10], right + window[11]
    base, area = (channel - group * of_group) * kernel_rows, rows * columns
    # The first output whose kernel reaches so far, rounded up; and the last one, which it meets with its first element.
    top = max(first_row, -_quotient(dilation_down * (kernel_rows - 1) - down, stride_down))
    left = max(first_column, -_quotient(dilation_right * (kernel_columns - 1) - right, stride_right))
    bottom = min(first_row + rows - 1, _quotient(down, stride_down))
    end = min(first_column + columns - 1, _quotient(right, stride_right))
    macs = visited = 0
    for y in range(top, bottom + 1):
        into = down - y * stride_down
        if dilation_down > 1 and into % dilation_down:
            continue
        line = (base + _quotient(into, dilation_down)) * kernel_columns
        origin = first * area + (y - first_row) * columns - first_column - skip
        for x in range(left, end + 1):
            across = right - x * stride_right
            if dilation_right > 1 and across % dilation_right:
                continue
            element, place = np.uint64(line + _quotient(across, dilation_right)), origin + x
            for own in range(first, last):
                at = np.uint64(index[np.uint64(place)]) if listed else np.uint64(place)
                if at < size:  # a place before the first is a large number
                    weight = values[element, np.uint64(own)]
                    sums[at] += weight * event
                    macs += weight != zero
                    visited += 1
                place += area
    return macs, visited


@bindable_late
def _accumulate(
    values: NumberRows, window: Ints, channels: Shorts, index: Shorts, sums: NumberRows, counts: WordRows, source_units: Number,
    keys: EventKeys, events: EventValues,
) -> None:  # fmt: skip
    number = sums.dtype.type
    for e, key in enumerate(keys):
        lane = np.int64(key) // source_units if len(sums) > 1 else np.int64(0)
        unit = np.int64(key) - lane * source_units
        event = number(value_of(events, e))
        if event == number(0):  # in a dense section, no event
            continue
        macs, visited = _scatter(values, window, channels, index, unit, event, sums[lane])
        counts[lane, 0] += macs
        counts[lane, 1] += visited


@bindable_late
def _count_work(values: NumberRows, window: Ints, channels: Shorts, index: Shorts, sums: NumberRows, units: Shorts) -> None:
    """Note behind the place of each unit of the source what `_scatter` returns, in two bytes."""
    number = sums.dtype.type
    for unit in range(len(units) // 2):
        macs, visited = _scatter(values, window, channels, index, np.int64(unit), number(0), sums[0])
        units[2 * unit + 1] = macs | visited << 8


@bindable_late
def _convolve(
    values: NumberRows, window: Ints, channels: Shorts, index: Shorts, sums: NumberRows, counts: WordRows, source_units: Number,
    units: Shorts, planes: Bytes, columns: Number, taps: Ints, line: Numbers, weights: Numbers, places: Ints, few: Number,
    keys: EventKeys,
) -> None:  # fmt: skip
    number, first = sums.dtype.type, 0
    while first < len(keys):
        lane, last = np.int64(0), len(keys)
        if len(sums) > 1:
            lane = np.int64(keys[first]) // source_units
            last = first + 1
            while last < len(keys) and lane * source_units <= np.int64(keys[last]) < (lane + 1) * source_units:
                last += 1
        macs = visited = np.int64(0)
        if last - first < few:
            for e in range(first, last):
                unit = np.int64(keys[e]) - lane * source_units
                some, more = _scatter(values, window, channels, index, unit, number(1), sums[lane])
                macs += some
                visited += more
        else:
            for e in range(first, last):
                unit = np.int64(keys[e]) - lane * source_units
                planes[units[2 * unit]] += np.uint8(1)
                work = np.int64(units[2 * unit + 1])
                macs += work & 0xFF
                visited += work >> 8
            if visited:
                multiply_planes(values, window, channels, planes, columns, taps, line, weights, places, sums[lane])
            fill_bytes(planes.ctypes.data, 0, planes.size)
        counts[lane, 0] += macs
        counts[lane, 1] += visited
        first = last


@bindable_late
def _product(
    values: FloatRows, window: Ints, channels: Shorts, index: Shorts, sums: FloatRows, counts: WordRows, trace: FloatRows,
    lane: Lane,
) -> None:  # fmt: skip
    forget_lane(sums, counts, lane)
    macs = visited = 0
    for unit in range(trace.shape[1]):
        event = trace[lane, unit]
        if event != np.float32(0):
            some, weights = _scatter(values, window, channels, index, unit, event, sums[lane])
            macs += some
            visited += weights
    counts[lane, 0] = macs
    counts[lane, 1] = visited
