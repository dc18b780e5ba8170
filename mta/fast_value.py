"""A dataclass decorator for values that each message creates: frozen for the type checker, not at run time.

A frozen dataclass sets every field by a call of `object.__setattr__`; with some twenty values for each message that was
5 % of its cost (measured). mypy still rejects an assignment to a field, and equality, hash and `replace` are the same.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["fast_value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as fast_value
else:

    def fast_value(*, frozen: bool, slots: bool) -> Any:
        """Return a decorator like `dataclass`, for values of the hot path; all other values use a frozen dataclass."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)
