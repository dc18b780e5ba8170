"""The TLS sessions of one day, counted by domain, policy and result (RFC 8460 section 4), with bounds on all of it.

A tally is a JSON object too, so that it outlives the process, and tallies of several processes can be added.
"""

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Domains of a day, policies of a domain, and kinds of failure of a policy that are counted apart. A kind beyond that
#: is counted by its result alone, a domain or policy beyond that not at all.
MAX_DOMAINS, MAX_POLICIES, MAX_FAILURES = 10_000, 10, 100

_MAX_TEXT = 200


class PolicyType(enum.Enum):
    """The types of policies. The values are the words of RFC 8460 section 4.2."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


@dataclass(frozen=True, slots=True)
class CountedPolicy:
    """A policy under which sessions were made: its type, its text, and the hosts that it names."""

    type: PolicyType
    #: The lines of the policy, or its TLSA records (RFC 8460 section 4.3, `policy-string`).
    lines: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedSession:
    """The facts about a session that failed, which are the same for those that are counted together."""

    #: A result type of RFC 8460 section 4.3.
    result: str
    own_address: str = ""
    host: str = ""
    address: str = ""
    #: The reason, as text that may be shown.
    text: str = ""


@dataclass(slots=True)
class PolicyCounts:
    """The sessions under one policy."""

    good: int = 0
    failures: Counter[FailedSession] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """How many sessions failed."""
        return self.failures.total()

    def count(self, failure: FailedSession | None, number: int = 1) -> None:
        """Count sessions; `failure` is None for those that succeeded."""
        if failure is None:
            self.good += number
            return
        if failure not in self.failures and len(self.failures) >= MAX_FAILURES:
            failure = FailedSession(failure.result)
        self.failures[failure] += number


class Tally:
    """The counts of one day by domain and policy."""

    def __init__(self) -> None:
        self.domains: dict[str, dict[CountedPolicy, PolicyCounts]] = {}

    def count(self, domain: str, policy: CountedPolicy, failure: FailedSession | None, number: int = 1) -> None:
        """Count sessions with MX hosts of a domain, unless there are too many domains or policies."""
        policies = self.domains.get(domain)
        if policies is None:
            if len(self.domains) >= MAX_DOMAINS:
                return
            policies = self.domains[domain] = {}
        counts = policies.get(policy)
        if counts is None:
            if len(policies) >= MAX_POLICIES:
                return
            counts = policies[policy] = PolicyCounts()
        counts.count(failure, number)

    def drop(self, domain: str) -> None:
        """Forget the sessions of a domain, because it wants no report."""
        self.domains.pop(domain, None)

    def add(self, other: "Tally") -> None:
        """Add the counts of another process."""
        for domain, policies in other.domains.items():
            for policy, counts in policies.items():
                if counts.good:
                    self.count(domain, policy, None, counts.good)
                for failure, number in counts.failures.items():
                    self.count(domain, policy, failure, number)


def short_text(text: str) -> str:
    """Return the beginning of a text, as long as a tally keeps it."""
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."


def tally_object(tally: Tally) -> dict[str, Any]:
    """Return a tally as a JSON object."""
    return {
        domain: [
            {
                "type": policy.type.value,
                "lines": list(policy.lines),
                "hosts": list(policy.hosts),
                "good": counts.good,
                "failures": [
                    [each.result, each.own_address, each.host, each.address, each.text, number]
                    for each, number in counts.failures.items()
                ],
            }
            for policy, counts in policies.items()
        ]
        for domain, policies in tally.domains.items()
    }


def read_tally(value: object) -> Tally:
    """Return the tally of a JSON object. Raises ValueError if it is none."""
    tally = Tally()
    try:
        for domain, policies in _items(value):
            for each in policies:
                policy = CountedPolicy(PolicyType(each["type"]), tuple(each["lines"]), tuple(each["hosts"]))
                tally.count(domain, policy, None, int(each["good"]))
                for *facts, number in each["failures"]:
                    tally.count(domain, policy, FailedSession(*map(str, facts)), int(number))
    except (LookupError, TypeError) as error:
        raise ValueError("the object is not a tally of TLS sessions") from error
    return tally


def _items(value: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError("not an object")
    yield from value.items()
