"""The exchange before any mail: greeting, EHLO or LHLO, STARTTLS (RFC 3207) and AUTH (RFC 4954)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mta.smtp.client.auth import LoginAttempt
from mta.smtp.client.dialogue import (
    Awaited,
    ClientEvent,
    Dialogue,
    FailureKind,
    SessionFailure,
    SessionOver,
    refused,
)
from mta.smtp.replies import Reply
from mta.smtp.sasl.logins import CertificateLogin, ChannelBinding, Login, PasswordLogin, TokenLogin, secrets_of
from mta.smtp.sasl.mechanisms import choose
from mta.smtp.sasl.scram import MECHANISMS as SCRAM

_LIMIT = re.compile(r"[1-9][0-9]{0,5}")
# The failures that occur with a server that offers TLS but does not support it.
_BROKEN = frozenset({FailureKind.LOST, FailureKind.TIMEOUT, FailureKind.PROTOCOL})


@dataclass(frozen=True, slots=True)
class Terms:
    """The client's name and its requirements for a session."""

    #: The client's name in EHLO.
    hello: str
    #: Speak LMTP (RFC 2033): LHLO, and a reply for each recipient after the body.
    lmtp: bool = False
    #: Use STARTTLS if it is offered.
    starttls: bool = True
    #: End the session rather than go on in clear.
    tls_required: bool = False
    login: Login | None = None
    #: Whether PLAIN and LOGIN may be used in clear; a token may not.
    login_in_clear: bool = False
    #: Returns the channel binding of the TLS connection. Called once, inside TLS, if the login can be bound.
    binding: Callable[[], ChannelBinding | None] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """The extensions in a server's reply to EHLO or LHLO."""

    pipelining: bool = False
    chunking: bool = False
    starttls: bool = False
    dsn: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    #: The size limit of a message; None if SIZE is not offered, 0 if it has no limit (RFC 1870 section 3).
    size: int | None = None
    mechanisms: frozenset[str] = frozenset()
    #: The recipients of a transaction, and the transactions of a session, that the server takes at most: RCPTMAX and
    #: MAILMAX of LIMITS (RFC 9422). None if it does not say so.
    most_recipients: int | None = None
    most_messages: int | None = None
    #: REQUIRETLS (RFC 8689).
    requiretls: bool = False


def read_offer(reply: Reply) -> Offer:
    """Parse a reply to EHLO; its first line is the server's name (RFC 5321 section 4.1.1.1)."""
    words: dict[str, list[str]] = {}
    for line in reply.lines[1:]:
        # Old servers wrote "AUTH=PLAIN LOGIN", some both forms.
        keyword, *parameters = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        words.setdefault(keyword, []).extend(parameters)
    size = words.get("SIZE")
    return Offer(
        pipelining="PIPELINING" in words,
        chunking="CHUNKING" in words,
        starttls="STARTTLS" in words,
        dsn="DSN" in words,
        eight_bit="8BITMIME" in words,
        smtputf8="SMTPUTF8" in words,
        size=None if size is None else _limit(size),
        mechanisms=frozenset(words.get("AUTH", ())),
        most_recipients=_named_limit(words, "RCPTMAX="),
        most_messages=_named_limit(words, "MAILMAX="),
        requiretls="REQUIRETLS" in words,
    )


def _limit(parameters: list[str]) -> int:
    """Parse the number of a SIZE line, of up to twenty digits (RFC 1870 section 4); other text is 0, no limit."""
    number = parameters[0] if parameters else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 20 else 0


def _named_limit(words: dict[str, list[str]], name: str) -> int | None:
    """Return a limit of LIMITS, at most six digits without a zero in front (RFC 9422 section 3.1); None without one."""
    for word in words.get("LIMITS", ()):
        match = _LIMIT.fullmatch(word, len(name)) if word.startswith(name) else None
        if match is not None:
            return int(match[0])
    return None


