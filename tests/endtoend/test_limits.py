"""The limits that servers announce (RFC 9422): the relay keeps to those of a host, and tells its own."""

from harness.sink import EXTENSIONS
from tests.endtoend.mails import mail
from tests.endtoend.world import received


def test_a_message_is_split_as_the_host_takes_recipients(world):
    sink = world.sink(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=2"))
    relay = world.relay(sink, RETRY_SCHEDULE="F,1h,10m")
    to = [f"r{number}@example.test" for number in range(5)]
    relay.submit(mail(), to)
    relay.wait_for_events("delivered", 5)
    messages = received(sink, 3)
    assert max(len(message.recipients) for message in messages) == 2
    assert sorted(each for message in messages for each in message.recipients) == to
    assert relay.events("deferred") == []


def test_a_connection_carries_as_many_messages_as_the_host_takes(world):
    sink = world.sink(extensions=(*EXTENSIONS, "LIMITS MAILMAX=2"))
    relay = world.relay(sink)
    for number in range(6):
        relay.submit(mail(), f"r{number}@example.test")
        # The connection is free for the next one.
        relay.wait_for_events("delivered", number + 1)
    carried = [message.connection for message in received(sink, 6)]
    assert [carried.count(connection) for connection in dict.fromkeys(carried)] == [2, 2, 2]


def test_the_relay_tells_how_many_recipients_it_takes(world):
    relay = world.relay(world.sink())
    with relay.client() as client:
        client.ehlo()
        parameters = dict(each.split("=") for each in client.esmtp_features["limits"].split())
        most = int(parameters["RCPTMAX"])
        client.mail("sender@sender.test")
        codes = [client.rcpt(f"r{number}@example.test")[0] for number in range(most + 1)]
    assert codes == [250] * most + [452]
