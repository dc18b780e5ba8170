"""`[[acl]]`: the messages and recipients that the relay accepts. Of all rules that apply, the first decides.

Rules are asked only about mail that the policy has accepted, so no rule opens the relay. A rule that asks for the
header or the size decides on the message as a whole after its data, or at MAIL if the announced size is enough; every
other rule decides on each recipient at RCPT.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from mta.rules.actions import Accept, Action, Defer, Deny, Hold
from mta.rules.conditions import (
    ClientCondition,
    Condition,
    OverCondition,
    Question,
    RecipientCondition,
    Rule,
    SizeCondition,
    Stage,
)
from mta.rules.facts import HOST_UNKNOWN, Facts, HostNotLookedUp, MailFacts, mail_facts
from mta.smtp.address import Address
from mta.smtp.replies import Reply

# The clients with their senders for which `Acl` remembers the rules that can apply.
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class AclRule:
    """A rule and its action. Raises ValueError if it asks for both a recipient and the data."""

    rule: Rule
    action: Action
    #: Whether the rule decides on the message as a whole.
    after_data: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that the rule can be asked."""
        object.__setattr__(self, "after_data", any(one.stage is Stage.DATA for one in self.rule.all_conditions))
        if self.after_data and self.asks_for(RecipientCondition):
            raise ValueError(
                "recipient and header. or larger cannot stand in one rule, because a message has one answer"
            )
        if self.after_data and self.by_recipient:
            raise ValueError("over counts messages in a rule with header. or larger, because a message has one answer")

    @property
    def by_recipient(self) -> bool:
        """Whether the rule may decide differently on two recipients of one message."""
        return any(
            isinstance(condition, RecipientCondition)
            or (isinstance(condition, OverCondition) and condition.counts_recipients)
            for condition in self.rule.all_conditions
        )

    def asks_for(self, kind: type[Condition]) -> bool:
        """Whether the rule has a condition of this kind."""
        return any(isinstance(condition, kind) for condition in self.rule.all_conditions)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision of a rule."""

    rule: Rule
    action: Action

    @property
    def refusal(self) -> Reply | None:
        """The reply if the message or recipient is refused."""
        return self.action.reply if isinstance(self.action, Deny | Defer) else None

    @property
    def held(self) -> bool:
        """Whether the message is to be held."""
        return isinstance(self.action, Hold)


class Acl:
    """The rules in their order.

    Most conditions ask for the client or the sender, and most messages are of the same few. So the rules that can apply
    to mail of a client and a sender are remembered, and only the rest of their conditions is asked for each message.
    """

    __slots__ = ("_at_mail", "_open_at_data", "_open_at_recipient", "asks_at_data", "asks_for_rates", "rules")

    def __init__(self, rules: Iterable[AclRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)
        at_recipient = tuple(_OpenRule(rule, by_recipient=True) for rule in self.recipient_rules)
        # The rules that decide after the data, and those before them that take recipients out of their reach.
        at_data = tuple(
            _OpenRule(rule, by_recipient=rule.by_recipient)
            for rule in _up_to_last(self.rules, lambda rule: rule.after_data)
            if rule.after_data or isinstance(rule.action, Accept | Hold)
        )
        self._open_at_recipient: _Choose = lru_cache(_REMEMBERED)(partial(_open, at_recipient))
        self._open_at_data: _Choose = lru_cache(_REMEMBERED)(partial(_open, at_data))
        #: Whether `at_data` can decide.
        self.asks_at_data = bool(at_data)
        #: Whether mail must be counted, so that `Facts.over` can tell whether a rate is exceeded.
        self.asks_for_rates = any(rule.asks_for(OverCondition) for rule in self.rules)
        self._at_mail = tuple(map(_RuleAtMail, _up_to_last(self.rules, lambda rule: rule.asks_for(SizeCondition))))

    def __reduce__(self) -> "tuple[type[Acl], tuple[tuple[AclRule, ...]]]":
        """Pickle the rules without those that are remembered, for another process."""
        return Acl, (self.rules,)

    @property
    def recipient_rules(self) -> tuple[AclRule, ...]:
        """The rules that decide on each recipient, in their order."""
        return tuple(rule for rule in self.rules if not rule.after_data)

    @property
    def data_rules(self) -> tuple[AclRule, ...]:
        """The rules that decide on the message as a whole, in their order."""
        return tuple(rule for rule in self.rules if rule.after_data)

    @property
    def asks_at_mail(self) -> bool:
        """Whether `at_mail` can decide."""
        return bool(self._at_mail)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in `client` conditions, each once, whose addresses `Facts.host_addresses` must tell."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.rule.host_names))

    def at_mail(self, facts: Facts) -> Ruling | None:
        """Return the refusal at MAIL by the announced size, which is `facts.size`, or None; 0 is no announced size.

        A refusal is given so early only if no other rule could still give the message a different kind of answer.
        """
        if not facts.size:
            return None
        kinds: set[type[Action]] = set()
        for rule in self._at_mail:
            try:
                if not rule.may_apply(facts):
                    continue
            except HostNotLookedUp:
                return None
            kinds.add(type(rule.ruling.action))
            if rule.decides:
                return rule.ruling if len(kinds) == 1 and rule.ruling.refusal is not None else None
            if rule.complete:
                return None
        return None

    def at_recipient(self, facts: Facts) -> Ruling | None:
        """Return the decision on `facts.recipient`, or None if no rule applies."""
        for rule in self._open_at_recipient(mail_facts(facts)):
            try:
                if rule.applies(facts):
                    return rule.ruling
            except HostNotLookedUp:
                return Ruling(rule.ruling.rule, Defer(HOST_UNKNOWN))
        return None

    def at_data(self, facts: Facts, recipients: Sequence[Address]) -> Ruling | None:
        """Return the decision on the whole message by its header and size, or None.

        `recipients` are those that were accepted. A rule is asked unless rules before it accepted or held all of them.
        """
        undecided = recipients
        for rule in self._open_at_data(mail_facts(facts)):
            try:
                if rule.by_recipient:
                    undecided = _without(rule.applies, facts.copy(), undecided)
                    if not undecided:
                        return None
                elif rule.applies(facts):
                    return rule.ruling if rule.after_data else None
            except HostNotLookedUp:
                return Ruling(rule.ruling.rule, Defer(HOST_UNKNOWN))
        return None


def _without(applies: Question, facts: Facts, recipients: Sequence[Address]) -> Sequence[Address]:
    """Return the recipients for which a rule does not apply. `facts` goes on to each of them."""
    left = []
    for one in recipients:
        facts.recipient = one
        if not applies(facts):
            left.append(one)
    return left


class _OpenRule:
    """A rule by its conditions on client and sender, whose answers stay the same, and by all others.

    `may_apply` asks the former, `applies` the latter.
    """

    __slots__ = ("after_data", "applies", "by_recipient", "may_apply", "ruling")

    def __init__(self, rule: AclRule, *, by_recipient: bool) -> None:
        self.ruling = Ruling(rule.rule, rule.action)
        self.may_apply, self.applies = rule.rule.questions(_is_of_client)
        self.after_data = rule.after_data
        self.by_recipient = by_recipient


_Choose = Callable[[MailFacts], tuple[_OpenRule, ...]]


def _is_of_client(condition: Condition) -> bool:
    # The addresses of a host name may change.
    return condition.stage is Stage.MAIL and not (isinstance(condition, ClientCondition) and condition.names)


def _open(rules: tuple[_OpenRule, ...], known: MailFacts) -> tuple[_OpenRule, ...]:
    """Return the rules that can apply to mail with these facts."""
    client, trusted, sender, login, helo, tls = known
    facts = Facts(client, trusted, sender, login=login, helo=helo, tls=tls)
    return tuple(rule for rule in rules if rule.may_apply(facts))


class _RuleAtMail:
    """A rule by those of its conditions that can be answered at MAIL from the announced size."""

    __slots__ = ("complete", "decides", "may_apply", "ruling")

    def __init__(self, rule: AclRule) -> None:
        self.ruling = Ruling(rule.rule, rule.action)
        known = rule.rule.only(_is_known_at_mail)
        self.may_apply = known.question
        # Whether the rule applies if it may apply.
        self.complete = len(known.all_conditions) == len(rule.rule.all_conditions)
        self.decides = self.complete and rule.asks_for(SizeCondition)


def _is_known_at_mail(condition: Condition) -> bool:
    return condition.stage is Stage.MAIL or isinstance(condition, SizeCondition)


def _up_to_last(rules: tuple[AclRule, ...], wanted: Callable[[AclRule], bool]) -> tuple[AclRule, ...]:
    """Return the rules up to the last wanted one, which is the last that can decide."""
    places = [place for place, rule in enumerate(rules) if wanted(rule)]
    return rules[: places[-1] + 1] if places else ()