class Handshake:
    """The first exchange of a session."""

    def __init__(self, dialogue: Dialogue, terms: Terms, *, secured: bool) -> None:
        self._dialogue = dialogue
        self._terms = terms
        self._secured = secured
        # Whether TLS was started by STARTTLS, so that the host can be tried in clear if the session then fails.
        self._in_starttls = False
        # RFC 2033 section 4.1: LMTP has neither HELO nor EHLO.
        self._hello = Awaited.LHLO if terms.lmtp else Awaited.EHLO
        self._login: LoginAttempt | None = None
        self.offer = Offer()
        #: The reply that refused STARTTLS, or "".
        self.starttls_refused = ""

    def handle_reply(self, awaited: Awaited, reply: Reply) -> ClientEvent | None:
        """Handle a reply. Raises SessionOver."""
        match awaited:
            case Awaited.GREETING:
                self._greeted(reply)
                return None
            case Awaited.EHLO | Awaited.HELO | Awaited.LHLO:
                return self._hello_replied(awaited, reply)
            case Awaited.STARTTLS:
                return self._starttls_replied(reply)
            case _:
                assert self._login is not None
                return ClientEvent.READY if self._login.handle_reply(reply) else None

    def fail(self, failure: SessionFailure) -> tuple[ClientEvent, SessionFailure]:
        """End. A refused login stays the reason even if the server then closed the connection."""
        if self._login is None:
            return ClientEvent.CLOSED, self._tls_failure(failure)
        return ClientEvent.CLOSED, self._login.refusal or self._login.masked(failure)

    def _tls_failure(self, failure: SessionFailure) -> SessionFailure:
        """Return a failure at STARTTLS, or at the first command under TLS, as a failed handshake.

        In TLS 1.3 the server checks a client's certificate after the client has completed the handshake.
        """
        awaited = self._dialogue.expected[0] if self._dialogue.expected else None
        # A server that cannot begin TLS replies 454 (RFC 3207 section 4), and some reply 421.
        refused_tls = awaited is Awaited.STARTTLS and failure.kind is FailureKind.CLOSING
        at_tls = awaited is Awaited.STARTTLS or (self._in_starttls and awaited is self._hello)
        if refused_tls or (at_tls and failure.kind in _BROKEN):
            under = " under TLS" if self._in_starttls else ""
            return SessionFailure(FailureKind.TLS_FAILED, "4.7.5", f"{failure.text}{under}")
        return failure

    def tls_started(self) -> None:
        """Begin anew inside TLS; the offer in clear is dropped (RFC 3207 section 4.2)."""
        self._secured = self._in_starttls = True
        self.offer = Offer()
        self._send_hello(self._hello)

    def _send_hello(self, command: Awaited) -> None:
        self._dialogue.send(command, f"{command.value} {self._terms.hello}")

    def _greeted(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            raise refused(FailureKind.REFUSED, reply, "4.3.2")
        self._send_hello(self._hello)

    def _hello_replied(self, awaited: Awaited, reply: Reply) -> ClientEvent | None:
        if reply.code // 100 == 2:
            self._refuse_own_name(reply)
            self.offer = read_offer(reply) if awaited is not Awaited.HELO else Offer()
            return self._start_tls()
        if awaited is Awaited.EHLO and reply.code // 100 == 5:
            self._send_hello(Awaited.HELO)
            return None
        raise refused(FailureKind.REFUSED, reply, "4.3.2")

    def _refuse_own_name(self, reply: Reply) -> None:
        """Raise SessionOver if the server has the client's name. A mail store may have it: it may be on this host."""
        name = reply.lines[0].partition(" ")[0].rstrip(".")
        if name.lower() == self._terms.hello.lower() and not self._terms.lmtp:
            raise SessionOver(
                SessionFailure(
                    FailureKind.LOOPS_BACK, "4.4.6", f"it calls itself {name}, which is this relay's own name"
                )
            )

    def _start_tls(self) -> ClientEvent | None:
        if self._secured or not self._terms.starttls:
            return self._log_in()
        if self.offer.starttls:
            self._dialogue.send(Awaited.STARTTLS, "STARTTLS")
            return None
        if self._terms.tls_required:
            raise SessionOver(SessionFailure(FailureKind.NO_TLS, "4.7.4", "STARTTLS is not offered"))
        return self._log_in()

    def _starttls_replied(self, reply: Reply) -> ClientEvent | None:
        if reply.code // 100 == 2:
            return ClientEvent.START_TLS
        if self._terms.tls_required:
            raise refused(FailureKind.NO_TLS, reply, "4.7.4")
        self.starttls_refused = str(reply)
        return self._log_in()

    def _log_in(self) -> ClientEvent | None:
        login = self._terms.login
        if login is None:
            return ClientEvent.READY
        in_clear = self._is_too_clear_for(login)
        mechanisms = choose(self.offer.mechanisms, login, in_clear=in_clear, binding=self._binding(login))
        if mechanisms:
            self._login = LoginAttempt(self._dialogue, mechanisms, secrets_of(login))
            self._login.start()
            return None
        if isinstance(login, CertificateLogin) and not in_clear:
            # The server knows the client by its certificate.
            return ClientEvent.READY
        offered = " ".join(sorted(self.offer.mechanisms)) or "none"
        text = f"no usable login mechanism: offered {offered}; usable {_usable(login, in_clear=in_clear)}"
        raise SessionOver(SessionFailure(FailureKind.NO_MECHANISM, "4.7.4", text))

    def _is_too_clear_for(self, login: Login) -> bool:
        """Whether the connection is in clear and the login must not be shown in clear."""
        return not (self._secured or (self._terms.login_in_clear and isinstance(login, PasswordLogin)))

    def _binding(self, login: Login) -> ChannelBinding | None:
        """Return the channel binding if the login can be bound to the connection."""
        ask = self._terms.binding
        bindable = self._secured and isinstance(login, PasswordLogin) and not SCRAM.isdisjoint(self.offer.mechanisms)
        return ask() if ask is not None and bindable else None


def _usable(login: Login, *, in_clear: bool) -> str:
    """Return the names of the mechanisms that may be used with a login on this connection, for the log."""
    match login:
        case CertificateLogin():
            return "none, since the connection is in clear and a certificate is shown inside TLS only"
        case TokenLogin():
            return "none, since the connection is in clear" if in_clear else "OAUTHBEARER or XOAUTH2"
        case PasswordLogin():
            if in_clear:
                return "SCRAM-SHA-256 or CRAM-MD5 only, since the connection is in clear"
            return "SCRAM-SHA-256, CRAM-MD5, PLAIN or LOGIN"
