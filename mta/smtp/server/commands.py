"""Parses command lines: RFC 5321 section 4.1.1, and the parameters of RFC 1870, 3030, 3461, 4954, 6152, 6531.

The functions raise ProtocolRefusal with a reply that names the error.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from mta.smtp.address import Address, AddressError, parse_address, printable
from mta.smtp.errors import ProtocolRefusal
from mta.smtp.limits import STRICT, Leniency
from mta.smtp.parameters import BodyType, Notify, Recipient, Ret, TlsDemand, decode_envid, decode_original
from mta.smtp.replies import Reply, reply
from mta.smtp.server import canned_replies
from mta.smtp.server.events import MailFrom, RcptTo

#: RFC 5321 section 4.5.3.1.2.
MAX_HELLO_OCTETS = 255

# RFC 5321 section 4.1.1.1 requires a domain or a literal. Containers have names with "_", and other clients worse ones,
# so any printable name is accepted that cannot break a log line or a comment in Received.
_HELLO_NAME = re.compile(rb"[!#-'*+\-./0-:=?-\[\]-~]+")
# RFC 5321 section 4.1.2 Path as Postfix and Exim read it: blanks around the address and its `@`, no brackets or two
# pairs, a list separator after them, a name before them, a source route and comments that are skipped. Every repetition
# is possessive or in an atomic group, so that the time is linear.
_QUOTED = rb'"(?>(?:[^"\\]|\\.)*)"'
_COMMENT = rb"\((?>(?:[^()\\]|\\.|\((?>(?:[^()\\]|\\.)*)\))*)\)"
_NAME = rb'(?>(?:[^<>"()@=\\]++|%b|%b)*)' % (_QUOTED, _COMMENT)
_COMMENTS = rb"(?>(?:[ \t]*+%b)*)[ \t]*+" % _COMMENT
_MAILBOX = rb'((?>(?:%b|[^"<> \t]++|[ \t]++(?=@)|(?<=@)[ \t]++)*))' % _QUOTED
_IN_BRACKETS = rb'%b<(?>(<)?)%b(?:@[^<>":]*+:)?[ \t]*+%b%b>(?(1)[ \t]*+>)' % (_NAME, _COMMENTS, _MAILBOX, _COMMENTS)
_BARE = rb'[ \t]*+((?>(?:%b|[^"<>() \t]++)+))' % _QUOTED
_PATH = re.compile(
    rb"[ \t]*+:(?:%b|%b)(?>(?:[ \t]*+[;,])?)%b(?:(?<=[ \t])(.*))?" % (_IN_BRACKETS, _BARE, _COMMENTS), re.DOTALL
)
_BESIDE_AT = re.compile(rb"[ \t]++(?=@)|(?<=@)[ \t]++")
# The null reverse-path of some programs.
_EMPTY_STRING = '""'
_CHUNK = re.compile(rb"([0-9]{1,19})(?:[ \t]+(LAST))?", re.IGNORECASE)
_INTERVAL = re.compile(r"[1-9][0-9]{0,8}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
_NUMBER = re.compile(r"[0-9]{1,20}")
# Not `str.split`, because it also splits at a no-break space and a vertical tab.
_ITEM = re.compile(r"[^ \t]+")

# As a number: for an octet given as bytes, `in` first raises an exception inside.
_TAB = 9
# Octets of a command line that are logged.
_MAX_LOGGED = 300
# Commands that are logged with their argument, and those without.
_LOGGED = frozenset((b"EHLO", b"HELO", b"MAIL", b"RCPT"))
_LOGGED_VERBS = frozenset((b"AUTH", b"BDAT", b"DATA", b"NOOP", b"QUIT", b"RSET", b"STARTTLS", b"TURN", b"VRFY"))

_Parameters = Mapping[str, tuple[str, Callable[[str], Any]]]


def split_command(line: bytes) -> tuple[bytes, bytes]:
    """Return the verb in upper case, and the argument without blanks around it."""
    verb, _, argument = line.partition(b" ")
    if _TAB in verb:
        verb, _, argument = line.partition(b"\t")
    return verb.upper(), argument.strip(b" \t")


def shown(line: bytes) -> str:
    """Return the part of a command line that may be logged, as printable text of bounded length.

    The argument of AUTH is a secret. A line that is not a command may be one, if a client misread the reply to AUTH.
    """
    verb, _ = split_command(line)
    if verb in _LOGGED:
        return printable(line[:_MAX_LOGGED].decode("utf-8", "replace"))
    return verb.decode() if verb in _LOGGED_VERBS else "?"


def parse_nothing(argument: bytes) -> None:
    """Refuse an argument."""
    if argument:
        raise ProtocolRefusal(canned_replies.NO_ARGUMENT_ALLOWED)


def parse_hello(argument: bytes, leniency: Leniency = STRICT) -> str:
    """Return the client's name, as printable text of bounded length. With a lenient reading any name is accepted."""
    if len(argument) <= MAX_HELLO_OCTETS and _HELLO_NAME.fullmatch(argument):
        return argument.decode("ascii")
    if not leniency.names:
        raise ProtocolRefusal(canned_replies.BAD_HELLO)
    return printable(argument[:MAX_HELLO_OCTETS].decode("utf-8", "replace"))


