"""Values that each relayed message makes: frozen for the type checker, plain at run time.

A frozen dataclass sets every field by a call of `object.__setattr__`; with some twenty values a message that was 5 % of
all it costs (measured). mypy still refuses to assign to a field, and equality, hash and `replace` are the same.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["fast_value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as fast_value
else:

    def fast_value(*, frozen: bool, slots: bool) -> Any:
        """Decorate as `dataclass` does. Only for values of the hot path; all others are frozen in earnest."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)
