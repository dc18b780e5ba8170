"""Mail for local domains: Maildirs, aliases, and a mail store behind LMTP."""

import mailbox
from pathlib import Path

import pytest

from harness.processes import free_port
from harness.waiting import until
from tests.endtoend.mails import HARD, mail
from tests.endtoend.world import TO, received
from tests.programs.dovecot import Dovecot, why_not

HERE = "here.test"


def maildir(relay, user):
    """Make an empty Maildir."""
    mailbox.Maildir(relay.mail_dir / user, create=True)


def saved(relay, user):
    """Return the messages in a Maildir with the line ends of the wire."""
    new = relay.mail_dir / user / "new"
    return [file.read_bytes().replace(b"\n", b"\r\n") for file in sorted(new.iterdir())] if new.exists() else []


def here(world, out, **settings):
    """Return a relay, not started, for which here.test is local and bob has a Maildir."""
    relay = world.stopped_relay(out, OTHER_HOSTNAMES=HERE, **settings)
    relay.mail_dir.mkdir()
    maildir(relay, "bob")
    return relay


def aliases(world, text) -> Path:
    """Write the aliases file, by renaming as editors do."""
    path = world.home / "aliases"
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
    return path


def refusal(relay, to):
    """Return the reply to RCPT if it is a refusal."""
    with relay.client() as client:
        client.ehlo()
        client.mail("a@sender.test")
        code, words = client.rcpt(to)
    return (code, words.decode()) if code != 250 else None


def test_a_message_is_saved_in_the_maildir_line_by_line(world):
    with here(world, world.sink()) as relay:
        relay.submit(HARD, f"bob@{HERE}")
        relay.wait_until_empty()
        (content,) = saved(relay, "bob")
        assert content.endswith(HARD)
        assert content.startswith(b"Return-Path: <sender@sender.test>\r\nDelivered-To: bob@here.test\r\nReceived:")
        assert refusal(relay, f"stranger@{HERE}") == (550, "5.1.1 no such user here")


def test_maildirs_are_made_for_any_user_if_the_setting_says_so(world):
    with here(world, world.sink(), LOCAL_DELIVERY="maildir-create") as relay:
        relay.submit(mail(), f"New.User+lists@{HERE}")
        relay.wait_until_empty()
        assert len(saved(relay, "new.user")) == 1


def test_recipients_that_are_one_alias_or_one_mailbox_get_one_copy(world):
    sink = world.sink()
    with here(world, sink, ALIASES_FILE=str(aliases(world, f"info: {TO}\n"))) as relay:
        spellings = [f"info+{number}@{HERE}" for number in range(100)]
        relay.submit(
            HARD, [*spellings, f"bob@{HERE}", f"BOB@{HERE}", "postmaster", f"PostMaster@{HERE}", f"bob+x@{HERE}"]
        )
        received(sink)
        relay.wait_until_empty()
        assert len(relay.wait_for_events("delivered", 106)) == 106
        assert len(sink.messages) == 1
        assert (len(saved(relay, "bob")), len(saved(relay, "postmaster"))) == (1, 1)


def test_the_sender_of_forwarded_mail_is_rewritten_and_reports_find_the_way_back(world):
    sink = world.sink()
    names = aliases(world, f"both: bob, {TO}\n")
    with here(world, sink, ALIASES_FILE=str(names), SRS_DOMAIN="srs.test", SRS_SECRET="battery-staple") as relay:
        relay.submit(HARD, f"both@{HERE}", sender="ann@example.test")
        (message,) = received(sink)
        relay.wait_until_empty()
        assert message.sender.startswith("SRS0=")
        assert message.sender.endswith("=example.test=ann@srs.test")
        (content,) = saved(relay, "bob")
        assert content.startswith(b"Return-Path: <ann@example.test>\r\n")
        assert refusal(relay, message.sender)[1].endswith("reports about mail only, whose sender is <>")
        forged = message.sender.replace("=ann", "=eve")
        with relay.client("127.0.0.2") as stranger:
            refused = stranger.sendmail("", [message.sender, forged], mail())
        assert {to: code for to, (code, _) in refused.items()} == {forged: 550}
        report = received(sink, 2)[1]
        relay.wait_until_empty()
        assert (report.sender, report.recipients) == ("", ("ann@example.test",))


def test_an_alias_reaches_mailboxes_here_and_addresses_outside(world):
    sink = world.sink()
    text = f"all: bob, carol,\n {TO}\nadmin: bob\npostmaster: admin\n"
    with here(world, sink, ALIASES_FILE=str(aliases(world, text))) as relay:
        maildir(relay, "carol")
        relay.submit(HARD, f"all@{HERE}")
        (message,) = received(sink)
        relay.wait_until_empty()
        assert message.sender == "sender@sender.test"
        assert message.recipients == (TO,)
        assert message.content.startswith(b"Delivered-To: all@here.test\r\nReceived: ")
        assert message.content.endswith(HARD)
        for user in ("bob", "carol"):
            (content,) = saved(relay, user)
            assert content.endswith(HARD)
        relay.submit(mail(), f"postmaster@{HERE}")
        relay.wait_until_empty()
        assert len(saved(relay, "bob")) == 2
        assert refusal(relay, f"stranger@{HERE}") == (550, "5.1.1 no such user here")


