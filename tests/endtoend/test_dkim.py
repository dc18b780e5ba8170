"""Signatures of the daemon, checked by verifiers of other projects."""

import pytest

from harness.dkim_verifiers import dkimpy_accepts, opendkim, opendkim_refuses, records
from mta.dkim.keys import new_key, to_pem
from tests.endtoend.mails import HARD
from tests.endtoend.world import TO, received

SMALL = b"From: a@sender.test\r\nSubject: small\r\n\r\n.dot\r\nhello \t\r\n"
#: Large enough to be streamed from a file, and hashed in a thread.
LARGE = b"From: a@sender.test\r\nSubject: large\r\n\r\n" + b"line  of  text \t\r\n" * 100_000 + b"\r\n\r\n"


@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_outgoing_mail_has_a_signature_that_other_verifiers_accept(world, type):
    key = new_key("dkim", type)
    path = world.home / "key.pem"
    path.write_bytes(to_pem(key))
    sink = world.sink()
    relay = world.relay(sink, DKIM_KEY_PATH=str(path))
    for content in (HARD, SMALL, LARGE):
        relay.submit(content, TO)
    arrived = [message.content for message in received(sink, 3)]
    dns = records("sender.test", [key])
    assert all(content.startswith(b"DKIM-Signature: ") for content in arrived)
    assert all(dkimpy_accepts(content, dns) for content in arrived)
    if opendkim() is not None:
        assert opendkim_refuses(arrived, dns) == {}


def test_a_sub_domain_is_signed_by_its_parent_domain_and_the_log_names_the_signer(world):
    key = new_key("dkim", "ed25519")
    folder = world.home / "keys"
    folder.mkdir()
    (folder / "sender.test.pem").write_bytes(to_pem(key))
    sink = world.sink()
    relay = world.relay(sink, DKIM_KEY_PATH=str(folder))
    relay.submit(b"From: a@shop.sender.test\r\nSubject: a\r\n\r\nbody\r\n", TO)
    relay.submit(b"From: a@other.test\r\nSubject: a\r\n\r\nbody\r\n", TO)
    arrived = {message.header("From"): message.content for message in received(sink, 2)}
    assert dkimpy_accepts(arrived["a@shop.sender.test"], records("sender.test", [key]))
    assert arrived["a@other.test"].startswith(b"Received: ")
    told = {event["dkim"] for event in relay.wait_for_events("delivered", 2)}
    assert told == {"sender.test/dkim", "none(no key for other.test)"}
    shown = [relay.tool("queue", "show", event["id"]).stdout for event in relay.events("delivered")]
    assert "dkim=sender.test/dkim; " in "".join(shown)
    assert "dkim=none(no key for other.test); " in "".join(shown)
    assert [each for each in relay.events("notice") if "mail from other.test goes out without" in each["text"]]
