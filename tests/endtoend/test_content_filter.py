"""A content filter on the way, by a router rule: it gets all mail first, and what it sends back goes on."""

from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

FILTER = "127.0.0.2"
RULE = """\
[[router]]
name = "to the filter"
unless.client = "{client}"
hosts = "127.0.0.1:{port}"
"""


def test_the_filter_gets_all_mail_once_and_what_it_sends_back_goes_on(world):
    content_filter, out = world.sink(), world.sink()
    directory = world.home / "rules.d"
    directory.mkdir()
    (directory / "10-filter.toml").write_text(RULE.format(client=FILTER, port=content_filter.port))
    relay = world.relay(out, RULES_DIR=str(directory), RELAY_NETWORKS=FILTER)
    relay.submit(mail(), TO, sender="ann@a.test")
    (seen,) = received(content_filter)
    (event,) = relay.wait_for_events("delivered")
    assert event["rule"] == "10-filter.toml:1"
    assert out.messages == []
    with relay.client(FILTER) as client:
        client.sendmail(seen.sender, seen.recipients, b"X-Seen: yes\r\n" + seen.content)
    (arrived,) = received(out)
    assert (arrived.sender, arrived.recipients) == ("ann@a.test", (TO,))
    assert b"\r\nX-Seen: yes\r\n" in arrived.content
    assert "rule" not in relay.wait_for_events("delivered", 2)[1]
    assert len(content_filter.messages) == 1
