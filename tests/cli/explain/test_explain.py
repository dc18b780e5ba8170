"""`smtprelay explain` without rules: the decisions of policy and router, their reasons, and the exit status."""

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred

from harness.zone import Zone, ZoneResolver
from mta.cli.explain.running import Work
from mta.cli.main import main
from mta.cli.results import result
from mta.config.settings import Settings, read_settings
from mta.explain.trust import Trust, trust_of
from mta.explain.values import Explanation

BASE = {
    "QUEUE_DIR": "/nonexistent",
    "MAILNAME": "relay.example.test",
    "NET_DEV": "none0",
    # The address of no MX host can be the relay's own on this port.
    "PORT": "2525",
}
RETRY = "retry      F,2h,15m; G,16h,1h,1.5; F,4d,6h (RETRY_SCHEDULE)"
FRIEND, STRANGER = "10.0.3.7", "203.0.113.9"
NETWORKS = {"RELAY_NETWORKS": "10.0.0.0/8"}
ZONE = Zone(
    {
        "b.test": {"MX": [[10, "mx1.b.test"], [20, "mx2.b.test"]]},
        "mx1.b.test": {"A": ["192.0.2.1"]},
        "mx2.b.test": {"A": ["192.0.2.2"]},
        "smart.test": {"A": ["192.0.2.9"]},
        "office.test": {"A": [FRIEND]},
        "broken.test": {"FAIL": "SERVFAIL"},
    }
)


def explain(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["explain", *words], env=BASE | environ, obj=in_zone)


def in_zone(_settings: Settings, work: Work) -> Explanation:
    found: Explanation = result(Deferred.fromCoroutine(work(ZoneResolver(ZONE))))
    return found


def mail(*words: str, sender: str = "app@a.test", to: str = "bob@b.test", **environ: str) -> Result:
    return explain("--from", sender, "--to", to, *words, **environ)


def test_a_trusted_client_is_explained_by_the_item_that_trusts_it() -> None:
    told = mail("--client", FRIEND, SMARTHOST_ADDRESS="smtp.example.com::587", **NETWORKS)
    assert told.stdout.splitlines() == [
        "acl        accepted: 10.0.3.7 may send anywhere (10.0.0.0/8 in RELAY_NETWORKS)",
        "router     the smarthost smtp.example.com:587 (SMARTHOST_ADDRESS)",
        RETRY,
    ]
    assert told.exit_code == 0
    assert "accepted: 127.0.0.1 may send anywhere (the relay's own host)" in mail().stdout


def test_a_client_of_an_interface_is_explained_by_the_interface() -> None:
    settings = read_settings(BASE | {"NET_DEV": "eth7"} | NETWORKS, networks=lambda _: (IPv4Network("172.17.0.0/16"),))
    assert trust_of(settings, "172.17.0.5", {}, ()) == Trust(
        True, "172.17.0.5 may send anywhere (172.17.0.0/16, NET_DEV=eth7)"
    )
    assert trust_of(settings, STRANGER, {}, ()) == Trust(False, "203.0.113.9 is not in RELAY_NETWORKS")


def test_a_stranger_is_refused_with_the_words_of_the_relay() -> None:
    told = mail("--client", STRANGER, **NETWORKS)
    assert told.exit_code == 1
    assert told.stdout == (
        "acl        refused at RCPT: 550 5.7.1 relay not permitted: 203.0.113.9 is not in RELAY_NETWORKS and b.test is"
        " not in RELAY_DOMAINS\n"
    )


def test_an_exclusion_is_a_reason_in_the_json() -> None:
    told = mail("--client", "10.9.9.9", "--json", RELAY_NETWORKS="!10.9.9.9 ; 10.0.0.0/8")
    found = json.loads(told.stdout)
    assert (told.exit_code, found["goes_on"]) == (1, False)
    assert found["router"] == []
    assert found["acl"][0]["verdict"] == "refused"
    assert found["acl"][0]["reply"].startswith("550 5.7.1 relay not permitted: 10.9.9.9 ")


