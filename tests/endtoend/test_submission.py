"""The ports of submission: who may send through them, by which login, and what a login is worth."""

import pytest

from harness.dkim_verifiers import dkimpy_accepts, records
from harness.waiting import until
from mta.dkim.keys import new_key, to_pem
from tests.endtoend.mails import mail
from tests.endtoend.submission import STRANGER, TRUSTING, TlsWire, in_clear_users, plain, submission
from tests.endtoend.wire import Wire
from tests.endtoend.world import TO, received
from tests.length import choose
from tests.programs.mail_clients import SUBMITTERS, Account

USER = "alice"
PASSWORD = "open-sesame/+9"
USERS = in_clear_users({USER: PASSWORD})
PROGRAMS = choose(("swaks", "smtplib"), ("swaks", "smtplib", "msmtp", "nodemailer"))


@pytest.fixture(autouse=True)
def _hidden(world):
    """Have the password sought in all words of the relay."""
    world.secret(PASSWORD)


def trace(message):
    """Return the relay's own Received field in one line."""
    return message.header("Received")


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_submits_through_both_ports_by_each_mechanism_in_words(world, program):
    submit, why_not_here = SUBMITTERS[program]
    if why_not_here() is not None:
        pytest.skip(why_not_here())
    sink = world.sink()
    site = submission(world, sink, USERS)
    for server in site.servers:
        for mechanism in ("PLAIN", "LOGIN"):
            done = submit(server, Account(USER, PASSWORD, mechanism))
            assert done.accepted, done.output
            wrong = submit(server, Account(USER, "Wrong/+9", mechanism))
            assert not wrong.accepted, wrong.output
    messages = received(sink, 4)
    assert all(" with ESMTPSA " in trace(message) for message in messages)
    accepted = site.relay.wait_for_events("accepted", 4)
    assert [event["user"] for event in accepted] == [USER] * 4
    logins = site.relay.events("login")
    assert sorted(event["mechanism"] for event in logins) == ["LOGIN", "LOGIN", "PLAIN", "PLAIN"]
    assert all(event["user"] == USER and event["client"] and event["tls"].startswith("TLS") for event in logins)
    failed = site.relay.events("login-failed")
    assert failed
    assert all(event["user"] == USER and event["reply"].startswith("535 5.7.8") for event in failed)


def hints(relay):
    """Return the lines that say how a login in clear may be allowed."""
    return [event["text"] for event in relay.events("notice") if "AUTH_IN_CLEAR=trusted" in event["text"]]


def test_a_login_in_clear_is_refused_and_one_line_says_how_to_allow_it(world):
    site = submission(world, world.sink(), USERS)
    for source in ("127.0.0.1", STRANGER):
        wire = Wire(site.starttls.port, source)
        assert not any("AUTH" in line for line in wire.ask(b"EHLO client.test\r\n"))
        assert wire.say(plain(USER, PASSWORD)).startswith("538 5.7.11")
    until(lambda: hints(site.relay), what="the hint")
    assert len(hints(site.relay)) == 1


def test_our_own_networks_may_log_in_in_clear_when_it_is_allowed_and_strangers_never(world):
    sink = world.sink()
    site = submission(world, sink, USERS, AUTH_IN_CLEAR="trusted")
    own = Wire(site.starttls.port)
    assert any(line[4:].startswith("AUTH PLAIN LOGIN") for line in own.ask(b"EHLO client.test\r\n"))
    assert own.say(plain(USER, PASSWORD)).startswith("235 2.7.0")
    assert own.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("250")
    stranger = Wire(site.starttls.port, STRANGER)
    assert not any("AUTH" in line for line in stranger.ask(b"EHLO client.test\r\n"))
    assert stranger.say(plain(USER, PASSWORD)).startswith("538 5.7.11")


def test_without_a_login_the_ports_of_submission_take_no_mail(world):
    site = submission(world, world.sink(), USERS, RELAY_DOMAINS="example.test")
    for source in ("127.0.0.1", STRANGER):
        for wire in (Wire(site.starttls.port, source), TlsWire(site.implicit.port, source)):
            wire.say(b"EHLO client.test\r\n")
            assert wire.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("530 5.7.0 ")
            assert wire.say(b"RCPT TO:<someone@example.test>\r\n")[:1] == "5"


def test_beside_ports_of_submission_the_other_port_is_as_before(world):
    sink = world.sink()
    site = submission(world, sink, USERS, RELAY_DOMAINS="example.test")
    with site.relay.client() as client:
        client._host = "localhost"
        client.starttls(context=TRUSTING)
        client.ehlo()
        assert not client.has_extn("AUTH")
        client.sendmail("a@sender.test", [TO], mail())
    with site.relay.client(STRANGER) as client:
        client.ehlo()
        client.mail("a@sender.test")
        assert client.rcpt("x@elsewhere.test")[0] == 550
        assert client.rcpt(TO)[0] == 250
    received(sink)


def test_without_a_port_of_submission_a_stranger_may_log_in_at_port_25(world):
    sink = world.sink()
    site = submission(world, sink, USERS, SUBMISSION_PORT="", SUBMISSION_TLS_PORT="")
    with site.relay.client(STRANGER) as client:
        client.ehlo()
        assert not client.has_extn("AUTH")
        client._host = "localhost"
        client.starttls(context=TRUSTING)
        client.ehlo()
        client.login(USER, PASSWORD)
        client.sendmail("a@sender.test", [TO], mail())
    (message,) = received(sink)
    assert " with ESMTPSA " in trace(message)


def test_a_client_that_has_logged_in_gets_notifications_and_a_signature_and_a_stranger_neither(world):
    key = new_key("dkim", "ed25519")
    path = world.home / "key.pem"
    path.write_bytes(to_pem(key))
    sink = world.sink()
    site = submission(world, sink, USERS, RELAY_DOMAINS="example.test", DKIM_KEY_PATH=str(path))
    wire = site.in_tls(STRANGER)
    assert wire.say(plain(USER, PASSWORD)).startswith("235")
    assert "250-DSN" in [line.replace(" ", "-", 1) for line in wire.ask(b"EHLO client.test\r\n")]
    for command in (b"MAIL FROM:<a@sender.test> ENVID=one", b"RCPT TO:<someone@example.test> NOTIFY=SUCCESS", b"DATA"):
        assert wire.say(command + b"\r\n")[:1] in {"2", "3"}
    assert wire.say(mail("ours") + b".\r\n").startswith("250")
    (ours,) = received(sink)
    assert "NOTIFY=SUCCESS" in ours.rcpt_parameters[0]
    assert dkimpy_accepts(ours.content, records("sender.test", [key]))
    with site.relay.client(STRANGER) as client:
        client.ehlo()
        assert not client.has_extn("DSN")
        client.sendmail("a@sender.test", [TO], mail("strange"))
    strange = received(sink, 2)[-1]
    assert strange.header("DKIM-Signature") is None
