"""Mail that its client has wait before its delivery, with the real daemon, a restart and the clock of its host."""

import pytest

from harness.daemon import ROOT
from harness.shifted_clock import WallClock
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_message_waits_for_its_release_over_a_restart(world, tmp_path, workers):
    sink, clock = world.sink(), WallClock(tmp_path / "ahead")
    relay = world.relay(sink, WORKERS=workers, **clock.settings(str(ROOT)))
    with relay.client() as client:
        client.ehlo()
        assert client.esmtp_features["futurerelease"].startswith("2592000 ")
        assert client.sendmail("sender@sender.test", TO, mail("later"), mail_options=["HOLDFOR=86400"]) == {}
    (accepted,) = relay.wait_for_events("accepted")
    (entry,) = relay.queue()
    assert entry["release"] == accepted["release"][:19] + "Z"
    assert entry["created"] < entry["release"]
    assert f"release at {entry['release']}" in relay.tool("queue", "list").stdout
    assert "its client wants it to wait until then" in relay.tool("explain", entry["id"]).stdout
    relay.stop()
    relay.start()
    relay.submit(mail("now"), TO)
    received(sink)
    relay.wait_for_messages(1)
    assert [entry["release"]] == [each["release"] for each in relay.queue()]
    clock.ahead = 86400.0
    assert [message.header("Message-ID")[1:].partition("@")[0] for message in received(sink, 2)] == ["now", "later"]
    relay.wait_until_empty()
    assert relay.events("failed") == relay.events("deferred") == []


def test_an_operator_sends_a_waiting_message_by_its_id_now(world):
    sink = world.sink()
    relay = world.relay(sink)
    with relay.client() as client:
        client.sendmail("sender@sender.test", TO, mail(), mail_options=["HOLDUNTIL=2001-01-01T00:00:00Z"])
        received(sink)
        relay.wait_until_empty()
        client.sendmail("sender@sender.test", TO, mail(), mail_options=["HOLDFOR=3600"])
    (entry,) = relay.queue()
    assert relay.tool("queue", "retry", "--all").returncode == 0
    assert relay.queue() == [entry]
    assert relay.tool("queue", "retry", entry["id"]).returncode == 0
    received(sink, 2)
    relay.wait_until_empty()
