"""One client's session: the replies to the SMTP machine's events, by the rules of policy and intake.

The session knows no transport, no clock and no machine. The connection (`mta.inbound.protocol`) passes it each event
and takes its reply.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as TypingProtocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.coroutines import start
from mta.event_log.log import EventLog
from mta.inbound.intake import Incoming, Intake
from mta.inbound.message_rules import MailRates, MessageRules, Rulings
from mta.inbound.policy import Client
from mta.inbound.sender_rule import SenderRule
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.headers import protocol_keyword
from mta.rate_counts import RateCounts
from mta.routing.choice import Fail, RouteChoice
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.facts import HOST_UNKNOWN, Facts, HostAddresses, HostNotLookedUp, never_over
from mta.smtp.address import Address
from mta.smtp.replies import Reply, reply
from mta.smtp.server import canned_replies, events

if TYPE_CHECKING:
    from mta.inbound.login import Logins, SessionLogin
    from mta.rules.acl import Acl
    from mta.rules.routes import RouteRule
    from mta.users.users_file import User

#: Recipients that each message may have (RFC 5321 section 4.5.3.1.8), however many other messages are under way.
MIN_RECIPIENTS = 100

_log = Logger()

# The machine replaces the text in its reply to EHLO and HELO.
_HELLO_OK = reply(250, "", "ok")


def _log_bug(failure: Failure | None) -> None:
    if failure is not None:
        _log.failure("a message was stored, but its reply or its delivery failed", failure)


class Policy(TypingProtocol):
    """Decides on senders and recipients; mta.inbound.policy.RelayPolicy is the implementation."""

    def sender(self, client: Client, address: Address | None) -> Reply:
        """Return the reply to MAIL."""

    def recipient(self, client: Client, address: Address, sender: Address | None) -> Reply | None:
        """Return the reply to RCPT, or None if it depends on the routing of the domain."""


class CheckDomain(TypingProtocol):
    """Checks that mail for a domain, or for an address literal, can be routed."""

    def __call__(self, domain: str, done: Callable[[Reply], None], choice: RouteChoice | None = None) -> None:
        """Call `done` once with the reply to RCPT, before or after returning. `choice` is that of a router rule."""


class Session:
    """The session of one client.

    `rules` are asked about mail that the policy accepts; `host_addresses` answers for the host names in them, and
    `rate_counts` for the rates. Those in force when the first recipient of a message is accepted decide on the whole
    message, so that no message is decided on by a mixture of two rule sets.
    `reply_ready` is called with each reply that was not known when its event was handled. `logins` must be given if the
    machine may offer AUTH.
    """

    def __init__(
        self,
        client: Client,
        policy: Policy,
        intake: Intake,
        *,
        check_domain: CheckDomain,
        rules: CurrentRules,
        host_addresses: HostAddresses,
        rate_counts: RateCounts,
        event_log: EventLog,
        reply_ready: Callable[[Reply], None],
        logins: "Logins | None" = None,
    ) -> None:
        self.client = client
        # The client without a login.
        self._unknown = client
        self._policy = policy
        self._intake = intake
        self._check_domain = check_domain
        self._rules = rules
        self._host_addresses = host_addresses
        self._rate_counts = rate_counts
        self._event_log = event_log
        self._reply_ready = reply_ready
        self._helo = ""
        self._extended = False
        # Protocol and cipher, for the trace header; "" in clear.
        self._tls = ""
        #: The logins of the client, if AUTH may be offered.
        self.login: SessionLogin | None = None
        if logins is not None:
            self.login = logins.of_session(client, reply_ready=reply_ready, logged_in=self._logged_in)
        #: Whether TLS is to begin once the reply to STARTTLS is written.
        self.tls_due = False
        self._mail = events.MailFrom(None)
        self._recipients: dict[Address, Recipient] = {}
        # The decisions of rules on these recipients, if there are any.
        self._rulings: Rulings | None = None
        # The rules that decide on the message; they count once a recipient was accepted.
        self._book: RuleBook | None = None
        # The facts that [[acl]] rules were asked about at RCPT, if they were.
        self._asked: Facts | None = None
        # The rates that these ask about for the message, if they do.
        self._rates: MailRates | None = None
        self._incoming: Incoming | None = None
        #: Whether the client is sending a body.
        self.in_body = False
        #: Octets of all bodies so far, from which the rate of the client is measured.
        self.octets = 0
        #: Messages accepted so far.
        self.accepted = 0
        #: Whether the session is over, so that the connection is closed after the last reply.
        self.closed = False
        #: Whether the client ended the session with QUIT.
        self.said_goodbye = False
        #: Whether a message is being stored.
        self.storing = False

    def tls_started(self, protection: str) -> None:
        """Note the protocol and cipher of TLS. Name and login that the client gave in clear do not count any more."""
        self._tls = protection
        self._helo, self._extended = "", False
        self.client = self._unknown

    def log_end(self, reason: str) -> None:
        """Log why the connection ends."""
        self._event_log.session_ended(self.client.address, self._helo, reason)

    def _hello(self, event: events.Hello) -> Reply:
        self._helo = event.name
        self._extended = event.extended
        self._drop_transaction()
        return _HELLO_OK

    def _mail_from(self, event: events.MailFrom) -> Reply:
        self._mail = event
        self._clear_recipients()
        verdict = self._policy.sender(self.client, event.sender)
        if not verdict.positive:
            self._log_refusal(None, verdict)
        elif self._intake.refusal is not None:
            return self._intake.refusal
        elif event.size and (book := self._rules.book) is not None and book.acl is not None:
            return self._refusal_of_size(book.acl, event.size) or verdict
        return verdict

    def _refusal_of_size(self, acl: "Acl", size: int) -> Reply | None:
        """Return the refusal of a message by its announced size, or None."""
        ruling = acl.at_mail(self._facts(size=size))
        if ruling is None or ruling.refusal is None:
            return None
        self._log_refusal(None, ruling.refusal, str(ruling.rule.where))
        return ruling.refusal

    def _facts(self, recipient: Address | None = None, size: int = 0) -> Facts:
        client = self.client
        return Facts(
            client.address,
            client.trusted,
            self._mail.sender,
            recipient,
            client.user,
            self._helo,
            bool(self._tls),
            size=size,
            host_addresses=self._host_addresses,
            over=never_over if self._rates is None else self._rates.over,
        )

    def _rcpt_to(self, event: events.RcptTo) -> Reply | None:
        recipient = event.recipient
        if len(self._recipients) >= MIN_RECIPIENTS and not self._intake.room_for_recipient():
            return canned_replies.TOO_MANY_RECIPIENTS
        verdict = self._policy.recipient(self.client, recipient.address, self._mail.sender)
        if verdict is not None:
            return self._recipient_decided(recipient, verdict)
        book = self._book if self._recipients else self._rules.book
        try:
            route = None if book is None or book.router is None else book.router.choose(self._facts(recipient.address))
        except HostNotLookedUp:
            return self._recipient_decided(recipient, HOST_UNKNOWN)
        self._check_domain(
            recipient.address.domain,
            lambda found: self._reply_ready(self._recipient_decided(recipient, found, route)),
            None if route is None else route.choice,
        )
        return None

    def _recipient_decided(self, recipient: Recipient, verdict: Reply, route: "RouteRule | None" = None) -> Reply:
        if not verdict.positive:
            by_rule = route is not None and isinstance(route.choice, Fail)
            self._log_refusal(str(recipient.address), verdict, str(route.rule.where) if route and by_rule else None)
        elif not self.closed:
            recipients = self._recipients
            if not recipients:
                self._book = self._rules.book
            book = self._book
            if book is not None and book.acl is not None:
                refusal = self._refusal_of_recipient(book.acl, recipient.address)
                if refusal is not None:
                    return refusal
            # A recipient that is given twice gets the message once, with the DSN parameters of the first RCPT.
            before = len(recipients)
            recipients.setdefault(recipient.address, recipient)
            if len(recipients) > max(before, MIN_RECIPIENTS):
                self._intake.surplus_recipients += 1
        return verdict

    def _refusal_of_recipient(self, acl: "Acl", address: Address) -> Reply | None:
        """Return the refusal of a recipient by the rules, or None."""
        if acl.asks_for_rates and self._rates is None:
            self._rates, self._asked = MailRates(self._rate_counts), None
        if self._asked is None:
            self._asked = self._facts()
        self._asked.recipient = address
        ruling = acl.at_recipient(self._asked)
        if self._rates is not None:
            self._rates.decided(accepted=ruling is None or ruling.refusal is None)
        if ruling is None:
            return None
        if ruling.refusal is not None:
            self._log_refusal(str(address), ruling.refusal, str(ruling.rule.where))
            return ruling.refusal
        if self._rulings is None:
            self._rulings = Rulings()
        self._rulings.add(ruling)
        return None

    def _data_begin(self, _event: events.DataBegin) -> Reply:
        mail = self._mail
        protocol = protocol_keyword(
            esmtp=self._extended, tls=bool(self._tls), login=bool(self.client.user), smtputf8=mail.smtputf8
        )
        envelope = Envelope(
            mail.sender,
            tuple(self._recipients.values()),
            Origin(self.client.address, self._helo, protocol, self.client.user),
            mail.body_type,
            mail.smtputf8,
            mail.ret,
            mail.envid,
            mail.tls_demand,
        )
        rules = None if self._book is None else self._message_rules(self._book)
        self._incoming = self._intake.begin(envelope, self.client, self._tls, rules)
        self._incoming.release = mail.hold_until
        self.in_body = True
        return canned_replies.SEND_DATA

    def _message_rules(self, book: RuleBook) -> MessageRules:
        rulings = self._rulings or Rulings()
        facts, self._asked = self._asked or self._facts(), None
        facts.recipient = None
        return MessageRules(
            book.acl, facts, tuple(self._recipients), rulings, rewriting=book.rewrite, rates=self._rates
        )

    def _body_part(self, event: events.BodyPart) -> None:
        assert self._incoming is not None, "a body part comes after its beginning"
        self.octets += len(event.data)
        self._incoming.write(event.data)

    def _body_end(self, _event: events.BodyEnd) -> None:
        incoming, self._incoming = self._incoming, None
        assert incoming is not None, "a body ends after its beginning"
        self.in_body = False
        self.storing = True
        # A client that is gone meanwhile does not change the result.
        rates, self._rates = self._rates, None
        start(self._store(incoming, rates), _log_bug)

    async def _store(self, incoming: Incoming, rates: MailRates | None) -> None:
        """Store a message, send the reply, and only then have the message delivered."""
        verdict = await incoming.store()
        self.storing = False
        if rates is not None:
            rates.end(accepted=verdict.positive)
        if verdict.positive:
            self.accepted += 1
        else:
            self._log_refusal(None, verdict, incoming.refused_by)
        self._clear_recipients()
        try:
            self._reply_ready(verdict)
        finally:
            # Neither an error in the reply nor one in the delivery prevents the other.
            incoming.deliver()

    def _body_refused(self, event: events.BodyRefused) -> None:
        self._log_refusal(None, event.reply)
        self._drop_transaction()

    def _command_refused(self, event: events.CommandRefused) -> None:
        self._event_log.refused_command(self.client.address, self._helo, event.command, event.reply)
        if event.reply is canned_replies.TLS_FIRST and self.login is not None:
            self.login.refused_in_clear()

    def _auth_begin(self, event: events.AuthBegin) -> Reply | None:
        assert self.login is not None, "AUTH is offered"
        return self.login.begin(event)

    def _auth_response(self, event: events.AuthResponse) -> Reply | None:
        assert self.login is not None, "AUTH is offered"
        return self.login.respond(event)

    def _logged_in(self, user: "User") -> None:
        senders = None if user.senders is None else SenderRule(user.name, user.senders)
        self.client = Client(self.client.address, trusted=True, user=user.name, senders=senders)

    def _reset(self, _event: events.Reset) -> None:
        self._drop_transaction()

    def _start_tls(self, _event: events.StartTls) -> Reply:
        self.tls_due = True
        return canned_replies.READY_FOR_TLS

    def _closed(self, event: events.Closed) -> None:
        unfinished = self.in_body
        self.closed = True
        if self.login is not None:
            self.login.end()
        self._drop_transaction()
        self.said_goodbye = event.reply is not None and event.reply.positive
        if event.reply is not None and not event.reply.positive:
            self.log_end(str(event.reply))
        elif unfinished:
            self.log_end(event.reason)

    def _log_refusal(self, recipient: str | None, verdict: Reply, rule: str | None = None) -> None:
        sender = "" if self._mail.sender is None else str(self._mail.sender)
        self._event_log.refused(self.client.address, self._helo, sender, recipient, verdict, rule=rule)

    def _clear_recipients(self) -> None:
        surplus = len(self._recipients) - MIN_RECIPIENTS
        if surplus > 0:
            self._intake.surplus_recipients -= surplus
        self._recipients.clear()
        self._rulings = self._book = self._asked = None
        if self._rates is not None:
            self._rates.end(accepted=False)
            self._rates = None

    def _drop_transaction(self) -> None:
        self._clear_recipients()
        if self._incoming is not None:
            self._incoming.abort()
            self._incoming = None
            self.in_body = False


#: The handlers of all events. A handler returns the reply to an event that asks, or None if the reply comes later
#: through `reply_ready`; other events get no reply.
HANDLERS: dict[type, Callable[[Session, Any], Reply | None]] = {
    events.Hello: Session._hello,
    events.MailFrom: Session._mail_from,
    events.RcptTo: Session._rcpt_to,
    events.DataBegin: Session._data_begin,
    events.BodyPart: Session._body_part,
    events.BodyEnd: Session._body_end,
    events.BodyRefused: Session._body_refused,
    events.CommandRefused: Session._command_refused,
    events.Reset: Session._reset,
    events.AuthBegin: Session._auth_begin,
    events.AuthResponse: Session._auth_response,
    events.StartTls: Session._start_tls,
    events.Closed: Session._closed,
}
