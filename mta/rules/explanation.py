"""The decisions of rules on one message with their reasons, as values that `smtprelay explain` shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mta.rules.acl import AclRule, Ruling
from mta.rules.book import RuleBook
from mta.rules.conditions import Rule
from mta.rules.facts import Facts, HostNotLookedUp
from mta.rules.routes import RouteRule, Routes
from mta.smtp.address import Address


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A rule that does not apply, and the key of the first condition that is the reason, such as `unless.sender`."""

    rule: Rule
    key: str

    def __str__(self) -> str:
        """Return the rule and the reason in words."""
        return f"{self.rule}: {self.key} {'matches' if self.key.startswith('unless.') else 'does not match'}"


@dataclass(frozen=True, slots=True)
class AclDecision:
    """The decision of one stage; `ruling` is None if no rule applies. `passed_over` are the rules asked before it."""

    ruling: Ruling | None
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True)
class AclExplanation:
    """The decisions on one message at MAIL, on each recipient, and after the data, as far as they are reached."""

    mail: AclDecision
    recipients: tuple[tuple[Address, AclDecision], ...] = ()
    data: AclDecision = AclDecision(None)

    @property
    def accepted(self) -> tuple[Address, ...]:
        """The recipients that the rules let have the message."""
        refused = any(decision.ruling and decision.ruling.refusal for decision in (self.mail, self.data))
        return () if refused else self.accepted_at_rcpt

    @property
    def accepted_at_rcpt(self) -> tuple[Address, ...]:
        """The recipients that the rules do not refuse at RCPT."""
        return tuple(
            address
            for address, decision in self.recipients
            if decision.ruling is None or decision.ruling.refusal is None
        )

    @property
    def held(self) -> bool:
        """Whether the message would be held."""
        decisions = [self.data, *(decision for _, decision in self.recipients)]
        return bool(self.accepted) and any(one.ruling is not None and one.ruling.held for one in decisions)


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """The decision of the router rules on a recipient; `chosen` is None if no rule applies."""

    chosen: RouteRule | None
    passed_over: tuple[PassedOver, ...] = ()
    #: The rule that would decide if the chosen one did not exist; None if no other one applies.
    otherwise: RouteRule | None = None


def explain_acl(book: RuleBook | None, facts: Facts, recipients: Sequence[Address]) -> AclExplanation:
    """Return the decisions on a message by the functions with which the relay makes them.

    `facts` has no recipient, the header block, and the size, which the client announces at MAIL. A stage that the relay
    would not reach, because the message was refused before, has no decision.
    """
    acl = None if book is None else book.acl
    if acl is None:
        return AclExplanation(_NO_DECISION, tuple((one, _NO_DECISION) for one in recipients))
    if (early := acl.at_mail(facts)) is not None:
        return AclExplanation(AclDecision(early))
    decisions = []
    for recipient in recipients:
        asked = replace(facts, recipient=recipient)
        decisions.append((recipient, _decision(acl.at_recipient(asked), acl.recipient_rules, asked)))
    found = AclExplanation(_NO_DECISION, tuple(decisions))
    if not found.accepted_at_rcpt:
        return found
    return replace(found, data=_decision(acl.at_data(facts, found.accepted_at_rcpt), acl.data_rules, facts))


_NO_DECISION = AclDecision(None)


def explain_route(routes: Routes | None, facts: Facts) -> RouteDecision:
    """Return the decision on `facts.recipient` by the function with which the relay makes it.

    Raises HostNotLookedUp if that depends on the addresses of a host name which are not known.
    """
    if routes is None:
        return RouteDecision(None)
    chosen = routes.choose(facts)
    passed_over = _passed_over((each.rule for each in routes.rules), None if chosen is None else chosen.rule, facts)
    if chosen is None:
        return RouteDecision(None, passed_over)
    others = Routes(each for each in routes.rules if each is not chosen)
    try:
        otherwise = others.choose(facts)
    except HostNotLookedUp:
        otherwise = None
    return RouteDecision(chosen, passed_over, otherwise)


def _decision(ruling: Ruling | None, rules: Iterable[AclRule], facts: Facts) -> AclDecision:
    decisive = None if ruling is None else ruling.rule
    return AclDecision(ruling, _passed_over((each.rule for each in rules), decisive, facts))


def _passed_over(rules: Iterable[Rule], decisive: Rule | None, facts: Facts) -> tuple[PassedOver, ...]:
    """Return the rules before the decisive one that do not apply."""
    found = []
    for rule in rules:
        if rule is decisive:
            break
        try:
            obstacle = rule.obstacle(facts)
        except HostNotLookedUp:
            obstacle = "client"
        if obstacle:
            found.append(PassedOver(rule, obstacle))
    return tuple(found)
