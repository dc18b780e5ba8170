"""Limits and leniencies of the server's SMTP machine (RFC 5321 section 4.5.3).

The lengths of single arguments are in `mta.smtp.address` and `mta.smtp.server.commands`, the listener's limits in
`mta.inbound.limits`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Limits of one session and of its messages. Sizes are octets."""

    #: 4.5.3.1.4 says 512 with the CRLF; DSN, SMTPUTF8 and AUTH add up to 1,500 (RFC 3461 section 5, RFC 6531 3.3).
    command_line: int = 2048
    #: 4.5.3.1.6: 1,000 with the CRLF. 0 lifts the limit.
    text_line: int = 998
    message_size: int = 50 * 1024 * 1024
    #: 4.5.3.1.8: at least 100 must be accepted.
    recipients: int = 1000
    #: Syntax and sequence errors before the session is closed.
    errors: int = 10
    #: Refused recipients of a message after which, if fewer than half were accepted, all further ones are refused.
    bad_recipients: int = 10
    #: Commands since the last accepted message before the session is closed: the verbs that are `idle` (MAIL and EHLO
    #: as much as NOOP), and DATA or BDAT without a recipient.
    idle_commands: int = 50
    #: Seconds for which a client may have a message wait before its delivery (RFC 4865).
    longest_hold: int = 30 * 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Leniency:
    """Deviations from the letter of RFC 5321 that a client is allowed. The default, for strangers, allows none.

    Objects are compared by identity, because each MAIL and RCPT looks one up in a cache.
    """

    #: The domain that an address without one gets; with "" such an address is refused.
    qualify: str = ""
    #: Accept any name in EHLO and MAIL without EHLO, blanks before a command, and addresses with `_` or a final dot in
    #: the domain or with letters outside ASCII but without SMTPUTF8.
    names: bool = False
    #: Accept a client that does not wait for the greeting, nor for the reply to DATA before it sends the message.
    haste: bool = False
    #: Let a bare LF end a line as CRLF does. Only CRLF.CRLF ends a message all the same.
    line_feeds: bool = False


STRICT = Leniency()
