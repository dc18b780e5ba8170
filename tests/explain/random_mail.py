"""Random mail, and the sessions that send it, for comparisons of `smtprelay explain` with a relay."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from hypothesis import assume
from hypothesis import strategies as st

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.explain.trust import Lookups
from mta.explain.values import Moment
from mta.rules.book import RuleBook
from tests.drivers.listener import FRIEND, STRANGER, Wire

USERS = "app:{PLAIN}pw @a.test"
ADDRESSES = ("app@a.test", "eve@a.test", "bob@here.test", "ann@relay.test", "x@other.test", "y@sub.other.test")
PATTERNS = (
    "a.test",
    "app@*",
    "*@*.other.test",
    "other.test",
    "<>",
    "*",
    "*@*.test",
    "^(app|x)@.*",
    "+some",
    "bob@here.test",
)
#: Patterns of recipients, of which none is the null sender.
RECIPIENTS = tuple(pattern for pattern in PATTERNS if pattern != "<>")
TEXTS = ("*urgent*", "hello", "^h.*o", "*")
CLIENTS = ("trusted", "stranger", "203.0.113.0/24", "127.0.0.1", "192.0.2.0/24", "office.test")
# Octets between those of a header and those of a message in this test.
LARGE, SMALL = 3000, 500
FROM = "From: app@a.test"


@dataclass(frozen=True)
class Mail:
    """A message, its client, and its session."""

    client: str
    login: bool
    helo: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    large: bool
    #: Whether the address of office.test, which is that of a stranger, has been looked up.
    looked_up: bool

    @property
    def lookups(self) -> Lookups:
        return {"office.test": frozenset({ip_address(STRANGER)})} if self.looked_up else {}

    @property
    def header(self) -> bytes:
        return f"{FROM}\r\nSubject: {self.subject}\r\n".encode()

    @property
    def size(self) -> int:
        return LARGE if self.large else 0

    @property
    def body(self) -> bytes:
        """The body behind the header and the blank line; with both it has the announced size."""
        if not self.large:
            return b"x\r\n"
        lines, rest = divmod(self.size - len(self.header) - 2, 60)
        return (b"x" * 58 + b"\r\n") * (lines - 1) + b"x" * (58 + rest) + b"\r\n"


def quoted(value: object) -> str:
    """Return a value of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(quoted, value))}]"
    return f"'{value}'"


def one_or_more(values: Sequence[str]) -> st.SearchStrategy[object]:
    return st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple))


MAILS = st.builds(
    Mail,
    client=st.sampled_from((FRIEND, STRANGER)),
    login=st.booleans(),
    helo=st.sampled_from(("app.test", "here")),
    sender=st.sampled_from(("", *ADDRESSES)),
    recipients=st.lists(
        st.sampled_from((*ADDRESSES, "x%y@other.test", "nobody@here.test")), min_size=1, max_size=4
    ).map(tuple),
    subject=st.sampled_from(("hello", "most urgent", "=?utf-8?q?hello?=")),
    large=st.booleans(),
    looked_up=st.booleans(),
)


def book_of(text: str) -> RuleBook:
    """Return the rules of a file."""
    tables, found = read_tables(text)
    mistakes = RuleMistakes()
    book = read_book([RuleSource("/rules.d/10-acl.toml", "10-acl.toml", tables, text)], mistakes)
    assume(not any("can never apply" in line for line in mistakes.lines))
    assert (found, mistakes.lines) == ([], [])
    assert book is not None
    return book


def logs_in(mail: Mail) -> bool:
    """Return whether the client of a message logs in; a stranger cannot, because there is no TLS here."""
    return mail.login and mail.client == FRIEND


def replies(wire: Wire, mail: Mail) -> Iterator[tuple[Moment, str]]:
    """Send a message as far as the listener allows, and yield its replies from MAIL on."""
    wire.heard()
    wire.say(f"EHLO {mail.helo}")
    if logs_in(mail):
        secret = base64.b64encode(b"\0app\0pw").decode()
        assert wire.say(f"AUTH PLAIN {secret}").startswith("235")
    size = f" SIZE={mail.size}" if mail.size else ""
    said = wire.say(f"MAIL FROM:<{mail.sender}>{size}").rstrip()
    yield Moment.MAIL, said
    if not said.startswith("250"):
        return
    accepted = 0
    for recipient in mail.recipients:
        said = wire.say(f"RCPT TO:<{recipient}>").rstrip()
        accepted += said.startswith("250")
        yield Moment.RCPT, said
    if accepted:
        assert wire.say("DATA").startswith("354")
        wire.protocol.dataReceived(mail.header + b"\r\n" + mail.body + b".\r\n")
        yield Moment.DATA, wire.heard().rstrip()
