"""The conditions of rules, one class each, and the rule that they make up."""

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache, partial
from operator import attrgetter
from typing import ClassVar, Protocol

from mta.inbound.networks import TrustList
from mta.rate import Rate, RateUnit
from mta.rules.facts import Facts, HostNotLookedUp
from mta.rules.pattern_lists import AddressPatterns, TextPatterns

#: The list of a `client` condition that names no network.
NO_NETWORKS = TrustList()
# The prefix of IPv6 that one client is taken to have.
_V6_PREFIX = 64
#: Returns whether something holds. May raise HostNotLookedUp.
Question = Callable[[Facts], bool]
_IS_TRUSTED: Question = attrgetter("trusted")
#: A question, and the answer that it must give.
Check = tuple[Question, bool]
Checks = tuple[Check, ...]


class Stage(IntEnum):
    """The moments at which a condition can be answered, in their order: of a session, and later of an attempt."""

    MAIL = 1
    RECIPIENT = 2
    DATA = 3
    #: An attempt to deliver the message, after the session.
    ATTEMPT = 4


class Condition(Protocol):
    """A condition of a rule."""

    @property
    def key(self) -> str:
        """The key of the condition in a rule, such as `sender` or `header.Subject`."""

    @property
    def stage(self) -> Stage:
        """The first moment at which the condition can be answered."""

    def matches(self, facts: Facts) -> bool:
        """Return whether the condition holds. Raises HostNotLookedUp."""


@dataclass(frozen=True, slots=True)
class ClientCondition:
    """`client`: an address, a network or a host name of the list; `trusted` or `stranger`."""

    networks: TrustList = NO_NETWORKS
    trusted: bool = False
    stranger: bool = False
    #: The host names in the list.
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    key: ClassVar[str] = "client"
    stage: ClassVar[Stage] = Stage.MAIL

    def __post_init__(self) -> None:
        """Find the host names once."""
        object.__setattr__(self, "names", self.networks.names)

    def matches(self, facts: Facts) -> bool:
        """Return whether the client is one of these. Raises HostNotLookedUp."""
        if self.trusted if facts.trusted else self.stranger:
            return True
        if not self.names:
            return self.networks.verdict_without_names(facts.client)
        found = {name: facts.host_addresses(name) for name in self.names}
        lookups = {name: addresses for name, addresses in found.items() if addresses is not None}
        unknown = [name for name in found if name not in lookups]
        verdict = self.networks.verdict(facts.client, lookups, unknown)
        if verdict is None:
            raise HostNotLookedUp(", ".join(unknown))
        return verdict


_TRUSTED = ClientCondition(trusted=True)


@dataclass(frozen=True, slots=True)
class LoginCondition:
    """`login`: the name of the user that logged in. Without a login it matches no pattern."""

    users: TextPatterns
    key: ClassVar[str] = "login"
    stage: ClassVar[Stage] = Stage.MAIL

    def matches(self, facts: Facts) -> bool:
        """Return whether the client logged in as one of these users."""
        return bool(facts.login) and self.users.matches(facts.login)


@dataclass(frozen=True, slots=True)
class HeloCondition:
    """`helo`: the name that the client gave in EHLO or HELO."""

    names: TextPatterns
    key: ClassVar[str] = "helo"
    stage: ClassVar[Stage] = Stage.MAIL

    def matches(self, facts: Facts) -> bool:
        """Return whether the name matches."""
        return self.names.matches(facts.helo)


@dataclass(frozen=True, slots=True)
class TlsCondition:
    """`tls`: whether the session is encrypted."""

    tls: bool
    key: ClassVar[str] = "tls"
    stage: ClassVar[Stage] = Stage.MAIL

    def matches(self, facts: Facts) -> bool:
        """Return whether the session is as the rule asks."""
        return facts.tls is self.tls


@dataclass(frozen=True, slots=True)
class SenderCondition:
    """`sender`: the sender of the envelope."""

    patterns: AddressPatterns
    key: ClassVar[str] = "sender"
    stage: ClassVar[Stage] = Stage.MAIL

    def matches(self, facts: Facts) -> bool:
        """Return whether the sender matches."""
        return self.patterns.matches(facts.sender)


