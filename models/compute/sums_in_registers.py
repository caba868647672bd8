"""The loop over events in which the sums of a lane stay in registers, sixteen rows in each (`models/compute/sixteen_rows.py`).

As a loop over an array, which is what Python can say, the sums are stored and loaded again at each event. So the loop is written
in LLVM's language: a block of instructions that asks whether there is one more event of this lane, and one that adds its column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ROWS = 16
_WORD, _INT, _SHORT = ir.IntType(64), ir.IntType(32), ir.IntType(16)
_BITS = ir.VectorType(ir.IntType(1), ROWS)
_ALIGN = 4  # bytes: of a number


def adding_columns_of(blocks: int) -> Any:
    """Return the compiled function that adds columns of so many blocks of rows to a lane's sums, from one event of a FIFO on until
    one is of another lane: (values, columns, sums, keys, events, first event, first key, source units) -> (next event, MACs).

    `values`: a pointer to the weights; `columns`: the address of what is noted of each column (`sixteen_rows.py`); `sums` (rows,);
    `events`: None for spikes.
    """
    answer = types.UniTuple(types.int64, 2)

    def adding(
        typing: Any, values: Any, columns: Any, sums: Any, keys: Any, events: Any, first: Any, first_key: Any, units: Any,  # noqa: ARG001
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weights_at, notes_at, lane_sums, fifo_keys, fifo_events, begin, lane_begin, lane_units = arguments
            lane_sums = context.make_array(sums)(context, builder, lane_sums)
            fifo_keys = context.make_array(keys)(context, builder, fifo_keys)
            fifo_events = None if events == types.none else context.make_array(events)(context, builder, fifo_events)
            count = builder.extract_value(fifo_keys.shape, 0)
            number, weight = (context.get_value_type(kind.dtype) for kind in (sums, values))
            rows = _Rows(builder, number, weight, lane_sums.data, builder.extract_value(lane_sums.shape, 0), blocks)
            entry, (head, look, hear, meet, end) = (
                builder.block,
                map(builder.append_basic_block, ("head", "look", "hear", "meet", "end")),
            )
            before = [begin, _WORD(0), *rows.load()]
            builder.branch(head)

            builder.position_at_end(head)
            state = [builder.phi(value.type) for value in before]  # event, MACs, sums
            _add_incoming(state, entry, before)
            event, macs, *sums_before = state
            builder.cbranch(builder.icmp_signed("<", event, count), look, end)

            builder.position_at_end(look)  # a key before this lane's is a large number here
            unit = builder.sub(builder.zext(builder.load(builder.gep(fifo_keys.data, [event])), _WORD), lane_begin)
            builder.cbranch(builder.icmp_unsigned("<", unit, lane_units), hear, end)

            builder.position_at_end(hear)
            value = rows.one
            if fifo_events is not None:  # else they are spikes
                value = context.cast(builder, builder.load(builder.gep(fifo_events.data, [event])), events.dtype, sums.dtype)
            next_event = builder.add(event, _WORD(1))
            _add_incoming(state, hear, [next_event, macs, *sums_before])
            builder.cbranch(rows.is_zero(value), head, meet)  # of a value of zero nothing is heard

            builder.position_at_end(meet)
            note = builder.gep(builder.inttoptr(notes_at, _SHORT.as_pointer()), [builder.mul(unit, _WORD(2 + blocks))])
            weights, sums_after = rows.add_column(weights_at, note, value, sums_before)
            _add_incoming(state, meet, [next_event, builder.add(macs, weights), *sums_after])
            builder.branch(head)

            builder.position_at_end(end)
            rows.store(sums_before)
            return context.make_tuple(builder, signature.return_type, (event, macs))

        return answer(values, columns, sums, keys, events, first, first_key, units), code

    return intrinsic(adding)  # numba calls it without the first argument


def _add_incoming(state: Sequence[Any], block: Any, values: Sequence[Any]) -> None:
    """Say what the values of a loop are, where it is entered from a block."""
    for phi, value in zip(state, values, strict=True):
        phi.add_incoming(value, block)


class _Rows:
    """The instructions on the sums of `count` rows at a pointer, in vectors of sixteen. `number`, `weight`: LLVM types."""

    def __init__(self, builder: Any, number: Any, weight: Any, place: Any, count: Any, blocks: int) -> None:
        self._builder, self._number, self._weight = builder, number, weight
        self._vector = ir.VectorType(self._number, ROWS)
        self.one = self._number(1)
        self._is_float = self._number == ir.FloatType()
        self._plus, self._times = (builder.fadd, builder.fmul) if self._is_float else (builder.add, builder.mul)
        first = builder.bitcast(place, self._vector.as_pointer())
        self._places = [builder.gep(first, [_WORD(block)]) for block in range(blocks)]
        self._masks = [self._mask_of(builder.sub(count, _WORD(ROWS * block))) for block in range(blocks)]

    def _mask_of(self, count: Any) -> Any:
        """Return which of sixteen rows there are where `count` are left."""
        numbers = ir.Constant(ir.VectorType(_WORD, ROWS), list(range(ROWS)))
        return self._builder.icmp_signed("<", numbers, self._repeated(count))

    def _repeated(self, number: Any) -> Any:
        vector, zeros = ir.VectorType(number.type, ROWS), ir.Constant(ir.VectorType(_INT, ROWS), None)
        one = self._builder.insert_element(ir.Constant(vector, ir.Undefined), number, _WORD(0))
        return self._builder.shuffle_vector(one, one, zeros)

    def _masked(self, name: str, form: Any, vector: Any) -> Any:
        letter = "f32" if vector.element == ir.FloatType() else f"i{vector.element.width}"
        return self._builder.module.declare_intrinsic(f"llvm.masked.{name}.v{ROWS}{letter}", (), form)

    def load(self) -> list[Any]:
        """Return the sums, sixteen in each."""
        form = ir.FunctionType(self._vector, [self._vector.as_pointer(), _INT, _BITS, self._vector])
        function, none = self._masked("load", form, self._vector), ir.Constant(self._vector, None)
        places = zip(self._places, self._masks, strict=True)
        return [self._builder.call(function, [place, _INT(_ALIGN), mask, none]) for place, mask in places]

    def store(self, sums: Sequence[Any]) -> None:
        """Put the sums back."""
        form = ir.FunctionType(ir.VoidType(), [self._vector, self._vector.as_pointer(), _INT, _BITS])
        function = self._masked("store", form, self._vector)
        for place, mask, value in zip(self._places, self._masks, sums, strict=True):
            self._builder.call(function, [value, place, _INT(_ALIGN), mask])

    def is_zero(self, value: Any) -> Any:
        """Tell whether a value is zero."""
        compare = self._builder.fcmp_ordered if self._is_float else self._builder.icmp_signed
        return compare("==", value, self._number(0))

    def add_column(self, weights_at: Any, note: Any, value: Any, sums: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Return how many weights a column has, and the sums with these times `value`: each product rounded before it is added."""
        builder, factors = self._builder, self._repeated(value)
        first = builder.zext(builder.load(builder.bitcast(note, _INT.as_pointer()), align=2), _WORD)
        at, after = first, []
        for block, before in enumerate(sums):
            bits = builder.load(builder.gep(note, [_WORD(2 + block)]), align=2)
            mask = builder.bitcast(bits, _BITS)
            after.append(builder.select(mask, self._plus(before, self._times(self._spread(weights_at, at, mask), factors)), before))
            at = builder.add(at, builder.zext(builder.ctpop(bits), _WORD))
        return builder.sub(at, first), after

    def _spread(self, weights_at: Any, at: Any, mask: Any) -> Any:
        """Return sixteen numbers: where the mask has a bit, weights from number `at` on of those at a pointer, in order; else 0."""
        weights = ir.VectorType(self._weight, ROWS)
        form = ir.FunctionType(weights, [self._weight.as_pointer(), _BITS, weights])
        place, none = self._builder.gep(weights_at, [at]), ir.Constant(weights, None)
        spread = self._builder.call(self._masked("expandload", form, weights), [place, mask, none])
        return spread if self._weight == self._number else self._builder.sext(spread, self._vector)
