"""The summary of the settings in the log."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.certificates import authority
from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.config.summary import rule_lines, startup_summary
from mta.config.table import SETTINGS

USERS = {"AUTH_USERS": "app:{PLAIN}hidden", "CERTIFICATE_PATH": __file__, "KEY_PATH": __file__}


def read(**environ: str) -> Settings:
    return read_settings(environ, host_name=lambda: "host.test", networks=lambda _: (), root=Path("/nowhere"))


def said(**environ: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in startup_summary(read(**environ)))
    return {subject: words for subject, _, words in pairs}


def test_the_summary_of_a_relay_without_settings() -> None:
    lines = said()
    assert list(lines) == [
        "name",
        "listening",
        "STARTTLS",
        "may send anywhere",
        "anyone may send to",
        "local domains",
        "all other mail goes to",
        "DKIM",
        "limits",
        "tries again",
        "queue",
    ]
    assert lines["name"] == "host.test"
    assert lines["listening"] == "0.0.0.0:25, [::]:25"
    assert lines["STARTTLS"] == "not offered, because there is no certificate"
    assert lines["may send anywhere"] == "127.0.0.1 ; ::1"
    assert lines["anyone may send to"] == "the local domains"
    assert lines["local domains"].startswith("localhost, delivered to existing Maildirs in /var/mail")
    assert lines["all other mail goes to"] == (
        "the MX hosts of its domain, port 25, with TLS if it is offered, with any certificate;"
        " private and loopback addresses for RELAY_DOMAINS only;"
        " MTA-STS and DANE (DNSSEC=auto) as the domain publishes it"
    )
    assert lines["DKIM"] == "mail is not signed"
    assert lines["limits"] == "50M a message, 998 octets a line"
    assert lines["tries again"] == "F,2h,15m; G,16h,1h,1.5; F,4d,6h, then returns the mail"
    assert lines["queue"].startswith("/var/spool/smtprelay, keeps results of messages for 7 days")


@pytest.mark.parametrize(
    ("environ", "subject", "words"),
    [
        ({"DISABLE_IPV6": "1", "PORT": "26"}, "listening", "0.0.0.0:26; IPv6 is disabled, also for delivery"),
        ({"RELAY_NETWORKS": ":!10.0.0.5:10.0.0.0/8"}, "may send anywhere", "127.0.0.1 ; ::1 ; !10.0.0.5 ; 10.0.0.0/8"),
        ({"RELAY_DOMAINS": "a.test;*.b.test"}, "anyone may send to", "the local domains, a.test : *.b.test"),
        (
            {"OTHER_HOSTNAMES": "a.test", "LOCAL_DELIVERY": "lmtp:dovecot:24", "ALIASES_FILE": __file__},
            "local domains",
            f"localhost : a.test, delivered to the mail store at lmtp:dovecot:24, aliases from {__file__}",
        ),
        (
            {"WORKERS": "3"},
            "workers",
            "3 processes, each with its own queue below /var/spool/smtprelay",
        ),
        ({"LINE_LENGTH_LIMIT": "0"}, "limits", "50M a message, lines of any length"),
        (
            {"DKIM_KEY_PATH": "/", "DKIM_CANON": "simple"},
            "DKIM",
            "mail is signed for the domain of From: with /, selector dkim, simple/simple",
        ),
        (
            {"CERTIFICATE_PATH": __file__, "KEY_PATH": __file__},
            "STARTTLS",
            f"offered with the certificate {__file__} and the key {__file__}",
        ),
        (
            {"PORT": "26", "SUBMISSION_PORT": "587", "SUBMISSION_TLS_PORT": "465", **USERS},
            "listening",
            "0.0.0.0:26, [::]:26, 0.0.0.0:587, [::]:587, 0.0.0.0:465, [::]:465",
        ),
        (
            {"SUBMISSION_PORT": "587", **USERS},
            "logins",
            "required on port 587 (STARTTLS), for 1 user; port 25 needs and takes none",
        ),
        (
            {"SUBMISSION_PORT": "587", "SUBMISSION_TLS_PORT": "465", "AUTH_IN_CLEAR": "trusted", **USERS},
            "logins",
            (
                "required on port 587 (STARTTLS) and port 465 (TLS from the first byte), for 1 user;"
                " port 25 needs and takes none; trusted clients may log in without TLS"
            ),
        ),
        (
            USERS,
            "logins",
            "possible on port 25 inside TLS, for 1 user; other clients send without, as before",
        ),
        (
            {"SUBMISSION_TLS_PORT": "465", **USERS, "AUTH_USERS": "****"},
            "logins",
            "required on port 465 (TLS from the first byte), for the users of AUTH_USERS; port 25 needs and takes none",
        ),
        (
            {"PROXY_NETWORKS": "10.0.0.5,10.1.0.0/16"},
            "load balancers",
            "connections from 10.0.0.5 ; 10.1.0.0/16 must begin with a PROXY header",
        ),
    ],
)
def test_the_summary_has_the_settings(environ: dict[str, str], subject: str, words: str) -> None:
    assert said(**environ)[subject] == words


def test_the_file_of_the_users_is_said(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("# none yet\n")
    environ = USERS | {"AUTH_USERS": "", "AUTH_USERS_FILE": str(users), "SUBMISSION_PORT": "587"}
    assert said(**environ)["logins"] == (
        f"required on port 587 (STARTTLS), for 0 users in {users}; port 25 needs and takes none"
    )


VERIFIED = "with TLS only, the certificate must prove the host's name; authorities of the system"
LOGIN = {"SMARTHOST_USER": "u", "SMARTHOST_PASSWORD": "p"}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (
            {"SMARTHOST_ADDRESS": "a.test:b.test"},
            "the smarthost a.test::25 : b.test::25, with TLS if it is offered, with any certificate; without login",
        ),
        (
            {"SMARTHOST_ADDRESS": "a.test", **LOGIN},
            f"the smarthost a.test::25, {VERIFIED}; login at each of these hosts",
        ),
        (
            {"SMARTHOST_ADDRESS": "a.test", "SMARTHOST_ALIASES": "*.test", **LOGIN},
            f"the smarthost a.test::25, {VERIFIED}; login at hosts that match *.test",
        ),
        (
            {"GMAIL_USER": "me", "GMAIL_PASSWORD": "x"},
            f"the smarthost smtp.gmail.com::587, {VERIFIED}; login at hosts that match *.gmail.com",
        ),
        (
            {"O365_USER": "me", "O365_TENANT": "t", "O365_CLIENT_ID": "i", "O365_REFRESH_TOKEN": "hidden"},
            (
                f"the smarthost smtp.office365.com::587, {VERIFIED}; login with access tokens from"
                " login.microsoftonline.com at hosts that match *.office365.com"
            ),
        ),
        (
            {"SMARTHOST_ADDRESS": "a.test", "SMARTHOST_CERTIFICATE_PATH": __file__, "SMARTHOST_KEY_PATH": __file__},
            (
                f"the smarthost a.test::25, {VERIFIED}; shows the certificate {__file__}; login with the certificate"
                " at each of these hosts"
            ),
        ),
        (
            {"SMARTHOST_ADDRESS": "a.test", "SMARTHOST_TLS": "none"},
            "the smarthost a.test::25, without TLS; without login",
        ),
    ],
)
def test_the_route_of_a_smarthost_is_said_with_its_security(environ: dict[str, str], words: str) -> None:
    assert said(**environ)["all other mail goes to"] == words


def test_tls_from_the_first_byte_is_said(tmp_path: Path) -> None:
    (tmp_path / "macros").write_text("REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps\n")
    words = said(SMARTHOST_ADDRESS="a.test", MACROS_FILE=str(tmp_path / "macros"))["all other mail goes to"]
    assert "; TLS from the first byte on every port; " in words


def test_the_smarthosts_and_ways_of_rules_are_said_without_their_logins(tmp_path: Path) -> None:
    trusted, password = authority().write(tmp_path), tmp_path / "password"
    password.write_text("hidden-word")
    (tmp_path / "20-routes.toml").write_text(
        f"""\
