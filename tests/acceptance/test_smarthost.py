"""B7, B8 and C1 to C17: all mail goes to the smarthost, and its password nowhere else."""

import pytest

from harness.certificates import authority
from harness.processes import free_port
from harness.sink_rules import Rule
from tests.acceptance.stage import RESERVED, STRANGER, arrived, awaited, events, smarthost
from tests.endtoend.mails import mail

NAME = "mail.mysmtp.test"
PASSWORD = 'a:b^c"d\\e %f'
BARE = b"Subject: no more than this\r\n\r\nHello\r\n"


def login(**more):
    """Return the settings of a login."""
    return {"SMARTHOST_USER": "me", "SMARTHOST_PASSWORD": PASSWORD, "SMARTHOST_ALIASES": "*.mysmtp.test", **more}


def provider(stage, *rules, mechanisms=("PLAIN",), **options):
    """Return a smarthost with a certificate that the relay trusts, and one user."""
    stage.dns.add({NAME: {"A": ["127.0.0.1"]}})
    tls = stage.certificate(NAME, ips=["127.0.0.1"])
    return stage.sink(*rules, **{"tls": tls, "users": {"me": PASSWORD}, "mechanisms": mechanisms, **options})


def waits(relay, sink, recipient):
    """Assert that a message to this recipient stays queued and unsent; return the reason in the event log."""
    event = awaited(relay, "deferred", to=f"<{recipient}>")
    (entry,) = relay.queue()
    assert [one["address"] for one in entry["recipients"]] == [recipient]
    assert sink.messages == []
    assert not events(relay, "failed")
    assert PASSWORD not in relay.child.text
    return event["reply"]


def test_b7_mail_for_a_relay_domain_goes_to_the_smarthost_too(stage, through):
    stage.dns.mail_host("a.test", "127.0.0.98")
    mx = stage.sink(address="127.0.0.98", port=through.sink.port)
    with through.relay.client(STRANGER) as client:
        client.sendmail("sender@sender.test", ["b7@a.test"], mail())
    arrived(through.sink, "b7@a.test")
    assert mx.connections == 0


def test_b8_only_the_mail_of_our_own_is_completed(through):
    for source, recipient in ((STRANGER, "b8-stranger@a.test"), ("127.0.0.1", "b8-own@a.test")):
        with through.relay.client(source) as client:
            client.sendmail("sender@sender.test", [recipient], BARE)
    assert arrived(through.sink, "b8-stranger@a.test").without_trace == BARE
    message = arrived(through.sink, "b8-own@a.test")
    assert message.header("Date")
    assert message.header("Message-ID")
    assert message.content.endswith(BARE)


def test_c1_the_login_is_plain_behind_starttls_when_an_alias_matches(stage):
    sink = provider(stage)
    relay = stage.relay(**smarthost(sink, NAME), **login())
    relay.submit(mail(), "c1@any.test")
    message = arrived(sink, "c1@any.test")
    assert (message.tls, message.user) == (True, "me")
    (attempt,) = sink.logins
    assert (attempt.mechanism, attempt.password, attempt.tls) == ("PLAIN", PASSWORD, True)
    assert message.without_trace == mail()


def test_c1_an_authority_of_its_own_may_vouch_for_the_smarthost(stage):
    ours = stage.authority_file
    sink = provider(stage)
    nobody = stage.home / "nobody.pem"
    nobody.write_bytes(authority().certificate_pem)
    relay = stage.relay(**smarthost(sink, NAME), **login(), SSL_CERT_FILE=str(nobody), SMARTHOST_CA_FILE=ours)
    relay.submit(mail(), "c1-ca@any.test")
    assert arrived(sink, "c1-ca@any.test").user == "me"


def test_c2_a_password_of_any_characters_arrives_whole_by_login(stage):
    sink = provider(stage, mechanisms=("LOGIN",))
    relay = stage.relay(**smarthost(sink, NAME), **login())
    relay.submit(mail(), "c2@any.test")
    assert arrived(sink, "c2@any.test").user == "me"
    assert [(attempt.mechanism, attempt.password) for attempt in sink.logins] == [("LOGIN", PASSWORD)]


def test_c4_mail_waits_when_no_host_may_be_given_the_login(stage):
    sink = provider(stage)
    relay = stage.relay(**smarthost(sink, NAME), **login(SMARTHOST_ALIASES="*.other.test"))
    relay.submit(mail(), "c4@any.test")
    assert "SMARTHOST_ALIASES does not match" in waits(relay, sink, "c4@any.test")
    assert sink.logins == []


def test_mail_and_its_report_wait_when_the_smarthost_wants_a_login(stage):
    sink = provider(stage, Rule("MAIL", "530 5.7.0 Authentication required"), users={})
    relay = stage.relay(**smarthost(sink, NAME))
    relay.submit(mail(), "login@any.test")
    assert "set SMARTHOST_USER and SMARTHOST_PASSWORD" in waits(relay, sink, "login@any.test")
    assert not events(relay, "reported")
    (trouble,) = events(relay, "trouble")
    assert "530 5.7.0 Authentication required" in trouble["text"]


