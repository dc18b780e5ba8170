"""Finds rules that can never apply, because earlier rules of their stage apply whenever they do.

The search is for the usual mistakes of operators: a rule twice, a special case behind the general one. It compares
conditions as they are written, so it does not find every such rule; but each rule that it finds never applies.
"""

from collections.abc import Iterator
from itertools import combinations

from mta.rules.conditions import Condition, RecipientCondition, Rule, SenderCondition
from mta.rules.patterns import ANY, AddressPattern, Pieces

# Rules with more conditions, and conditions with more patterns, are not compared, because that would take too long.
_MAX_CONDITIONS = 6
_MAX_PATTERNS = 1000
# A condition, and whether it must hold.
_Check = tuple[Condition, bool]
# The kind of a condition on addresses, and the meaning of a pattern.
_Key = tuple[type[Condition], Pieces, Pieces, str]


class EarlierRules:
    """The rules of a stage so far that end the search if they apply."""

    def __init__(self) -> None:
        self._by_checks: dict[frozenset[_Check], Rule] = {}
        # Rules whose only condition is on the sender or the recipient, by each of its patterns.
        self._by_pattern: dict[_Key, Rule] = {}

    def add(self, rule: Rule) -> None:
        """Add a rule behind the others."""
        checks = _checks(rule)
        self._by_checks.setdefault(frozenset(checks), rule)
        if len(checks) == 1:
            for condition in _on_addresses(rule):
                for pattern in condition.patterns.patterns:
                    self._by_pattern.setdefault(_key(condition, pattern), rule)

    def that_shadow(self, rule: Rule) -> tuple[Rule, ...]:
        """Return earlier rules of which one applies whenever this one does; none if there may be other mail for it."""
        checks = _checks(rule)
        if len(checks) <= _MAX_CONDITIONS:
            for count in range(len(checks) + 1):
                for some in combinations(checks, count):
                    if (found := self._by_checks.get(frozenset(some))) is not None:
                        return (found,)
        elif (found := self._by_checks.get(frozenset())) is not None:
            return (found,)
        return next(filter(None, map(self._that_cover, _on_addresses(rule))), ())

    def _that_cover(self, condition: SenderCondition | RecipientCondition) -> tuple[Rule, ...]:
        """Return the rules that apply to every address of a condition, or none."""
        found: dict[int, Rule] = {}
        for pattern in condition.patterns.patterns:
            rule = next(filter(None, map(self._by_pattern.get, _covering(condition, pattern))), None)
            if rule is None:
                return ()
            found[id(rule)] = rule
        return tuple(found.values())


def _checks(rule: Rule) -> list[_Check]:
    return [*((one, True) for one in rule.conditions), *((one, False) for one in rule.unless)]


def _on_addresses(rule: Rule) -> Iterator[SenderCondition | RecipientCondition]:
    for condition in rule.conditions:
        if isinstance(condition, SenderCondition | RecipientCondition) and (
            len(condition.patterns.patterns) <= _MAX_PATTERNS
        ):
            yield condition


def _key(condition: Condition, pattern: AddressPattern) -> _Key:
    return type(condition), pattern.local, pattern.domain, pattern.text if pattern.expression else ""


def _covering(condition: Condition, pattern: AddressPattern) -> Iterator[_Key]:
    """Yield the keys of patterns that match all addresses which a pattern matches, itself first."""
    kind = type(condition)
    yield _key(condition, pattern)
    if not pattern.domain and pattern.expression is None:
        return
    yield kind, ANY, ANY, ""
    if pattern.expression is not None:
        return
    yield kind, pattern.local, ANY, ""
    yield kind, ANY, pattern.domain, ""
    # The last piece of a domain is its end, whose parts from a dot on are those of its parents.
    last = pattern.domain[-1]
    dot = last.find(".", 1 if len(pattern.domain) > 1 else 0)
    while dot >= 0:
        yield kind, ANY, ("", last[dot:]), ""
        dot = last.find(".", dot + 1)