def test_a_part_of_the_recipients_may_be_refused() -> None:
    told = explain(*("--from", "<>"), *("--to", "postmaster"), *("--to", "x%y@b.test"), *("--to", "bob@b.test"))
    assert told.exit_code == 1
    lines = told.stdout.splitlines()
    assert lines[0] == "acl        postmaster: accepted: postmaster is local"
    assert lines[1] == "           x%y@b.test: refused at RCPT: 550 5.1.3 restricted characters in address"
    assert lines[2].startswith("           bob@b.test: accepted: 127.0.0.1 may send anywhere")
    assert lines[3].startswith("router     postmaster: local, existing Maildirs in ")
    assert lines[4] == "           bob@b.test: the MX hosts of b.test, port 25"


def test_a_relay_domain_depends_on_the_dns() -> None:
    told = mail("--client", STRANGER, RELAY_DOMAINS="b.test")
    assert "accepted: b.test is in RELAY_DOMAINS, if the DNS has a host for mail to b.test (--dns looks)" in told.stdout
    looked_up = mail("--client", STRANGER, "--dns", RELAY_DOMAINS="b.test")
    assert "accepted: b.test is in RELAY_DOMAINS\n" in looked_up.stdout
    missing = mail("--client", STRANGER, "--dns", to="bob@no.test", RELAY_DOMAINS="no.test")
    assert "refused at RCPT: 550 5.1.2 Unrouteable address: domain no.test does not exist" in missing.stdout
    assert missing.exit_code == 1


def test_the_hosts_of_a_route_are_looked_up_with_dns() -> None:
    told = mail("--dns")
    assert (
        "router     the MX hosts of b.test, port 25: mx1.b.test[192.0.2.1]:25, mx2.b.test[192.0.2.2]:25" in told.stdout
    )
    through = mail("--dns", "--json", SMARTHOST_ADDRESS="smart.test::587")
    assert json.loads(through.stdout)["router"] == [
        {
            "recipient": "bob@b.test",
            "route": "smarthost",
            "hosts": ["smart.test[192.0.2.9]:587"],
            "smarthost": "default",
            "setting": "SMARTHOST_ADDRESS",
            "rule": None,
            "without_rule": None,
            "passed_over": [],
            "demands": [],
            "returned": False,
            "text": "the smarthost smart.test:587: smart.test[192.0.2.9]:587",
        }
    ]


def test_mail_that_would_be_returned_does_not_go_on_and_mail_that_waits_does() -> None:
    returned = mail("--dns", to="bob@no.test")
    assert "router     returned: domain no.test does not exist" in returned.stdout
    assert returned.exit_code == 1
    waiting = mail("--dns", to="bob@broken.test")
    assert "router     waits: looking up the MX of broken.test failed" in waiting.stdout
    assert waiting.exit_code == 0


def test_a_host_name_in_the_networks_is_looked_up_with_dns_only() -> None:
    unknown = mail("--client", FRIEND, RELAY_NETWORKS="office.test")
    assert "deferred at RCPT: 451 4.4.3 a host name in RELAY_NETWORKS" in unknown.stdout
    assert "note: a host name in RELAY_NETWORKS decides; --dns looks it up" in unknown.stdout
    assert unknown.exit_code == 1
    known = mail("--client", FRIEND, "--dns", RELAY_NETWORKS="office.test")
    assert "accepted: 10.0.3.7 may send anywhere (office.test in RELAY_NETWORKS)" in known.stdout
    other = mail("--client", STRANGER, "--dns", RELAY_NETWORKS="office.test")
    assert "550 5.7.1 relay not permitted" in other.stdout


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({"GMAIL_USER": "u", "GMAIL_PASSWORD": "p"}, "GMAIL_USER"),
        ({"SES_USER": "u", "SES_PASSWORD": "p"}, "SES_USER"),
        ({"SMARTHOST_ADDRESS": "a.test", "SMARTHOST_USER": "u", "SMARTHOST_PASSWORD": "p"}, "SMARTHOST_ADDRESS"),
    ],
)
def test_the_route_names_the_setting_that_has_chosen_the_smarthost(environ: dict[str, str], setting: str) -> None:
    assert json.loads(mail("--json", **environ).stdout)["router"][0]["setting"] == setting


def test_address_literals_are_routed_without_the_dns() -> None:
    assert "router     the host of the address literal" in mail(to="bob@[203.0.113.1]").stdout
    private = mail(to="bob@[192.168.1.1]")
    assert (
        "refused at RCPT: 550 5.4.4 Unrouteable address: mail for [192.168.1.1] would go to a private" in private.stdout
    )


