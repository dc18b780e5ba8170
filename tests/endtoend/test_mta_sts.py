"""Mail to domains with an MTA-STS policy (RFC 8461): what is sent, what waits, and why."""

import pytest

from harness.certificates import self_signed
from harness.policy_host import policy
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, STRANGER
from tests.endtoend.world import received

DOMAIN, HOST, OTHER = "bank.example", "mx.bank.example", "mx2.bank.example"
TO = f"ann@{DOMAIN}"
#: The setting that lifts the demand, as the log names it.
WAY_OUT = f"TLS_POLICY={DOMAIN}=opportunistic"


@pytest.fixture
def bank(secure):
    """Return the domain, in a zone that is not signed."""
    return secure.domain(DOMAIN, HOST, signed=False)


def deferred(relay):
    """Wait for the first deferral; return the words of the reply."""
    return relay.wait_for_events("deferred")[0]["reply"]


def test_mail_goes_to_a_host_of_an_enforced_policy_that_proves_its_name(secure, bank):
    sink = secure.host(HOST, shows=ROOT.leaf([HOST]))
    web = secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    (message,) = received(sink)
    assert message.tls
    (delivered,) = relay.wait_for_events("delivered")
    assert delivered["tls"].endswith(" verified sts")
    assert [(request.method, request.path) for request in web.requests] == [("GET", "/.well-known/mta-sts.txt")]
    assert web.server_names == [f"mta-sts.{DOMAIN}"]
    (told,) = relay.events("policy")
    assert (told["domain"], told["kind"], told["mode"], told["mx"]) == (DOMAIN, "sts", "enforce", HOST)


@pytest.mark.parametrize(
    "shown",
    [
        ROOT.leaf(["mx.other.example"]),
        ROOT.leaf([HOST], expired=True),
        STRANGER.leaf([HOST]),
        self_signed([HOST]),
        None,
    ],
    ids=["wrong name", "expired", "unknown authority", "self-signed", "no STARTTLS"],
)
def test_mail_waits_if_the_host_of_an_enforced_policy_proves_nothing(secure, bank, shown):
    sink = secure.host(HOST, shows=shown)
    secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    reply = deferred(relay)
    assert "MTA-STS" in reply
    assert WAY_OUT in reply
    assert sink.messages == []


def test_hosts_that_the_policy_does_not_list_are_not_connected_to(secure):
    secure.domain(DOMAIN, "intruder.example", HOST, signed=False)
    intruder = secure.host("intruder.example", shows=ROOT.leaf(["intruder.example"]))
    sink = secure.host(HOST, shows=ROOT.leaf([HOST]))
    secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)
    assert intruder.connections == 0


def test_mail_waits_if_the_policy_lists_none_of_the_hosts(secure, bank):
    sink = secure.host(HOST, shows=ROOT.leaf([HOST]))
    secure.policy_host(DOMAIN, policy("enforce", ["mx.other.example"]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    assert WAY_OUT in deferred(relay)
    assert relay.events("deferred")[0]["status"] == "4.7.5"
    assert sink.connections == 0


def test_a_wildcard_stands_for_one_label(secure):
    near, far = "a.mx.example", "b.a.mx.example"
    secure.domain(DOMAIN, far, near, signed=False)
    secure.tree.zone("mx.example", signed=False)
    sinks = {name: secure.host(name, shows=ROOT.leaf([name])) for name in (near, far)}
    secure.policy_host(DOMAIN, policy("enforce", ["*.mx.example"]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sinks[near])
    assert sinks[far].connections == 0


@pytest.mark.parametrize(("mode", "setting"), [("testing", "enforce"), ("enforce", "testing")])
@pytest.mark.parametrize("listed", [HOST, "mx.other.example"])
def test_failures_of_a_policy_that_is_tested_are_only_told(secure, bank, mode, setting, listed):
    sink = secure.host(HOST, shows=self_signed([HOST]))
    secure.policy_host(DOMAIN, policy(mode, [listed]))
    relay = secure.relay(MTA_STS=setting)
    relay.submit(mail(), TO)
    received(sink)
    (delivered,) = relay.wait_for_events("delivered")
    assert "unverified (" in delivered["tls"]
    (told,) = [event["text"] for event in relay.events("notice") if "MTA-STS" in event["text"]]
    assert DOMAIN in told


def test_domains_with_one_host_share_no_connection_if_one_demands_proof(secure):
    for domain in (DOMAIN, "shop.example"):
        secure.domain(domain, HOST, signed=False)
    sink = secure.host(HOST, shows=ROOT.leaf([HOST]))
    secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay()
    for number in range(3):
        for to in (f"ann{number}@shop.example", TO):
            relay.submit(mail(), to)
    messages = received(sink, 6)
    of_bank = {message.connection for message in messages if message.recipients == (TO,)}
    others = {message.connection for message in messages if message.recipients != (TO,)}
    assert not of_bank & others
    ends = {event["to"]: event["tls"].rpartition(" ")[2] for event in relay.wait_for_events("delivered", 6)}
    assert ends[f"<{TO}>"] == "sts"
    assert ends["<ann0@shop.example>"] == "verified"


def test_a_new_id_with_no_policy_frees_the_mail_at_the_next_attempt(secure, bank):
    sink = secure.host(HOST)
    web = secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay(RETRY_SCHEDULE="F,1h,10m")
    relay.submit(mail(), TO)
    deferred(relay)
    web.answer = policy("none")
    secure.announce(DOMAIN, "2")
    secure.publish()
    assert relay.tool("queue", "retry", "--all").returncode == 0
    received(sink)
    assert [event["mode"] for event in relay.events("policy")] == ["enforce", "none"]


def test_the_policy_outlives_a_restart_and_the_loss_of_its_host(secure, bank):
    sink = secure.host(HOST)
    web = secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    deferred(relay)
    relay.stop()
    web.answer.status = 404
    secure.tree.remove(f"_mta-sts.{DOMAIN}", "TXT")
    secure.publish()
    before = len(relay.events("deferred"))
    relay.start()
    relay.wait_for_events("deferred", before + 1)
    assert sink.messages == []


def test_without_the_setting_no_policy_is_asked_for(secure, bank):
    sink = secure.host(HOST)
    web = secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay(MTA_STS="off")
    relay.submit(mail(), TO)
    received(sink)
    assert web.connections == 0
    assert f"_mta-sts.{DOMAIN}" not in {name for name, _ in secure.dns.asked}