@dataclass(frozen=True, slots=True)
class RecipientCondition:
    """`recipient`: a recipient of the envelope."""

    patterns: AddressPatterns
    key: ClassVar[str] = "recipient"
    stage: ClassVar[Stage] = Stage.RECIPIENT

    def matches(self, facts: Facts) -> bool:
        """Return whether the recipient matches."""
        return facts.recipient is not None and self.patterns.matches(facts.recipient)


@dataclass(frozen=True, slots=True)
class HeaderCondition:
    """`header.NAME`: the fields of this name, of which one must match."""

    name: str
    patterns: TextPatterns
    stage: ClassVar[Stage] = Stage.DATA

    @property
    def key(self) -> str:
        """The key with the name of the field."""
        return f"header.{self.name}"

    def matches(self, facts: Facts) -> bool:
        """Return whether a field matches."""
        return any(map(self.patterns.matches, facts.header_texts(self.name)))


@dataclass(frozen=True, slots=True)
class SizeCondition:
    """`larger`: whether the message has more than so many octets."""

    octets: int
    key: ClassVar[str] = "larger"
    stage: ClassVar[Stage] = Stage.DATA

    def matches(self, facts: Facts) -> bool:
        """Return whether the message is larger."""
        return facts.size > self.octets


class Per(enum.Enum):
    """The mail that a rate counts together."""

    #: That of one address, or of one /64 network of IPv6.
    CLIENT = "client"
    LOGIN = "login"
    #: That of one sender of the envelope; all bounces are of the null sender.
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class OverCondition:
    """`over`: whether one more message or recipient would be beyond one of the rates."""

    rates: tuple[Rate, ...]
    per: Per = Per.CLIENT
    #: A digest of the text of the rule, to which the counts belong.
    rule: str = ""
    key: ClassVar[str] = "over"
    stage: ClassVar[Stage] = Stage.RECIPIENT

    @property
    def counts_recipients(self) -> bool:
        """Whether a rate counts recipients."""
        return any(rate.unit is RateUnit.RECIPIENTS for rate in self.rates)

    def subject(self, facts: Facts) -> str:
        """Return the name that is counted, or "" if the mail is not limited, because there is no login."""
        match self.per:
            case Per.CLIENT:
                return _network(facts.client)
            case Per.LOGIN:
                return facts.login
        return "<>" if facts.sender is None else str(facts.sender).lower()

    def matches(self, facts: Facts) -> bool:
        """Return whether a rate is exceeded. Mail about which it is asked must meet the other conditions."""
        return facts.over(self, facts)


@dataclass(frozen=True, slots=True)
class HostCondition:
    """`host`: the hosts that mail may go to, of which one must match."""

    names: TextPatterns
    key: ClassVar[str] = "host"
    stage: ClassVar[Stage] = Stage.RECIPIENT

    def matches(self, facts: Facts) -> bool:
        """Return whether a host matches."""
        return any(map(self.names.matches, facts.hosts))


@dataclass(frozen=True, slots=True)
class SmarthostCondition:
    """`smarthost`: the smarthost that takes the mail. Mail that goes to MX hosts has none."""

    names: frozenset[str]
    key: ClassVar[str] = "smarthost"
    stage: ClassVar[Stage] = Stage.RECIPIENT

    def matches(self, facts: Facts) -> bool:
        """Return whether the smarthost is one of these."""
        return facts.smarthost in self.names