def test_a_large_message_reaches_everyone_behind_an_alias(world):
    content = mail(body=b"." * 70 + b"\r\n" * 300_000)
    sink = world.sink()
    with here(world, sink, ALIASES_FILE=str(aliases(world, f"both: bob, {TO}"))) as relay:
        relay.submit(content, f"both@{HERE}")
        (message,) = received(sink)
        relay.wait_until_empty()
        assert message.content.endswith(content)
        assert saved(relay, "bob")[0].endswith(content)
        until(lambda: not list((relay.queue_dir / "bodies").iterdir()), what="the body's file to go")


def test_aliases_change_while_the_relay_runs(world):
    with here(world, world.sink(), ALIASES_FILE=str(aliases(world, "first: bob\nrun: |cat\n"))) as relay:
        (notice,) = [one for one in relay.events("notice") if "line 2" in one["text"]]
        assert notice["text"].endswith("line 2: run is ignored: programs are not run; deliver to a mailbox instead")
        assert refusal(relay, f"second@{HERE}") is not None
        aliases(world, "second: bob\n")
        assert refusal(relay, f"second@{HERE}") is None
        assert refusal(relay, f"first@{HERE}") is not None


def test_mail_that_an_alias_sent_round_in_a_circle_is_returned(world):
    """The outside address leads back to the relay: the message comes in again as it went out."""
    sink = world.sink()
    with here(world, sink, ALIASES_FILE=str(aliases(world, f"loop: {TO}"))) as relay:
        relay.submit(mail(), f"loop@{HERE}")
        (message,) = received(sink)
        relay.submit(message.content, f"loop@{HERE}")
        report = received(sink, 2)[1]
        assert report.sender == ""
        assert b"5.4.6" in report.content
        assert b"mail loop" in report.content


def test_an_expansion_survives_a_kill(world):
    """The expansion of an alias is on disk with the settlement: each mailbox gets the message exactly once."""
    sink = world.sink()
    relay = here(world, sink, ALIASES_FILE=str(aliases(world, f"all: bob, {TO}")))
    with relay:
        sink.close()
        relay.submit(mail(), f"all@{HERE}")
        until(lambda: saved(relay, "bob"), what="the copy for bob")
        relay.wait_for_events("deferred")
        relay.kill()
    again = world.sink(port=sink.port)
    with relay:
        received(again)
        relay.wait_until_empty()
        assert len(saved(relay, "bob")) == len(again.messages) == 1


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_dovecot_gets_local_mail(world, way):
    with Dovecot("bob", "eve") as dovecot:
        where = dovecot.socket if way == "socket" else f"127.0.0.1:{dovecot.port}"
        file = aliases(world, f"all: bob, eve, {TO}")
        sink = world.sink()
        with here(world, sink, LOCAL_DELIVERY=f"lmtp:{where}", ALIASES_FILE=str(file)) as relay:
            relay.submit(HARD, [f"bob@{HERE}", f"eve@{HERE}"])
            relay.wait_until_empty()
            for user in ("bob", "eve"):
                (content,) = dovecot.mail(user)
                assert content.replace(b"\n", b"\r\n").endswith(HARD)
            relay.submit(mail(), f"all@{HERE}")
            received(sink)
            relay.wait_until_empty()
            assert len(dovecot.mail("bob")) == len(dovecot.mail("eve")) == 2
            assert saved(relay, "bob") == []


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_user_unknown_to_dovecot_is_reported_to_the_sender(world):
    sink = world.sink()
    with Dovecot("bob") as dovecot, here(world, sink, LOCAL_DELIVERY=f"lmtp:127.0.0.1:{dovecot.port}") as relay:
        relay.submit(mail(), [f"bob@{HERE}", f"no@{HERE}"])
        (report,) = received(sink)
        assert report.recipients == ("sender@sender.test",)
        assert b"User doesn't exist" in report.content
        relay.wait_until_empty()
        assert len(dovecot.mail("bob")) == 1


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_local_mail_waits_for_a_mail_store_that_is_down(world):
    port = free_port()
    with here(world, world.sink(), LOCAL_DELIVERY=f"lmtp:localhost:{port}") as relay:
        relay.submit(mail(), f"bob@{HERE}")
        deferred = relay.wait_for_events("deferred")[0]
        assert "the mail store cannot be reached: " in deferred["reply"]
        assert deferred["reply"].endswith(f"Check LOCAL_DELIVERY=lmtp:localhost:{port}")
        with Dovecot("bob", port=port) as dovecot:
            relay.wait_until_empty()
            assert len(dovecot.mail("bob")) == 1
