"""Router rules in a session: a stranger's recipient is looked up where its mail will go, or refused where it cannot."""

import pytest

from mta.inbound.policy import DomainCheck
from mta.message.outcome import Failed
from mta.routing.choice import Discard, Fail, MxOf, RouteChoice, ViaSmarthost
from mta.routing.route import Smarthost, TlsRule
from mta.rules.facts import HOST_UNKNOWN
from mta.smtp.server.canned_replies import RECIPIENT_OK
from tests.drivers.listener import STRANGER, Listening
from tests.drivers.rule_books import client, recipient, router_book
from tests.fakes.router import FakeRouter
from tests.inbound.listener_case import GREET, MAIL

RELAYED = "RCPT TO:<bob@relay.test>"
PARTNER = ViaSmarthost(Smarthost((("10.0.0.1", 25),), TlsRule.OPPORTUNISTIC, name="10.0.0.1:25"))


@pytest.mark.parametrize("choice", [MxOf("other.test"), PARTNER, Discard(), Fail("no")])
def test_the_check_gets_the_choice_of_the_first_rule_that_applies(choice: RouteChoice) -> None:
    listening = Listening(
        rules=router_book((Discard(), [recipient("other.test")]), (choice, [recipient("relay.test")]))
    )
    asked: list[tuple[str, RouteChoice | None]] = []

    def check(domain, done, choice=None):
        asked.append((domain, choice))
        done(RECIPIENT_OK)

    listening.check_domain = check
    wire = listening.connect(STRANGER)
    assert wire.say(GREET, MAIL, RELAYED).splitlines()[-1].startswith("250")
    assert asked == [("relay.test", choice)]


@pytest.mark.parametrize(
    ("choice", "reply"),
    [
        (PARTNER, "250"),
        (Discard(), "250"),
        (Fail("moved away", "5.1.6"), "550 5.1.6 moved away"),
        (MxOf(), "550 5.1.2 Unrouteable address: gone"),
    ],
)
def test_a_domain_that_rules_send_elsewhere_need_not_exist(choice: RouteChoice, reply: str) -> None:
    listening = Listening(rules=router_book((choice, [recipient("relay.test")])))
    router = FakeRouter()
    router.routings["relay.test"] = Failed("gone", status="5.1.2")
    listening.check_domain = DomainCheck(router)
    wire = listening.connect(STRANGER)
    assert wire.say(GREET, MAIL, RELAYED).splitlines()[-1].startswith(reply)
    refused = [line for line in listening.lines if " refused " in line]
    assert [" rule=20-routes.toml:1 " in line for line in refused] == [isinstance(choice, Fail)] * (reply != "250")


def test_a_host_name_that_is_not_looked_up_yet_gets_a_451() -> None:
    listening = Listening(rules=router_book((Discard(), [client("app.test")])))
    wire = listening.connect(STRANGER)
    assert wire.say(GREET, MAIL, RELAYED).splitlines()[-1] == str(HOST_UNKNOWN)


def test_the_rules_that_accepted_the_first_recipient_choose_the_route_of_the_others() -> None:
    listening = Listening(rules=router_book((Discard(), [recipient("relay.test")])))
    listening.check_domain = DomainCheck(FakeRouter())
    wire = listening.connect(STRANGER)
    assert wire.say(GREET, MAIL, RELAYED).splitlines()[-1].startswith("250")
    listening.rules.replace(router_book((Fail("moved away"), [recipient("relay.test")])))
    assert wire.say("RCPT TO:<eve@relay.test>").startswith("250")
    assert wire.say("RSET", MAIL, RELAYED).splitlines()[-1].startswith("550")
