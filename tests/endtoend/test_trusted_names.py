"""Host names in RELAY_NETWORKS while the DNS fails: a trusted client gets a temporary reply and is not refused."""

import smtplib

from harness.waiting import until
from tests.endtoend.world import TO, received

# Not trusted by itself, so that the name decides.
APPLICATION = "127.0.0.2"


def rcpt(relay) -> int:
    with relay.client(APPLICATION) as client:
        client.ehlo()
        client.mail("app@app.test")
        return client.rcpt(TO)[0]


def test_a_client_is_put_off_until_its_name_is_known_for_the_first_time(world):
    world.dns.add({"app.test": {"FAIL": "SERVFAIL"}})
    sink = world.sink()
    relay = world.relay(sink, RELAY_NETWORKS=":app.test")
    assert rcpt(relay) == 451
    until(
        lambda: any("app.test does not resolve" in event["text"] for event in relay.events("notice")), what="a notice"
    )
    world.dns.add({"app.test": {"A": [APPLICATION]}})
    until(lambda: rcpt(relay) == 250, what="trust in the application")
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20, source_address=(APPLICATION, 0)) as client:
        client.sendmail("app@app.test", TO, b"Subject: x\r\n\r\nbody\r\n")
    received(sink)


def test_a_name_that_does_not_exist_is_an_answer(world):
    relay = world.relay(world.sink(), RELAY_NETWORKS=":nobody.test")
    until(lambda: rcpt(relay) == 550, what="a refusal")
