"""Whether a message is accepted: the decisions of policy and `[[acl]]` rules at MAIL, at RCPT and after the data.

Commands are parsed, and policy and rules asked, by the functions and in the order of a session of the relay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred

from mta.explain.parts import DecidingParts
from mta.explain.values import MailVerdict, Moment, Question
from mta.inbound.policy import DomainCheck
from mta.message.envelope import Envelope
from mta.routing.choice import Fail, RouteChoice
from mta.rules.acl import Acl, Ruling
from mta.rules.book import RuleBook
from mta.rules.conditions import Rule
from mta.rules.explanation import AclDecision, AclExplanation, explain_acl
from mta.rules.facts import HOST_UNKNOWN, Facts, HostNotLookedUp
from mta.smtp.address import Address
from mta.smtp.errors import ProtocolRefusal
from mta.smtp.limits import SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.commands import parse_hello, parse_mail, parse_rcpt
from mta.smtp.server.events import MailFrom


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The decisions, and the recipients that are accepted."""

    decisions: tuple[MailVerdict, ...]
    accepted: tuple[Address, ...] = ()
    #: The facts by which the rules decided, if they were asked about recipients.
    facts: Facts | None = None
    #: The envelope in the queue, if the message is accepted.
    envelope: Envelope | None = None


async def decide_acl(question: Question, relay: DecidingParts) -> Verdicts:
    """Return the decisions on a message."""
    return await _DryRun(question, relay).decide()


