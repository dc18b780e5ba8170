"""What clients may ask of the listening side, one record with defaults: RFC 5321 section 4.5.3 unless said otherwise.

What one argument of a command may be is in `address` and `commands`; how clients are accepted and read, and how they
are let go when the service stops, is the listener's.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them, may ask of us. Sizes are octets, times are seconds."""

    #: 4.5.3.1.4 says 512 with the CRLF; DSN, SMTPUTF8 and AUTH add up to 1,500 (RFC 3461 section 5, RFC 6531 3.3).
    command_line: int = 2048
    #: 4.5.3.1.6: 1,000 with the CRLF. 0 lifts the limit.
    text_line: int = 998
    message_size: int = 50 * 1024 * 1024
    #: The header block of a message; more is refused.
    header_size: int = 1024 * 1024
    #: 4.5.3.1.8: at least 100 must be taken.
    recipients: int = 1000
    #: Beyond a hundred each, for all messages that are begun at once; 0.5 KB of memory each.
    surplus_recipients: int = 100_000
    #: Syntax and sequence errors before the session is closed.
    errors: int = 10
    #: Refused recipients of a message after which, if fewer than half were accepted, all further ones are refused.
    bad_recipients: int = 10
    #: Commands since the last accepted message before the session is closed: the verbs that are `idle` (MAIL and EHLO
    #: as much as NOOP), and DATA or BDAT without a recipient.
    idle_commands: int = 50
    #: Received fields that make a message a loop (6.3 asks for at least 100 to be "large"; Postfix takes 50).
    hops: int = 50
    #: 4.5.3.2.7: the wait for the next command.
    command_timeout: float = 300.0
    #: 4.5.3.2.5 is 180; the wait for the next piece of a body.
    data_timeout: float = 180.0
    #: Octets a second that a body must bring, measured over each data_rate_window, whatever its chunks (as Postfix).
    data_rate: int = 500
    data_rate_window: float = 60.0
    #: How long a session may go on without a message taken, a body under way excepted.
    fruitless_timeout: float = 3600.0
    #: The wait for the end of a TLS handshake.
    handshake_timeout: float = 60.0
    #: The wait for a client to read our replies before it is dropped.
    write_timeout: float = 60.0
    #: Octets of all messages on their way in that are kept in memory; beyond it a message goes to its file at once.
    octets_in_memory: int = 64 * 1024 * 1024
    #: Clients connected at once. An idle one takes 5 KB, under TLS 30 KB, and 52 KB after a large body. A busy one has
    #: at most 256 KiB of its input in memory.
    connections: int = 6000
    #: For one address that is not of our own networks (of IPv6: one /64, and four times as many for a /48).
    connections_per_stranger: int = 50
    #: The part of all connections that strangers may have together; the rest is for our own networks.
    strangers: float = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class Leniency:
    """Deviations from the letter of RFC 5321 that a client is allowed. The default, for strangers, allows none.

    Objects are compared by identity, because each MAIL and RCPT looks one up in a cache.
    """

    #: The domain that an address without one gets; with "" such an address is refused.
    qualify: str = ""
    #: Whether any name is taken in EHLO and none is needed before MAIL, blanks may stand before a command, and an
    #: address may hold `_` and a final dot in the domain, and letters outside ASCII without SMTPUTF8.
    names: bool = False
    #: Whether the client need not wait for the greeting, nor for the reply to DATA before it sends the message.
    haste: bool = False
    #: Whether a bare LF ends a line as CRLF does. Only CRLF.CRLF ends a message all the same.
    line_feeds: bool = False


STRICT = Leniency()
