"""Mail that an operator sends another way once, with the real daemon and the command."""

import pytest

from harness.sink_rules import Rule
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

LATER = "F,1h,30m"


def busy(times: int | None = None) -> Rule:
    """Return the rule of a server that has no time."""
    return Rule("RCPT", "451 4.3.0 come back", times=times)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rerouted_mail_goes_to_the_other_host_once_and_the_log_tells_it(world, workers):
    usual, other = world.sink(busy()), world.sink(busy(1))
    relay = world.relay(usual, RETRY_SCHEDULE=LATER, WORKERS=workers)
    to = f"127.0.0.1:{other.port}"
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    (entry,) = relay.queue()

    def reroute() -> None:
        done = relay.tool("queue", "reroute", entry["id"], "--to", to)
        assert done.returncode == 0, done.stderr

    reroute()
    relay.wait_for_events("deferred", 2)
    ((_, second),) = [relay.events("deferred")]
    assert second["rule"] == f"reroute to {to}"
    assert relay.tool("queue", "retry", entry["id"]).returncode == 0
    relay.wait_for_events("deferred", 3)
    assert "rule" not in relay.events("deferred")[2]
    reroute()
    received(other)
    relay.wait_until_empty()
    assert relay.wait_for_events("delivered")[0]["rule"] == f"reroute to {to}"
    assert [event["to"] for event in relay.events("amended") if event["change"] == "reroute"] == [to, to]


def test_an_order_to_reroute_outlives_the_relay(world):
    usual, other = world.sink(busy()), world.sink()
    relay = world.relay(usual, RETRY_SCHEDULE=LATER)
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    (entry,) = relay.queue()
    relay.stop()
    done = relay.tool("queue", "reroute", entry["id"], "--to", f"127.0.0.1:{other.port}")
    assert done.returncode == 0, done.stderr
    assert entry["id"] in done.stdout
    relay.start()
    received(other)
    relay.wait_until_empty()