@lru_cache(maxsize=1024)
def parse_mail(argument: bytes, leniency: Leniency = STRICT) -> MailFrom:
    """Parse the argument of MAIL. Cached, because clients with much mail use few sender addresses."""
    path, rest = _split_path(argument, b"FROM", canned_replies.NO_FROM)
    fields = _parameters(rest, _MAIL) if rest else {}
    if not (path.isascii() or leniency.names or fields.get("smtputf8")):
        raise ProtocolRefusal(canned_replies.UTF8_UNASKED)
    is_null = not path or (path == _EMPTY_STRING and leniency.qualify)
    sender = None if is_null else _address(path, "5.1.7", leniency)
    if sender is not None and not sender.domain:
        if not leniency.qualify:
            raise ProtocolRefusal(reply(501, "5.1.7", f"{path}: sender address must contain a domain"))
        sender = Address(sender.local, leniency.qualify)
    return MailFrom(sender, **fields)


@lru_cache(maxsize=1024)
def parse_rcpt(argument: bytes, leniency: Leniency = STRICT, *, smtputf8: bool) -> RcptTo:
    """Parse the argument of RCPT; `smtputf8` tells whether MAIL had SMTPUTF8. Cached for the same reason."""
    path, rest = _split_path(argument, b"TO", canned_replies.NO_TO)
    fields = _parameters(rest, _RCPT) if rest else {}
    if not (smtputf8 or path.isascii() or leniency.names):
        raise ProtocolRefusal(canned_replies.UTF8_UNASKED)
    return RcptTo(Recipient(_address(path, "5.1.3", leniency), **fields))


def parse_bdat(argument: bytes) -> tuple[int, bool]:
    """Return a chunk's size and whether it is the last. An error is fatal, because the end of the chunk is unknown."""
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise ProtocolRefusal(canned_replies.NO_CHUNK_SIZE, fatal=True)
    return int(match[1]), match[2] is not None


def _split_path(argument: bytes, keyword: bytes, syntax: Reply) -> tuple[str, str]:
    """Return the texts of the address and of the parameters. A name and comments at the address are dropped."""
    if argument[: len(keyword)].upper() != keyword:
        raise ProtocolRefusal(syntax)
    match = _PATH.fullmatch(argument, len(keyword))
    if match is None:
        raise ProtocolRefusal(syntax)
    try:
        return _mailbox(match[2] or match[3] or b"").decode(), (match[4] or b"").decode()
    except UnicodeDecodeError:
        raise ProtocolRefusal(canned_replies.NOT_UTF8) from None


def _mailbox(text: bytes) -> bytes:
    """Return the text of an address without a separator at its end, and without blanks at its `@`."""
    return (text if text.startswith(b'"') else _BESIDE_AT.sub(b"", text)).rstrip(b";,")


