"""What numba knows of types, with a memo: it tries each meaning of an operator, arrays and sets, and words an error for each that
does not fit, at each place where the operator stands.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numba.core import types


class TypeMemo:
    """Numba's context of types, which looks once for the type of an operation or attribute."""

    _signatures: ClassVar[dict[Any, Any]] = {}
    _attributes: ClassVar[dict[Any, Any]] = {}

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def refresh(self) -> None:
        """Do nothing: numba refreshes the target next, which refreshes the types as well."""

    def resolve_function_type(self, function: Any, operands: Any, named: Any) -> Any:
        """Return the signature of a call; None, or an error of numba's, where there is none.

        A compiled function hears of each number that its callers write out as of any number of that type: else it is compiled once
        more for each. So one that calls itself may not write out numbers.
        """
        if isinstance(function, types.Dispatcher):
            operands = tuple(map(types.unliteral, operands))
            named = {name: types.unliteral(kind) for name, kind in named.items()}
        if named or type(function) is not types.Function:
            return self._context.resolve_function_type(function, operands, named)
        key = function, operands
        if key not in self._signatures:
            signature = self._context.resolve_function_type(function, operands, named)
            if signature is None:
                return None
            self._signatures[key] = signature
        return self._signatures[key]

    def resolve_getattr(self, owner: Any, name: str) -> Any:
        """Return the type of an attribute; None where there is none."""
        if isinstance(owner, types.Module) and owner.pymod is not np:  # whose names may be bound to something else meanwhile
            return self._context.resolve_getattr(owner, name)
        key = owner, name
        if key not in self._attributes:
            attribute = self._context.resolve_getattr(owner, name)
            if attribute is None:
                return None
            self._attributes[key] = attribute
        return self._attributes[key]
