"""`smtprelay explain` and a listener give the same answers to any mail under any rules, and no rules open a relay."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mta.cli.explain.acl_stage import Verdicts, decide_acl
from mta.cli.explain.parts import Sources, deciding_parts
from mta.cli.explain.trust import Lookups
from mta.cli.explain.values import MailVerdict, Moment, Question
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.config.settings import Settings, read_settings
from mta.inbound.login import LoginPolicy
from mta.inbound.policy import RelayPolicy
from mta.rules.book import RuleBook
from mta.smtp.limits import Leniency
from mta.users.users_file import read_users
from tests.drivers.listener import FRIEND, NAME, STRANGER, Listening, Wire

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


CONDITIONS: dict[str, st.SearchStrategy[object]] = {
    "client": one_or_more(CLIENTS),
    "login": one_or_more(("app", "a*", "other")),
    "helo": one_or_more(("app.test", "*.test", "here")),
    "tls": st.booleans(),
    "sender": one_or_more(PATTERNS),
    "recipient": one_or_more(PATTERNS),
    "header.Subject": one_or_more(TEXTS),
    "larger": st.sampled_from((SMALL, LARGE - 1, LARGE, 5000)),
}
ACTIONS = ("accept = true", "hold = true", "deny = 'denied'", "deny = '554 5.7.0 not here'", "defer = 'wait'")


@st.composite
def rules(draw: st.DrawFn) -> str:
    """A file of rules without mistakes."""
    lines = ["[lists]", "some = ['x@other.test', 'relay.test']"]
    count = draw(st.integers(1, 6))
    for _ in range(count):
        kind = draw(st.sampled_from(("recipient", "data")))
        left_out = {"recipient": {"header.Subject", "larger"}, "data": {"recipient"}}[kind]
        keys = draw(
            st.lists(st.sampled_from(sorted(CONDITIONS.keys() - left_out)), min_size=1, max_size=3, unique=True)
        )
        lines.append("[[acl]]")
        for key in keys:
            unless = draw(st.sampled_from(("", "", "unless.")))
            lines.append(f"{unless}{key} = {quoted(draw(CONDITIONS[key]))}")
        lines.append(draw(st.sampled_from(ACTIONS)))
    return "\n".join(lines)


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
    assume(not any("can never apply" in line or "<> is the null sender" in line for line in mistakes.lines))
    assert (found, mistakes.lines) == ([], [])
    assert book is not None
    return book


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings under which the listener of the tests works."""
    boxes = tmp_path_factory.mktemp("boxes")
    for name in ("new", "cur", "tmp"):
        (boxes / "bob" / name).mkdir(parents=True)
    environ = {
        "MAILNAME": NAME,
        "NET_DEV": "none0",
        "RELAY_DOMAINS": "relay.test",
        "OTHER_HOSTNAMES": "here.test",
        "MAIL_DIR": str(boxes),
    }
    return read_settings(environ, root=Path("/nowhere"))


def explained(relay: Settings, book: RuleBook | None, mail: Mail) -> tuple[Verdicts, RelayPolicy]:
    """Return the decisions that the command tells, and the policy that has made a part of them."""
    (user,), _ = read_users(USERS)
    parts = deciding_parts(relay, Sources(book, user if logs_in(mail) else None, lookups=mail.lookups), print)
    question = Question(mail.sender, mail.recipients, mail.client, helo=mail.helo, header=mail.header, size=mail.size)
    results: list[Verdicts] = []
    Deferred.fromCoroutine(decide_acl(question, parts)).addCallback(results.append)
    return results[0], parts.policy


def logs_in(mail: Mail) -> bool:
    """Return whether the client of a message logs in; a stranger cannot, because there is no TLS here."""
    return mail.login and mail.client == FRIEND


def listener(book: RuleBook | None, policy: RelayPolicy, mail: Mail) -> Listening:
    in_clear = LoginPolicy(on_relay_port=True, in_clear=True)
    listening = Listening(leniency=Leniency(NAME, names=True), users=USERS, logins=in_clear, rules=book)
    listening.policy = policy
    listening.host_addresses = mail.lookups.get
    return listening


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


def expected(verdicts: Sequence[MailVerdict], mail: Mail) -> list[tuple[Moment, str]]:
    """Return the replies that the decisions promise; a positive one by its code."""
    told = [(each.moment, "250" if each.reply is None else str(each.reply)) for each in verdicts]
    if told[0][0] is Moment.MAIL:
        return told
    told.insert(0, (Moment.MAIL, "250"))
    if told[-1][0] is not Moment.DATA and any(text == "250" for moment, text in told[1:]):
        told.append((Moment.DATA, "250"))
    return told


@given(rules(), MAILS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_explain_and_a_listener_agree(relay: Settings, text: str, mail: Mail) -> None:
    book = book_of(text)
    told, policy = explained(relay, book, mail)
    listening = listener(book, policy, mail)
    heard = [
        (moment, said[:3] if said.startswith("250") else said)
        for moment, said in replies(listening.connect(mail.client), mail)
    ]
    assert heard == expected(told.decisions, mail)
    refusals = [line for line in listening.lines if " refused " in line]
    rules_told = [each.rule.partition(" ")[0] for each in told.decisions if each.reply is not None and each.rule]
    assert [line.partition(" rule=")[2].partition(" ")[0] for line in refusals if " rule=" in line] == rules_told
    held = any(each.held for each in told.decisions)
    assert [" held=" in line for line in listening.lines if " accepted " in line] == [held] * bool(told.accepted)


@given(rules(), MAILS)
@settings(max_examples=500, deadline=None)
def test_no_rules_accept_mail_that_the_settings_refuse(relay: Settings, text: str, mail: Mail) -> None:
    _, policy = explained(relay, None, mail)
    said = [said for moment, said in replies(listener(book_of(text), policy, mail).connect(mail.client), mail)]
    allowed = [said for _, said in replies(listener(None, policy, mail).connect(mail.client), mail)]
    for heard, alone in zip(said, allowed, strict=False):
        assert alone.startswith("250") or heard == alone
    if mail.client == STRANGER:
        reached = {recipient for recipient, each in zip(mail.recipients, said[1:], strict=False) if each[:3] == "250"}
        assert reached <= {"bob@here.test", "ann@relay.test"}
