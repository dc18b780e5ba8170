"""The fixed replies of a server, as constants so that their octets are built once (RFC 5321, RFC 3463, RFC 2034)."""

from functools import lru_cache

from mta.smtp.limits import SmtpLimits
from mta.smtp.replies import Reply, reply

# Success

SENDER_OK = reply(250, "2.1.0", "sender ok")
RECIPIENT_OK = reply(250, "2.1.5", "recipient ok")
SEND_DATA = reply(354, "", "send the message, then a line with a single dot")
RESET = reply(250, "2.0.0", "reset")
NOTHING_DONE = reply(250, "2.0.0", "nothing done, gladly")
GOODBYE = reply(221, "2.0.0", "goodbye")
READY_FOR_TLS = reply(220, "2.0.0", "ready to start TLS")
UNVERIFIED = reply(252, "2.0.0", "not verified here; send the mail and see")
HELP = reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT: see RFC 5321")

# Out of place

HELLO_FIRST = reply(503, "5.5.1", "send EHLO or HELO first")
SENDER_FIRST = reply(503, "5.5.1", "send MAIL first")
SENDER_GIVEN = reply(503, "5.5.1", "the sender is already given; RSET starts anew")
CHUNKS_BEGUN = reply(503, "5.5.1", "a message is coming in chunks; send BDAT or RSET")
NO_RECIPIENTS = reply(554, "5.5.1", "no valid recipients")
NO_TLS = reply(503, "5.5.1", "STARTTLS is not offered")
TLS_ALREADY = reply(503, "5.5.1", "TLS is already on")
NO_DSN = reply(555, "5.5.4", "DSN is not offered: RET, ENVID, NOTIFY and ORCPT are not taken")
NO_FUTURE_RELEASE = reply(555, "5.5.4", "FUTURERELEASE is not offered: HOLDFOR and HOLDUNTIL are not taken")
TWO_HOLDS = reply(501, "5.5.4", "HOLDFOR and HOLDUNTIL exclude each other")
# RFC 8689 section 4.2.1 has this status for a session without TLS.
NO_REQUIRETLS = reply(530, "5.7.10", "encryption needed: REQUIRETLS is taken inside TLS, after EHLO")
NO_AUTH = reply(503, "5.5.1", "AUTH is not offered")
LOGGED_IN_ALREADY = reply(503, "5.5.1", "you are logged in already")
LOGIN_FIRST = reply(530, "5.7.0", "authentication required: log in first; AUTH is offered inside TLS")
TLS_FIRST = reply(538, "5.7.11", "encryption required: AUTH is offered after STARTTLS")
NO_EXPN = reply(550, "5.7.1", "EXPN is not permitted")
NO_ETRN = reply(458, "4.7.1", "ETRN is not permitted")
NO_TURN = reply(502, "5.5.1", "TURN is not offered")
UNKNOWN_COMMAND = reply(500, "5.5.2", "unknown command")

# Malformed

NO_ARGUMENT_ALLOWED = reply(501, "5.5.4", "this command takes no argument")
BAD_HELLO = reply(501, "5.5.4", "the command needs one host name or address literal")
NO_FROM = reply(501, "5.5.4", "syntax is MAIL FROM:<address>")
NO_TO = reply(501, "5.5.4", "syntax is RCPT TO:<address>")
NO_CHUNK_SIZE = reply(501, "5.5.4", "syntax is BDAT size [LAST]")
NO_VRFY_ARGUMENT = reply(501, "5.5.4", "syntax is VRFY address")
NO_MECHANISM = reply(501, "5.5.4", "syntax is AUTH mechanism [initial-response]")
UNKNOWN_MECHANISM = reply(504, "5.5.4", "this mechanism is not offered")
NOT_BASE64 = reply(501, "5.5.2", "the response is not valid base64")
RESPONSE_TOO_LONG = reply(500, "5.5.6", "the response is too long")
LOGIN_CANCELLED = reply(501, "5.7.0", "login cancelled")
NOT_UTF8 = reply(501, "5.5.2", "the command is not valid UTF-8")
UTF8_UNASKED = reply(553, "5.6.7", "a non-ASCII address needs SMTPUTF8 at MAIL")