class _DryRun:
    """One mail transaction (RFC 5321 section 3.3) that only asks."""

    def __init__(self, question: Question, relay: DecidingParts) -> None:
        self._question = question
        self._relay = relay
        self._client = relay.client(question.client)
        self._leniency = relay.leniency(self._client)
        # The choices of router rules on recipients that the policy has checked the route of.
        self._choices: dict[Address, RouteChoice | None] = {}
        self._utf8 = not all(text.isascii() for text in (question.sender, *question.recipients))

    async def decide(self) -> Verdicts:
        """Return the decisions of the whole transaction."""
        try:
            self._hello()
        except ProtocolRefusal as refusal:
            return _refused(Moment.EHLO, refusal.reply)
        try:
            mail = self._mail()
        except ProtocolRefusal as refusal:
            return _refused(Moment.MAIL, refusal.reply)
        verdict = self._relay.policy.sender(self._client, mail.sender)
        if not verdict.positive:
            return _refused(Moment.MAIL, verdict)
        return await self._decide_on_recipients(mail)

    async def _decide_on_recipients(self, mail: MailFrom) -> Verdicts:
        facts = self._facts(mail.sender)
        judged = [await self._policy(text, facts) for text in self._question.recipients]
        permitted = tuple(dict.fromkeys(found for found in judged if isinstance(found, Address)))
        explained = explain_acl(self._relay.book, facts, permitted)
        if (early := explained.mail.ruling) is not None:
            return Verdicts((self._ruled(Moment.MAIL, "", early, facts, permitted),))
        by_rules = dict(explained.recipients)
        decisions = [
            found if isinstance(found, MailVerdict) else self._on_recipient(found, by_rules[found], facts)
            for found in judged
        ]
        if not explained.accepted_at_rcpt:
            return Verdicts(tuple(decisions))
        last = self._after_data(explained, facts)
        if last is None:
            asked = tuple(map(str, explained.data.passed_over))
            decided = (
                each if each.reply else replace(each, passed_over=each.passed_over + asked) for each in decisions
            )
            return Verdicts(tuple(decided), explained.accepted_at_rcpt, facts)
        return Verdicts((*decisions, last), explained.accepted_at_rcpt if last.reply is None else (), facts)

    def _hello(self) -> None:
        if self._question.helo:
            parse_hello(_octets(self._question.helo), self._leniency)

    def _mail(self) -> MailFrom:
        """Return the MAIL command. Raises ProtocolRefusal."""
        size = self._question.size
        said = f" SIZE={size}" if size else ""
        argument = f"FROM:<{_bare(self._question.sender)}>{said}{' SMTPUTF8' if self._utf8 else ''}"
        mail = parse_mail(_octets(argument), self._leniency)
        if self._question.requiretls and not self._question.tls:
            raise ProtocolRefusal(canned_replies.NO_REQUIRETLS)
        limits = SmtpLimits(message_size=self._relay.settings.message_size_limit)
        if size > limits.message_size:
            raise ProtocolRefusal(canned_replies.message_too_large(limits))
        return mail

    async def _policy(self, text: str, facts: Facts) -> MailVerdict | Address:
        """Return the refusal of a recipient by the policy, or its address."""
        try:
            found = parse_rcpt(_octets(f"TO:<{_bare(text)}>"), self._leniency, smtputf8=self._utf8)
        except ProtocolRefusal as refusal:
            return MailVerdict(Moment.RCPT, text, refusal.reply, "")
        address = found.recipient.address
        verdict = self._relay.policy.recipient(self._client, address, facts.sender)
        if verdict is None:
            return await self._checked(address, facts)
        return address if verdict.positive else MailVerdict(Moment.RCPT, str(address), verdict, "")

    async def _checked(self, address: Address, facts: Facts) -> MailVerdict | Address:
        """Return the refusal of a stranger's recipient whose mail can go nowhere, or its address."""
        book = self._relay.book
        routes = None if book is None else book.router
        try:
            route = None if routes is None else routes.choose(replace(facts, recipient=address))
        except HostNotLookedUp:
            return MailVerdict(Moment.RCPT, str(address), HOST_UNKNOWN, "")
        choice = self._choices[address] = None if route is None else route.choice
        if not self._relay.can_resolve(address, choice):
            return address
        found: Deferred[Reply] = Deferred()
        DomainCheck(self._relay.router)(address.domain, found.callback, choice)
        verdict = await found
        if verdict.positive:
            return address
        rule = str(route.rule) if route is not None and isinstance(choice, Fail) else ""
        return MailVerdict(Moment.RCPT, str(address), verdict, "", rule)

    def _on_recipient(self, address: Address, found: AclDecision, facts: Facts) -> MailVerdict:
        """Return the decision of the rules on a recipient that the policy has permitted."""
        reason = self._relay.reason(self._client, address, self._choices.get(address))
        passed_over = tuple(map(str, found.passed_over))
        if found.ruling is None:
            return MailVerdict(Moment.RCPT, str(address), None, reason, passed_over=passed_over)
        decision = self._ruled(Moment.RCPT, str(address), found.ruling, facts, (address,))
        return replace(decision, reason="" if decision.reply else reason, passed_over=passed_over)

    def _after_data(self, explained: AclExplanation, facts: Facts) -> MailVerdict | None:
        """Return the decision after the data, or None if no rule makes one."""
        senders = self._client.senders
        if senders is not None and (refusal := senders.refusal_of_header(facts.header or b"", facts.sender)):
            return MailVerdict(Moment.DATA, "", refusal, "")
        ruling = explained.data.ruling
        if ruling is None:
            return None
        decision = self._ruled(Moment.DATA, "", ruling, facts, explained.accepted_at_rcpt)
        return replace(decision, passed_over=tuple(map(str, explained.data.passed_over)))

    def _facts(self, sender: Address | None) -> Facts:
        question, client = self._question, self._client
        return Facts(
            client.address,
            client.trusted,
            sender,
            login=client.user,
            helo=question.helo,
            tls=question.tls,
            header=question.header,
            size=question.size,
            host_addresses=self._relay.host_addresses,
        )

    def _ruled(
        self, moment: Moment, recipient: str, ruling: Ruling, facts: Facts, recipients: Sequence[Address]
    ) -> MailVerdict:
        """Return the decision of a rule, with the fate of the mail for these recipients if that rule did not exist."""
        without = _outcome(explain_acl(_without(self._relay.book, ruling.rule), facts, recipients))
        otherwise = "accepted" if without is None else _words(without)
        return MailVerdict(moment, recipient, ruling.refusal, "", str(ruling.rule), otherwise, held=ruling.held)


def _outcome(explained: AclExplanation) -> Ruling | None:
    """Return the decision that counts in the end: a refusal of the message or of all recipients, or one to hold."""
    of_recipients = [decision.ruling for _, decision in explained.recipients if decision.ruling is not None]
    of_message = [each.ruling for each in (explained.mail, explained.data) if each.ruling is not None]
    rulings = of_message if explained.accepted_at_rcpt else [*of_message, *of_recipients]
    refusal = next((each for each in rulings if each.refusal is not None), None)
    return refusal or next((each for each in (*of_message, *of_recipients) if each.held), None)


def _without(book: RuleBook | None, rule: Rule) -> RuleBook | None:
    """Return the rules but one."""
    if book is None or book.acl is None:
        return None
    return replace(book, acl=Acl(each for each in book.acl.rules if each.rule is not rule))


def _words(ruling: Ruling) -> str:
    """Return the decision of a rule that refuses or holds, in words."""
    return f"held by {ruling.rule}" if ruling.refusal is None else f"{ruling.refusal} by {ruling.rule}"


def _refused(moment: Moment, reply: Reply) -> Verdicts:
    return Verdicts((MailVerdict(moment, "", reply, ""),))


def _bare(address: str) -> str:
    """Return an address without brackets around it."""
    return address[1:-1] if address.startswith("<") and address.endswith(">") else address


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
