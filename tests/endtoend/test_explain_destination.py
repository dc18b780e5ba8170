"""A destination as its operator sees it beside a running relay: on the page."""

from typing import Any

from harness.processes import free_port
from tests.endtoend.mails import mail
from tests.endtoend.test_page_server import Browser

SCHEDULE = {"RETRY_SCHEDULE": "F,2h,15m"}


def dead(world: Any, **settings: str) -> Any:
    """Return a relay with mail for a domain whose host takes no connection."""
    world.dns.mail_host("dead.test", "127.0.0.7")
    relay = world.relay(world.sink(), **SCHEDULE, **settings)
    relay.submit(mail(), "x@dead.test")
    relay.wait_for_events("destination-down")
    relay.wait_for_events("deferred")
    return relay


def test_the_page_tells_why_a_destination_takes_no_mail_and_when_it_is_probed(world: Any) -> None:
    port = free_port()
    dead(world, ADMIN_LISTEN=f"127.0.0.1:{port}")
    text = Browser(port).get("/destinations/dead.test")
    assert "<dt>MX 10</dt><dd>mx.dead.test" in text
    assert "127.0.0.7" in text
    assert "<dt>Down</dt><dd>no connection until the probe at " in text
    assert "connection refused" in text
    assert "Next attempt " in text
    assert "one probe for all its mail, because it is down" in text