@dataclass(frozen=True, slots=True)
class RulePlace:
    """The place of a rule: a file and the line of its table; a variable that stands for a rule has line 0."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        """Return `10-acl.toml:5`, or the name of the variable."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, which applies if all `conditions` hold and no condition of `unless` does.

    `name` is the operator's, or "".
    """

    where: RulePlace
    name: str = ""
    conditions: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    #: A digest of its text without its name, if its stage counts mail by it; "" otherwise.
    digest: str = field(default="", repr=False, compare=False)
    #: The place in words, for the log.
    place: str = field(init=False, repr=False, compare=False)
    # The conditions in the order in which they are asked, and the questions to them; each with its wanted answer.
    _in_order: tuple[tuple[Condition, bool], ...] = field(init=False, repr=False, compare=False)
    _checks: Checks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put the conditions into the order in which they are asked."""
        conditions = [(one, True) for one in self.conditions] + [(one, False) for one in self.unless]
        if len(conditions) > 1:
            conditions.sort(key=lambda check: _turn(check[0]))
        object.__setattr__(self, "_in_order", tuple(conditions))
        object.__setattr__(self, "_checks", tuple([(_question(condition), wanted) for condition, wanted in conditions]))
        object.__setattr__(self, "place", str(self.where))

    @property
    def always_applies(self) -> bool:
        """Whether the rule has no condition."""
        return not self._checks

    @property
    def question(self) -> Question:
        """The callable that answers as `applies` does; with one condition it is the condition itself."""
        return _question_of(self._checks)

    def questions(self, chosen: Callable[[Condition], bool]) -> tuple[Question, Question]:
        """Return the callables that tell whether a part of the conditions holds, and whether all others do.

        The rule applies if both parts hold. A part without conditions is `always`.
        """
        part: list[Check] = []
        others: list[Check] = []
        for (condition, _), check in zip(self._in_order, self._checks, strict=True):
            (part if chosen(condition) else others).append(check)
        return _question_of(tuple(part)), _question_of(tuple(others))

    @property
    def all_conditions(self) -> tuple[Condition, ...]:
        """The conditions and exceptions."""
        return self.conditions + self.unless

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in its `client` conditions."""
        clients = [one for one in self.all_conditions if isinstance(one, ClientCondition)]
        return tuple(name for client in clients for name in client.names)

    def only(self, chosen: Callable[[Condition], bool]) -> "Rule":
        """Return the rule with a part of its conditions."""
        conditions, unless = tuple(filter(chosen, self.conditions)), tuple(filter(chosen, self.unless))
        if len(conditions) == len(self.conditions) and len(unless) == len(self.unless):
            return self
        return replace(self, conditions=conditions, unless=unless)

    def applies(self, facts: Facts) -> bool:
        """Return whether the rule applies. Raises HostNotLookedUp if that depends on an address not known yet."""
        return _hold(self._checks, facts)

    def obstacle(self, facts: Facts) -> str:
        """Return the key of the first condition by which the rule does not apply, or "". Raises HostNotLookedUp."""
        for condition, wanted in self._in_order:
            if condition.matches(facts) is not wanted:
                return condition.key if wanted else f"unless.{condition.key}"
        return ""

    def __str__(self) -> str:
        """Return the place of the rule, with its name in quotation marks."""
        return f'{self.where} "{self.name}"' if self.name else str(self.where)


def _question(condition: Condition) -> Question:
    """Return the callable that tells whether a condition holds; for the commonest one it is a function in C."""
    return _IS_TRUSTED if condition == _TRUSTED else condition.matches


def _question_of(checks: Checks) -> Question:
    if not checks:
        return always
    return checks[0][0] if len(checks) == 1 and checks[0][1] else partial(_hold, checks)


def _hold(checks: Checks, facts: Facts) -> bool:
    for matches, wanted in checks:  # noqa: SIM110  a generator costs as much as a condition
        if matches(facts) is not wanted:
            return False
    return True


def always(_facts: Facts) -> bool:
    """Return True: there is no condition."""
    return True


def _turn(condition: Condition) -> int:
    """Return the place of a condition in the order of questions."""
    # A host name whose addresses are not known matters only if all the others are as they must be, and the rates count
    # the mail for which all the others are.
    if isinstance(condition, OverCondition):
        return 2
    return int(isinstance(condition, ClientCondition) and bool(condition.names))


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """Return the network with which a client is counted: its address, or the /64 of an IPv6 address."""
    if ":" not in address:
        return address
    ip = ipaddress.IPv6Address(address)
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((int(ip), _V6_PREFIX), strict=False))