def test_c4_without_any_aliases_the_configured_host_gets_the_login(stage):
    sink = provider(stage)
    relay = stage.relay(**smarthost(sink, NAME), **login(SMARTHOST_ALIASES=""))
    relay.submit(mail(), "c4-unset@any.test")
    assert arrived(sink, "c4-unset@any.test").user == "me"


@pytest.mark.parametrize(
    ("address", "aliases"),
    [
        (NAME, "foo.test; mail.mysmtp.test;*.bar"),
        ("MAIL.MySMTP.Test", "foo.test; MAIL.MYSMTP.TEST;*.bar"),
    ],
    ids=["list", "upper case"],
)
def test_c6_one_alias_of_a_list_is_enough_in_any_case(stage, address, aliases):
    sink = provider(stage)
    relay = stage.relay(**smarthost(sink, address), **login(SMARTHOST_ALIASES=aliases))
    relay.submit(mail(), "c6@any.test")
    assert arrived(sink, "c6@any.test").user == "me"


@pytest.mark.parametrize("aliases", ["*.mysmtp.test", "*.alias.test"], ids=["the name it leads to", "the name given"])
def test_c6_an_alias_may_match_either_name_of_a_cname(stage, aliases):
    stage.dns.add({"smtp.alias.test": {"CNAME": NAME}})
    sink = provider(stage, tls=stage.certificate("smtp.alias.test"))
    relay = stage.relay(**smarthost(sink, "smtp.alias.test"), **login(SMARTHOST_ALIASES=aliases))
    relay.submit(mail(), "c6-cname@any.test")
    assert arrived(sink, "c6-cname@any.test").user == "me"


def test_c7_a_star_matches_an_address(stage):
    sink = provider(stage)
    relay = stage.relay(**smarthost(sink, "127.0.0.1"), **login(SMARTHOST_ALIASES="*"))
    relay.submit(mail(), "c7@any.test")
    assert arrived(sink, "c7@any.test").user == "me"


def test_c8_the_password_never_goes_out_in_clear(stage):
    sink = provider(stage, tls=None)
    relay = stage.relay(**smarthost(sink, NAME), **login())
    relay.submit(mail(), "c8@any.test")
    assert "STARTTLS" in waits(relay, sink, "c8@any.test")
    assert sink.logins == []


def test_c8_the_password_never_goes_to_an_unverified_host(stage):
    sink = provider(stage, tls=stage.certificate("else.test"))
    relay = stage.relay(**smarthost(sink, NAME), **login())
    relay.submit(mail(), "c8-name@any.test")
    assert "certificate" in waits(relay, sink, "c8-name@any.test")
    assert sink.logins == []


def test_c10_mail_waits_while_the_password_is_refused(stage):
    sink = provider(stage, users={"me": "another"})
    relay = stage.relay(**smarthost(sink, NAME), **login())
    relay.submit(mail(), "c10@any.test")
    assert "535" in waits(relay, sink, "c10@any.test")


def test_c11_port_2465_is_tls_from_the_first_byte(stage):
    sink = provider(stage, tls=stage.certificate("c11.mysmtp.test"), implicit=True, address=RESERVED, port=2465)
    stage.dns.add({"c11.mysmtp.test": {"A": [RESERVED]}})
    relay = stage.relay(**smarthost(sink, "c11.mysmtp.test"), **login())
    relay.submit(mail(), "c11@any.test")
    assert arrived(sink, "c11@any.test").tls


def test_c11_exims_macro_asks_for_the_same_on_any_port(stage):
    macros = stage.home / "_docker_additional_macros"
    macros.write_text("REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps\nMESSAGE_SIZE_LIMIT = 1K\nKEEP_ENVIRONMENT = X\n")
    sink = provider(stage, implicit=True)
    relay = stage.relay(**smarthost(sink, NAME), **login(), MACROS_FILE=str(macros))
    relay.submit(mail(), "c11-macro@any.test")
    assert arrived(sink, "c11-macro@any.test").tls
    with relay.client() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "1024"
    assert any("KEEP_ENVIRONMENT" in event["text"] for event in relay.events("notice"))


def test_c12_the_second_smarthost_takes_over_in_the_same_attempt(stage):
    stage.dns.add({"one.c12.test": {"A": ["127.0.0.1"]}, "two.c12.test": {"A": ["127.0.0.1"]}})
    sink = stage.sink()
    relay = stage.relay(**smarthost(sink, f"one.c12.test::{free_port()}:two.c12.test"))
    relay.submit(mail(), "c12@any.test")
    arrived(sink, "c12@any.test")
    awaited(relay, "delivered", to="<c12@any.test>")
    assert relay.events("deferred") == []


def test_c17_recipients_of_several_domains_share_one_transaction(through):
    recipients = ["a@one.test", "b@one.test", "c@two.test"]
    through.relay.submit(mail(), recipients)
    assert arrived(through.sink, "c@two.test").recipients == tuple(recipients)
    assert len(through.sink.messages) == 1
