"""`smtprelay explain` and a listener give the same answers to any mail under any rules, and no rules open a relay."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mta.config.settings import Settings, read_settings
from mta.explain.acl_stage import Verdicts, decide_acl
from mta.explain.parts import Sources, deciding_parts
from mta.explain.values import MailVerdict, Moment, Question
from mta.inbound.login import LoginPolicy
from mta.inbound.policy import RelayPolicy
from mta.rules.book import RuleBook
from mta.smtp.limits import Leniency
from mta.users.users_file import read_users
from tests.drivers.listener import NAME, STRANGER, Listening
from tests.explain.random_mail import (
    CLIENTS,
    LARGE,
    MAILS,
    PATTERNS,
    RECIPIENTS,
    SMALL,
    TEXTS,
    USERS,
    Mail,
    book_of,
    logs_in,
    one_or_more,
    quoted,
    replies,
)

CONDITIONS: dict[str, st.SearchStrategy[object]] = {
    "client": one_or_more(CLIENTS),
    "login": one_or_more(("app", "a*", "other")),
    "helo": one_or_more(("app.test", "*.test", "here")),
    "tls": st.booleans(),
    "sender": one_or_more(PATTERNS),
    "recipient": one_or_more(RECIPIENTS),
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


def listener(book: RuleBook | None, policy: RelayPolicy, mail: Mail) -> Listening:
    in_clear = LoginPolicy(on_relay_port=True, in_clear=True)
    listening = Listening(leniency=Leniency(NAME, names=True), users=USERS, logins=in_clear, rules=book)
    listening.policy = policy
    listening.host_addresses = mail.lookups.get
    return listening


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
