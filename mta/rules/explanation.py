"""The decisions of rules on one message with their reasons, as values that `smtprelay explain` shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mta.rules.acl import AclRule, Ruling
from mta.rules.book import RuleBook
from mta.rules.conditions import Rule
from mta.rules.facts import Facts, HostNotLookedUp
from mta.smtp.address import Address


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A rule that does not apply, and the key of the first condition that is the reason, such as `unless.sender`."""

    rule: Rule
    key: str


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


def _decision(ruling: Ruling | None, rules: Iterable[AclRule], facts: Facts) -> AclDecision:
    passed_over = []
    for acl_rule in rules:
        if ruling is not None and acl_rule.rule is ruling.rule:
            break
        try:
            obstacle = acl_rule.rule.obstacle(facts)
        except HostNotLookedUp:
            obstacle = "client"
        if obstacle:
            passed_over.append(PassedOver(acl_rule.rule, obstacle))
    return AclDecision(ruling, tuple(passed_over))