def _address(path: str, status: str, leniency: Leniency) -> Address:
    try:
        return _parsed(path, leniency)
    except AddressError as error:
        raise ProtocolRefusal(reply(501, status, f"<{path}>: {error}")) from None


@lru_cache(maxsize=2048)
def _parsed(path: str, leniency: Leniency) -> Address:
    """Parse an address. Cached, because the same sender comes again with another SIZE."""
    return parse_address(path, qualify=leniency.qualify, loose=leniency.names)


def _parameters(text: str, known: _Parameters) -> dict[str, Any]:
    """Parse esmtp-params to fields of MailFrom or RcptTo (RFC 5321 section 4.1.2)."""
    fields: dict[str, Any] = {}
    seen = set()
    for item in _ITEM.findall(text):
        keyword, equals, value = item.partition("=")
        keyword = keyword.upper()
        if keyword not in known:
            # In ASCII, because the client may not have asked for UTF-8 in replies.
            raise ProtocolRefusal(reply(555, "5.5.4", f"parameter {ascii(keyword)[1:-1]} is not offered"))
        if keyword in seen:
            raise ProtocolRefusal(reply(501, "5.5.4", f"parameter {keyword} given twice"))
        seen.add(keyword)
        field, parse = known[keyword]
        try:
            fields[field] = parse(value if equals else "")
        except ValueError as error:
            raise ProtocolRefusal(reply(501, "5.5.4", f"parameter {keyword}: {error}")) from None
    fields.pop(_IGNORED, None)
    return fields


_IGNORED = ""


def _size(value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise ValueError("not a number of octets")
    return int(value)


def _hold_for(value: str) -> int:
    if not _INTERVAL.fullmatch(value):
        raise ValueError("must be a number of seconds")
    return int(value)


def _hold_until(value: str) -> float:
    # RFC 3339 section 5.6; from Python 3.11 on, fromisoformat understands it, and more forms that are refused here.
    try:
        if _DATE_TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper()).timestamp()
    except ValueError:
        pass
    raise ValueError("must be a date and time such as 2026-12-24T18:00:00Z")


def _body_type(value: str) -> BodyType:
    if value.upper() == "BINARYMIME":
        raise ProtocolRefusal(reply(555, "5.5.4", "parameter BODY=BINARYMIME is not offered"))
    return BodyType(value.upper())


def _smtputf8(value: str) -> bool:
    if value:
        raise ValueError("takes no value")
    return True


def _requiretls(value: str) -> TlsDemand:
    if value:
        raise ValueError("takes no value")
    return TlsDemand.REQUIRED


def _ret(value: str) -> Ret:
    return Ret(value.upper())


def _notify(value: str) -> Notify:
    # Programs that join a list may leave a comma at its end; a message is not refused for that.
    names = value.upper().strip(",").split(",")
    if names == ["NEVER"]:
        return Notify.NEVER
    result = Notify.NEVER
    for name in names:
        if name not in _NOTIFIES:
            raise ValueError("must be NEVER, or a list of SUCCESS, FAILURE and DELAY")
        result |= _NOTIFIES[name]
    return result


_NOTIFIES = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


# Keyword -> the name of its field and the parser of its value. AUTH (RFC 4954 section 5) is accepted but not used, as
# the relay does not trust it.
_MAIL: _Parameters = {
    "SIZE": ("size", _size),
    "BODY": ("body_type", _body_type),
    "SMTPUTF8": ("smtputf8", _smtputf8),
    "REQUIRETLS": ("tls_demand", _requiretls),
    "RET": ("ret", _ret),
    "ENVID": ("envid", decode_envid),
    "AUTH": (_IGNORED, str),
    "HOLDFOR": ("hold_for", _hold_for),
    "HOLDUNTIL": ("hold_until", _hold_until),
}
_RCPT: _Parameters = {"NOTIFY": ("notify", _notify), "ORCPT": ("original", decode_original)}
