"""From the greeting to a session that is ready for mail: EHLO or LHLO, STARTTLS (RFC 3207), AUTH (RFC 4954)."""

from dataclasses import dataclass, field

from mta.smtp import sasl
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

# How a session ends with a server that offers TLS and cannot do it.
_BROKEN = frozenset({FailureKind.LOST, FailureKind.TIMEOUT, FailureKind.PROTOCOL})


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password; neither shows in `repr`."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """What we say and demand before any mail."""

    #: Our name in EHLO.
    hello: str
    #: Speak LMTP (RFC 2033): LHLO, and a reply for each recipient after the body.
    lmtp: bool = False
    #: Use STARTTLS where it is offered.
    starttls: bool = True
    #: End the session rather than go on in clear.
    tls_required: bool = False
    login: Login | None = None
    #: Whether PLAIN and LOGIN may be used in clear.
    login_in_clear: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server's EHLO or LHLO reply announced."""

    pipelining: bool = False
    chunking: bool = False
    starttls: bool = False
    dsn: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    #: The largest message it takes; None when SIZE is not offered, 0 when it names no limit (RFC 1870 section 3).
    size: int | None = None
    mechanisms: frozenset[str] = frozenset()


def read_offer(reply: Reply) -> Offer:
    """Read an EHLO reply; its first line is the server's name (RFC 5321 section 4.1.1.1)."""
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
    )


def _limit(parameters: list[str]) -> int:
    """Read the number of a SIZE line; RFC 1870 section 4 allows twenty digits. Anything else is no limit."""
    number = parameters[0] if parameters else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 20 else 0


class Handshake:
    """The script of a session's first part."""

    def __init__(self, dialogue: Dialogue, terms: Terms, *, secured: bool) -> None:
        self._dialogue = dialogue
        self._terms = terms
        self._secured = secured
        # Whether STARTTLS has started TLS; if the session then breaks, the host can be tried in clear.
        self._in_starttls = False
        # RFC 2033 section 4.1: LMTP has neither HELO nor EHLO.
        self._hello = Awaited.LHLO if terms.lmtp else Awaited.EHLO
        self._login: LoginAttempt | None = None
        self.offer = Offer()
        #: The reply that refused STARTTLS, or "".
        self.starttls_refused = ""

    def answer(self, step: Awaited, reply: Reply) -> ClientEvent | None:
        """Take a reply. Raises SessionOver."""
        match step:
            case Awaited.GREETING:
                self._greeted(reply)
                return None
            case Awaited.EHLO | Awaited.HELO | Awaited.LHLO:
                return self._named(step, reply)
            case Awaited.STARTTLS:
                return self._tls_answered(reply)
            case _:
                assert self._login is not None
                return ClientEvent.READY if self._login.answer(reply) else None

    def cut(self, trouble: SessionFailure) -> tuple[ClientEvent, SessionFailure]:
        """Learn that the session is over: a refused login stays the reason even if the server then hung up."""
        refusal = self._login.refusal if self._login is not None else None
        return ClientEvent.CLOSED, refusal or self._tls_trouble(trouble)

    def _tls_trouble(self, trouble: SessionFailure) -> SessionFailure:
        """Count a session that broke at STARTTLS, or at the first command under TLS, as a failed handshake.

        In TLS 1.3 the server judges a client's certificate after the client's side of the handshake is done.
        """
        awaited = self._dialogue.expected[0] if self._dialogue.expected else None
        # A server that cannot begin TLS now says 454 (RFC 3207 section 4), and some say 421.
        refused_tls = awaited is Awaited.STARTTLS and trouble.kind is FailureKind.CLOSING
        at_tls = awaited is Awaited.STARTTLS or (self._in_starttls and awaited is self._hello)
        if refused_tls or (at_tls and trouble.kind in _BROKEN):
            under = " under TLS" if self._in_starttls else ""
            return SessionFailure(FailureKind.TLS_FAILED, "4.7.5", f"{trouble.text}{under}")
        return trouble

    def tls_started(self) -> None:
        """Begin anew inside TLS: what was learned in clear is forgotten (RFC 3207 section 4.2)."""
        self._secured = self._in_starttls = True
        self.offer = Offer()
        self._say_hello(self._hello)

    def _say_hello(self, step: Awaited) -> None:
        self._dialogue.say(step, f"{step.value} {self._terms.hello}")

    def _greeted(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            raise refused(FailureKind.REFUSED, reply, "4.3.2")
        self._say_hello(self._hello)

    def _named(self, step: Awaited, reply: Reply) -> ClientEvent | None:
        if reply.code // 100 == 2:
            self._refuse_ourselves(reply)
            self.offer = read_offer(reply) if step is not Awaited.HELO else Offer()
            return self._secure()
        if step is Awaited.EHLO and reply.code // 100 == 5:
            self._say_hello(Awaited.HELO)
            return None
        raise refused(FailureKind.REFUSED, reply, "4.3.2")

    def _refuse_ourselves(self, reply: Reply) -> None:
        """End the session with a server of our own name; a mail store may well be on this host and bear it too."""
        name = reply.lines[0].partition(" ")[0].rstrip(".")
        if name.lower() == self._terms.hello.lower() and not self._terms.lmtp:
            raise SessionOver(
                SessionFailure(FailureKind.LOOPS_BACK, "4.4.6", f"it calls itself {name}, which is our own name")
            )

    def _secure(self) -> ClientEvent | None:
        if self._secured or not self._terms.starttls:
            return self._log_in()
        if self.offer.starttls:
            self._dialogue.say(Awaited.STARTTLS, "STARTTLS")
            return None
        if self._terms.tls_required:
            raise SessionOver(SessionFailure(FailureKind.NO_TLS, "4.7.4", "STARTTLS is not offered"))
        return self._log_in()

    def _tls_answered(self, reply: Reply) -> ClientEvent | None:
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
        in_clear = not (self._secured or self._terms.login_in_clear)
        mechanisms = sasl.choose(self.offer.mechanisms, login.user, login.password, in_clear=in_clear)
        if not mechanisms:
            offered = " ".join(sorted(self.offer.mechanisms)) or "none"
            usable = "CRAM-MD5 only, since the connection is in clear" if in_clear else "CRAM-MD5, PLAIN or LOGIN"
            text = f"no usable login mechanism: offered {offered}; usable {usable}"
            raise SessionOver(SessionFailure(FailureKind.NO_MECHANISM, "4.7.4", text))
        self._login = LoginAttempt(self._dialogue, mechanisms, (login.user, login.password))
        self._login.start()
        return None