# Limits

TOO_MANY_ERRORS = reply(421, "4.7.0", "too many errors")
TOO_MUCH_IDLING = reply(421, "4.7.0", "too many commands without mail")
TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "too many recipients; send the rest in another message")
TOO_MANY_BAD_RECIPIENTS = reply(550, "5.7.1", "too many bad recipients")

# The end of a session

NOT_HTTP = reply(554, "5.5.1", "this is a mail server and speaks no HTTP")
NOT_SMTP = reply(554, "5.5.1", "this is a mail server and speaks SMTP only")
NO_PROXY = reply(554, "5.5.1", "the PROXY protocol is accepted only from addresses in PROXY_NETWORKS")
NOT_TLS = reply(554, "5.5.1", "TLS begins with STARTTLS here; set the client to use that")
SPOKE_TOO_SOON = reply(554, "5.5.1", "you spoke before the greeting")
INPUT_BEHIND_DATA = reply(554, "5.5.0", "input came before the go-ahead to DATA")
INPUT_BEHIND_STARTTLS = reply(554, "5.5.1", "input came before the TLS handshake")


@lru_cache(maxsize=64)
def hello(name: str) -> Reply:
    """Return the positive reply to HELO."""
    return reply(250, "", name)


@lru_cache(maxsize=64)
def extended_hello(
    name: str,
    limits: SmtpLimits,
    *,
    starttls: bool,
    dsn: bool = True,
    mechanisms: tuple[str, ...] = (),
    latest_release: str = "",
    in_tls: bool = False,
) -> Reply:
    """Return the positive reply to EHLO: the server's name, then one extension a line (RFC 5321 section 4.1.1.1).

    `latest_release` is the last time at which a message may be released, in the form of RFC 3339; "" offers no release.
    """
    tls = ("STARTTLS",) if starttls else ()
    auth = (f"AUTH {' '.join(mechanisms)}",) if mechanisms else ()
    return reply(
        250,
        "",
        name,
        "PIPELINING",
        f"SIZE {limits.message_size}",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        *(("DSN",) if dsn else ()),
        "ENHANCEDSTATUSCODES",
        *tls,
        *auth,
        f"LIMITS RCPTMAX={limits.recipients}",
        *(("REQUIRETLS",) if in_tls else ()),
        *((f"FUTURERELEASE {limits.longest_hold} {latest_release}",) if latest_release else ()),
        "HELP",
    )


@lru_cache(maxsize=64)
def line_too_long(limits: SmtpLimits) -> Reply:
    """Return the reply to a command line over the limit."""
    return reply(500, "5.5.2", f"command line longer than {limits.command_line} octets")


@lru_cache(maxsize=64)
def message_too_large(limits: SmtpLimits) -> Reply:
    """Return the reply to a message that is too large by its announced or real size (RFC 1870)."""
    return reply(552, "5.3.4", f"message larger than {limits.message_size} octets")


@lru_cache(maxsize=64)
def held_too_long(limits: SmtpLimits) -> Reply:
    """Return the refusal of a message that is to be released too late."""
    return reply(501, "5.5.4", f"a message may wait for {limits.longest_hold} seconds at most")


def text_line_too_long(limits: SmtpLimits, number: int, octets: int) -> Reply:
    """Return the reply to a message with a line that is too long."""
    return reply(550, "5.6.0", f"maximum allowed line length is {limits.text_line} octets, line {number} has {octets}")


def bare_in_command(name: str) -> Reply:
    """Return the reply to a command with a NUL, bare CR or bare LF."""
    return reply(500, "5.5.2", f"{name} in a command; lines end in CRLF")


def bare_in_message(name: str) -> Reply:
    """Return the reply to a message with a NUL, bare CR or bare LF."""
    return reply(550, "5.6.11", f"{name} in the message; lines end in CRLF")


def chunk_taken(octets: int) -> Reply:
    """Return the positive reply to a chunk that is not the last (RFC 3030 section 2)."""
    return reply(250, "2.0.0", f"{octets} octets received")
