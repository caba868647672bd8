"""What a compiled function is bound to."""

import numpy as np
import pytest

from models.compute.bound_calls import Float, Floats, Number, bindable_late


@bindable_late
def _scale(values: Floats, factor: Float, times: Number) -> None:
    for i in range(values.size):
        for _ in range(times):
            values[i] = values[i] * factor


@pytest.mark.parametrize(
    "bound", [0.1, np.float32(0.1), np.float64(0.1), np.array([0.1], np.float32)], ids=["a float", "f4", "f8", "array"]
)
def test_a_float_is_bound_as_a_number_or_an_array_of_one(bound):
    values = np.array([3, -0.0, np.inf], np.float32)
    _scale.bind(values=values, factor=bound, times=2)()
    need = np.array([3, -0.0, np.inf], np.float32) * np.float32(0.1) * np.float32(0.1)
    assert values.tobytes() == need.tobytes()


@pytest.mark.parametrize("number", [-1.5, -0.0, 1e-40, np.nan])
def test_every_float_arrives_bit_by_bit(number):
    values = np.ones(1, np.float32)
    _scale.bind(values=values, factor=number, times=1)()
    assert np.array_equal(values.view(np.uint32), np.array([number], np.float32).view(np.uint32))


@pytest.mark.parametrize(
    "bad", [{"times": np.float32(2)}, {"times": 2.0}, {"values": 0.5}, {"factor": np.zeros(2, np.float32)}], ids=repr
)
def test_what_is_no_number_of_its_kind_is_refused(bad):
    """The bits of a float, or its whole part, would be a length or an index."""
    with pytest.raises(TypeError):
        _scale.bind(**{"values": np.zeros(1, np.float32), "factor": 1.0, "times": 1} | bad)


def test_an_operand_that_is_missing_is_named():
    with pytest.raises(TypeError, match="operands: need values, factor, times; have values"):
        _scale.bind(values=np.zeros(1, np.float32))
