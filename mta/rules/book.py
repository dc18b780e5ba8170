"""The rules in force: one value for all stages, and the cell in which a reload replaces it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

# A relay without rules has a cell for them, but need not have the rest of this package in memory.
if TYPE_CHECKING:
    from mta.rules.acl import Acl
    from mta.rules.conditions import Rule
    from mta.rules.retries import Retries
    from mta.rules.rewriting.rewriting import Rewriting
    from mta.rules.routes import Routes
    from mta.rules.transport import TransportRules


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """All rules. A stage without rules is None, so that it costs one comparison. `digest` tells two books apart."""

    acl: "Acl | None" = None
    rewrite: "Rewriting | None" = None
    router: "Routes | None" = None
    transport: "TransportRules | None" = None
    retry: "Retries | None" = None
    digest: str = ""
    #: The names of the environment variables with passwords of smarthosts.
    secret_variables: tuple[str, ...] = ()

    @property
    def rules(self) -> "tuple[Rule, ...]":
        """All rules, those of each stage in their order."""
        stages = (self.acl, self.rewrite, self.router, self.transport, self.retry)
        return tuple(one.rule for stage in stages if stage is not None for one in stage.rules)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in `client` conditions, each once, whose addresses the relay must look up."""
        stages = (self.acl, self.rewrite, self.router, self.transport, self.retry)
        return tuple(dict.fromkeys(name for stage in stages if stage is not None for name in stage.host_names))


class CurrentRules:
    """The rules in force; `book` is None without rules. The parts of the relay that ask rules share one of these.

    They read `book` at each use, and keep nothing of it beyond the message that they use it for.
    """

    __slots__ = ("_changed", "book")

    def __init__(self, book: RuleBook | None = None) -> None:
        self.book = book
        self._changed: list[Callable[[], object]] = []

    def when_changed(self, call: Callable[[], object]) -> None:
        """Have `call` called after each change of the book, so that a cache made from it can be cleared."""
        self._changed.append(call)

    def replace(self, book: RuleBook | None) -> None:
        """Put other rules in force."""
        self.book = book
        for call in self._changed:
            call()