[smarthost.office]
hosts = ["a.test:587", "[2001:db8::1]:25"]
user = "hidden-user"
password_file = "{password}"
ca_file = "{trusted}"
[smarthost.unused]
hosts = "u.test"
[[router]]
sender = "a.test"
smarthost = "office"
[[router]]
recipient = "b.test"
hosts = "b.test"
[[router]]
recipient = "c.test"
mx = "d.test"
[[router]]
recipient = ["e.test", "f.test"]
mx = true
[[router]]
recipient = "g.test"
discard = true
[[router]]
fail = "gone"
"""
    )
    found = read(RULES_DIR=str(tmp_path))
    lines = (*startup_summary(found), *rule_lines(found))
    verified = VERIFIED.replace("the system", str(trusted))
    assert [line for line in lines if "smarthost " in line or line.startswith("rule ")] == [
        f"smarthost office: a.test:587, [2001:db8::1]:25, {verified}; login at each of these hosts",
        "rule 20-routes.toml:8: smarthost office, by sender",
        "rule 20-routes.toml:11: hosts b.test:25, by recipient",
        "rule 20-routes.toml:14: mx of d.test, by recipient",
        "rule 20-routes.toml:17: mx of its own domain, by recipient",
        "rule 20-routes.toml:20: discard, by recipient",
        "rule 20-routes.toml:23: fail 5.7.1 gone, always",
    ]
    assert not any("hidden" in line for line in lines)


def test_every_setting_is_said_if_one_asks_for_it() -> None:
    lines = startup_summary(read(VERBOSE="true", PORT="26"))
    assert len(lines) == 11 + len(SETTINGS)
    assert lines[11] == "PORT = 26"


SECRETS = [setting.name for setting in SETTINGS if setting.secret]


@given(st.sets(st.sampled_from(SECRETS), min_size=1), st.booleans())
@settings(max_examples=50)
def test_no_secret_is_ever_said(names: set[str], smarthost: bool) -> None:
    environ = {name: f"hunter2-{name}" for name in names} | {"VERBOSE": "true"}
    if smarthost:
        environ["SMARTHOST_ADDRESS"] = "a.test"
    try:
        words = str(startup_summary(read(**environ)))
    except SettingsError as error:
        words = str(error)
    assert "hunter2" not in words
