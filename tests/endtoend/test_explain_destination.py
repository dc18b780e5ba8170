"""A destination as its operator sees it beside a running relay: on the page, and by the commands."""

import json
from typing import Any

import pytest

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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_tells_the_same(world: Any, workers: str) -> None:
    relay = dead(world, WORKERS=workers)
    done = relay.tool("explain", "dead.test")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "domain     dead.test"
    assert "mx         10 mx.dead.test [127.0.0.7]" in lines
    (down,) = (line for line in lines if line.startswith("down "))
    assert "connection refused" in down
    (coming,) = (line for line in lines if line.startswith("next "))
    assert coming.endswith("one probe for all its mail, because it is down")
    assert not any(line.startswith("note: ") for line in lines)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_queue_domains_shows_the_state_of_each_destination(world: Any, workers: str) -> None:
    relay = dead(world, WORKERS=workers)
    head, row = relay.tool("queue", "domains").stdout.splitlines()[:2]
    assert head.split()[-3:] == ["open", "most", "state"]
    assert row.split()[0] == "dead.test"
    assert row.split()[-1] == "down"
    (shape,) = json.loads(relay.tool("queue", "domains", "--json").stdout)
    (destination,) = shape["destinations"]
    assert destination["name"] == "mx.dead.test"
    assert "connection refused" in destination["blocked_because"]