def test_local_mail_is_local_and_needs_a_mailbox(tmp_path: Path) -> None:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "bob" / name).mkdir(parents=True)
    (tmp_path / "aliases").write_text("sales: bob\n")
    environ = {
        "OTHER_HOSTNAMES": "own.test",
        "MAIL_DIR": str(tmp_path),
        "ALIASES_FILE": str(tmp_path / "aliases"),
    }
    for name in ("bob", "sales"):
        known = mail("--client", STRANGER, to=f"{name}@own.test", **environ)
        assert known.stdout.splitlines()[:2] == [
            "acl        accepted: own.test is local",
            f"router     local, existing Maildirs in {tmp_path}, aliases from {tmp_path}/aliases (OTHER_HOSTNAMES)",
        ]
    unknown = mail(to="eve@own.test", **environ)
    assert "refused at RCPT: 550 5.1.1 no such user here" in unknown.stdout


def test_a_user_sends_anywhere_as_the_listed_senders_only() -> None:
    users = {"AUTH_USERS": "app:{PLAIN}secret @a.test", "AUTH_IN_CLEAR": "trusted"}
    known = mail("--login", "app", "--client", STRANGER, "--header", "From: app@a.test", **users)
    assert "accepted: the user app may send anywhere" in known.stdout
    assert mail("--login", "app@relay.example.test", "--header", "From: app@a.test", **users).exit_code == 0
    other = mail("--login", "app", sender="eve@b.test", **users)
    assert "refused at MAIL: 550 5.7.1 not permitted by the sender list of user app: MAIL FROM" in other.stdout
    author = mail("--login", "app", "--header", "From: eve@b.test", **users)
    assert "refused after the data: 550 5.7.1 not permitted by the sender list of user app: From" in author.stdout
    assert author.exit_code == 1
    assert "secret" not in known.output + other.output + author.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "2K"], "refused at MAIL: 552 5.3.4 message larger than 1024 octets"),
        (["--helo", "a b", "--client", STRANGER], "refused at EHLO: 501"),
        (["--to", "no@@address"], "no@@address: refused at RCPT: 501 5.1.3"),
    ],
)
def test_the_replies_of_the_protocol_are_those_of_a_session(words: list[str], told: str) -> None:
    refused = mail(*words, MESSAGE_SIZE_LIMIT="1K")
    assert told in refused.stdout
    assert refused.exit_code == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--login", "eve"], "smtprelay: there is no user eve in AUTH_USERS"),
        (["--client", "office"], "'office' is not an IP address"),
        (["--size", "big"], "not a size"),
        (["--header", "Subject"], "'Subject' is not a field such as 'Subject: words'"),
        (["--header", "Subject: a\nBcc: b"], "is not a field"),
        (["--header", ": a"], "is not a field"),
    ],
)
def test_a_mistake_in_the_arguments_has_status_2(words: list[str], told: str) -> None:
    refused = mail(*words)
    assert (refused.exit_code, told in refused.stderr) == (2, True)


def test_a_mistake_in_the_settings_has_status_2() -> None:
    refused = mail(PORT="x")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "PORT='x'" in refused.stderr


def test_the_json_tells_all_stages() -> None:
    found = json.loads(mail("--json").stdout)
    assert found == {
        "goes_on": True,
        "acl": [
            {
                "command": "RCPT",
                "recipient": "bob@b.test",
                "verdict": "accepted",
                "reply": None,
                "reason": "127.0.0.1 may send anywhere (the relay's own host)",
                "rule": None,
                "without_rule": None,
                "passed_over": [],
            }
        ],
        "rewrite": [],
        "router": [
            {
                "recipient": "bob@b.test",
                "route": "mx",
                "hosts": [],
                "smarthost": None,
                "setting": None,
                "rule": None,
                "without_rule": None,
                "passed_over": [],
                "demands": [],
                "returned": False,
                "text": "the MX hosts of b.test, port 25",
            }
        ],
        "transport": [],
        "retry": [
            {
                "recipient": "bob@b.test",
                "errors": None,
                "schedule": "F,2h,15m; G,16h,1h,1.5; F,4d,6h",
                "warn_after": "1d",
                "rule": None,
                "setting": "RETRY_SCHEDULE",
            }
        ],
        "hints": [],
    }
