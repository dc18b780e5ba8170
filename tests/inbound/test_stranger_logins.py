"""The relay is not opened by a login that does not succeed: a stranger reaches what a stranger reaches."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.inbound.login import LoginPolicy
from mta.inbound.sockets.port_rule import RELAY_PORT, SUBMISSION_PORT, SUBMISSION_TLS_PORT, PortRule
from mta.smtp.limits import Leniency, SmtpLimits
from tests.drivers.listener import STRANGER, Listening, Wire
from tests.inbound.relaying import RECIPIENTS

USERS = "alice:{PLAIN}wonder\n"
GREET, MAIL = "EHLO stranger.test", "MAIL FROM:<a@stranger.test>"
ALL = [
    recipient for group in RECIPIENTS.values() for recipient in group if recipient.isascii() and "\0" not in recipient
]


def text(*parts: str) -> str:
    return base64.b64encode("\0".join(parts).encode()).decode()


RESPONSE = text("", "alice", "wonder")
RIGHT = f"AUTH PLAIN {RESPONSE}"
#: Conversations that do not log in, by what happens in them.
FAILURES = {
    "wrong password": [f"AUTH PLAIN {text('', 'alice', 'x')}"],
    "unknown user": [f"AUTH PLAIN {text('', 'eve', 'wonder')}"],
    "empty password": [f"AUTH PLAIN {text('', 'alice', '')}"],
    "no user": [f"AUTH PLAIN {text('', '', '')}"],
    "for another user": [f"AUTH PLAIN {text('root', 'alice', 'wonder')}"],
    "no base64": ["AUTH PLAIN AGFsaWNlAHdvbmRlcg"],
    "cancelled": ["AUTH LOGIN", text("alice"), "*"],
    "unfinished": ["AUTH LOGIN", text("alice"), "!"],
    "password first": ["AUTH LOGIN", text("wonder"), text("alice")],
    "unknown mechanism": [f"AUTH GSSAPI {text('', 'alice', 'wonder')}"],
    "not offered": ["AUTH SCRAM-SHA-256 " + text("n,,n=alice,r=abc"), "AUTH EXTERNAL " + text("alice")],
    "parameter of MAIL": ["MAIL FROM:<a@stranger.test> AUTH=alice@own.test", "RSET"],
    "in a transaction": [MAIL, RIGHT, "RSET"],
    "as a command": [RESPONSE],
}


def listening() -> Listening:
    limits = SmtpLimits(errors=1000, idle_commands=10_000, bad_recipients=1000)
    policy = LoginPolicy(on_relay_port=True, in_clear=True)
    return Listening(limits, starttls=True, users=USERS, logins=policy, leniency=Leniency("own.test", names=True))


def secure(parts: Listening, rule: PortRule = RELAY_PORT) -> Wire:
    wire = parts.connect(STRANGER, rule)
    if not rule.implicit_tls:
        wire.say(GREET, "STARTTLS")
    wire.protocol.handshakeCompleted()
    wire.say(GREET)
    return wire


def verdicts(wire: Wire) -> list[str]:
    """Return the reply to each recipient."""
    wire.say(MAIL)
    return [wire.say(f"RCPT TO:<{recipient}>") for recipient in ALL]


@pytest.mark.parametrize("name", FAILURES)
def test_a_login_that_fails_changes_no_verdict(name: str) -> None:
    before = verdicts(secure(listening()))
    wire = secure(listening())
    said = "".join(wire.say(line) for line in FAILURES[name])
    assert "\r\n235" not in f"\r\n{said}"
    assert verdicts(wire) == before
    assert any(line.startswith("250") for line in before)
    assert any("relay not permitted" in line for line in before)


def test_a_login_that_succeeds_changes_them() -> None:
    wire = secure(listening())
    assert wire.say(RIGHT).startswith("235")
    assert not any("relay not permitted" in line for line in verdicts(wire))


def test_a_login_in_clear_does_not_survive_starttls_and_a_stranger_has_none() -> None:
    parts = listening()
    wire = parts.connect(STRANGER)
    assert wire.say(GREET, RIGHT).splitlines()[-1].startswith("538")
    assert any("relay not permitted" in line for line in verdicts(wire))


LINES = st.sampled_from(
    [line for lines in FAILURES.values() for line in lines if line != RIGHT]
    + ["AUTH LOGIN", "AUTH PLAIN", text("alice"), "*", "", "RSET", "NOOP", GREET, MAIL, "HELO x", "STARTTLS"]
)
# Each of these can make a login that succeeds: a mechanism, and the lines that answer it.
LOGINS = ({"AUTH PLAIN", RESPONSE}, {"AUTH LOGIN", text("alice"), text("wonder")})
CONVERSATIONS = st.lists(LINES, max_size=10).filter(lambda lines: not any(each.issubset(lines) for each in LOGINS))


@given(CONVERSATIONS, st.sampled_from([RELAY_PORT, SUBMISSION_PORT, SUBMISSION_TLS_PORT]))
@settings(max_examples=200, deadline=None)
def test_no_conversation_without_the_right_password_sends_beyond(lines: list[str], rule: PortRule) -> None:
    parts = listening()
    wire = secure(parts, rule)
    for line in lines:
        if wire.open and wire.protocol.session is not None:
            wire.say(line)
    parts.clock.advance(60)
    if not wire.open:
        return
    wire.say("RSET")
    assert "2.1.5" not in wire.say(MAIL, "RCPT TO:<a@other.test>", "BDAT 7 LAST", "hello")
    assert parts.delivery.taken == []
