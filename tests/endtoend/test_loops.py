"""Mail that is led back to the relay: it never loops, or not for long, and the log names the fault."""

from contextlib import contextmanager

import pytest

from tests.endtoend.mails import mail
from tests.endtoend.world import TO, end_of_loop, ring_of_two
from tests.length import choose
from tests.programs.hostile_servers import Hostile, passing_on, silent

#: The public address of a relay behind a NAT.
OUTSIDE = "127.0.0.33"


@contextmanager
def behind_a_nat(world, **settings):
    """Run a relay whose port is also reached at OUTSIDE, where its mail goes; give both."""
    with Hostile(OUTSIDE, 0, silent) as nat:
        relay = world.stopped_relay(nat, SMARTHOST_PORT=str(nat.port), **settings)
        nat.behave = passing_on(relay.port)
        with relay:
            yield relay, nat


def expect_no_round(relay):
    """See that the message went out once, came no further than the greeting, and waits with a clear line."""
    (event, *_) = relay.wait_for_events("deferred")
    assert "mail loops back to this relay" in event["reply"]
    assert "it calls itself relay.example.test, which is this relay's own name" in event["reply"]
    assert "MAILNAME" in event["reply"]
    assert len(relay.events("accepted")) == 1
    relay.wait_for_messages(1)
    assert relay.events("failed") == []


@pytest.mark.parametrize("workers", choose(["2"], ["1", "2"]))
def test_an_mx_record_that_leads_back_to_the_relay_through_a_nat_is_noticed(world, workers):
    world.dns.mail_host("loop.test", OUTSIDE)
    with behind_a_nat(world, RETRY_SCHEDULE="F,1h,30m", WORKERS=workers) as (relay, nat):
        relay.submit(mail(), "someone@loop.test")
        expect_no_round(relay)
        assert nat.connections == 1


def test_a_smarthost_that_is_the_relay_itself_behind_a_nat_is_noticed(world):
    with behind_a_nat(world, RETRY_SCHEDULE="F,1h,30m", SMARTHOST_ADDRESS=OUTSIDE) as (relay, nat):
        relay.submit(mail(), TO)
        expect_no_round(relay)
        assert nat.connections == 1


@pytest.mark.parametrize("workers", choose(["2"], ["1", "2"]))
def test_no_form_of_our_own_address_takes_mail_from_us(world, workers):
    relay = world.stopped_relay(world.sink(), WORKERS=workers)
    relay.environment["SMTPPORTOUT"] = str(relay.port)
    with relay:
        for name, address in {"plain": "127.0.0.1", "any": "0.0.0.0"}.items():
            world.dns.mail_host(f"{name}.test", address)
            relay.submit(mail(), f"someone@{name}.test", sender="")
        for event in relay.wait_for_events("failed", 2):
            assert event["status"] == "5.4.6"
            assert "loops back to this host" in event["reply"]
        assert len(relay.events("accepted")) == 2
        relay.wait_until_empty()


def test_a_message_that_two_relays_send_to_each_other_ends_after_a_bounded_number_of_hops(world):
    with ring_of_two(world) as (first, second):
        assert "Too many hops" in end_of_loop(first, second)["reply"]
        assert 50 <= len(first.events("accepted") + second.events("accepted")) <= 101
