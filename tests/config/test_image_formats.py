"""The formats, defaults, precedence and errors of the image we replace, as people wrote them into compose files."""

import ipaddress
from pathlib import Path

import pytest

from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.config.table import SETTINGS
from mta.inbound.networks import IPNetwork
from mta.routing.route import Smarthost

DEFAULTS = {
    "PORT": "25",
    "BIND_IP": "0.0.0.0",
    "BIND_IP6": "::0",
    "NET_DEV": "eth0",
    "DKIM_SELECTOR": "dkim",
    "SES_REGION": "us-east-1",
    "SES_PORT": "587",
    "SMARTHOST_PORT": "25",
    "SMTPPORTOUT": "25",
}
BRIDGE = (ipaddress.ip_network("172.17.0.0/16"),)
GMAIL = {"GMAIL_USER": "g@gmail.com", "GMAIL_PASSWORD": "abcd efgh"}
SES = {"SES_USER": "AKIA", "SES_PASSWORD": "x"}
OTHER = {"SMARTHOST_ADDRESS": "mail.mysmtp.com"}
LOGIN = {"SMARTHOST_USER": "u", "SMARTHOST_PASSWORD": "x"}


def networks(device: str) -> tuple[IPNetwork, ...]:
    if device != "eth0":
        raise OSError("no such device")
    return BRIDGE


def read(*environs: dict[str, str], **more: str) -> Settings:
    environ = {name: text for each in environs for name, text in each.items()} | {"MAILNAME": "mta.test"} | more
    return read_settings(environ, networks=networks, root=Path("/nowhere"))


def smarthost(*environs: dict[str, str], **more: str) -> Smarthost:
    found = read(*environs, **more).smarthost
    assert found is not None
    return found


def test_the_images_defaults_set_explicitly_give_no_notice() -> None:
    ours = {setting.name: setting.default for setting in SETTINGS}
    assert {name: ours[name] for name in DEFAULTS} == DEFAULTS
    assert read(DEFAULTS).notices == ()


@pytest.mark.parametrize(
    ("text", "added"),
    [
        (":10.0.0.0/8:192.168.0.0/24", "10.0.0.0/8 ; 192.168.0.0/24"),
        (" :10.0.0.0/8", "10.0.0.0/8"),
        (";10.0.0.0/8;192.168.0.0/24", "10.0.0.0/8 ; 192.168.0.0/24"),
        (":!10.0.0.5:10.0.0.0/8", "!10.0.0.5 ; 10.0.0.0/8"),
        (":fd00::::/8:10.0.0.1:app.test", "fd00::/8 ; 10.0.0.1 ; app.test"),
        (":0.0.0.0/0", "0.0.0.0/0"),
        (":*", "*"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8, 192.168.0.0/24", "10.0.0.0/8 ; 192.168.0.0/24"),
        (":fd00::/8", "fd00::/8"),
    ],
)
def test_networks_are_added_behind_the_interfaces_own(text: str, added: str) -> None:
    assert str(read(RELAY_NETWORKS=text).trusted) == f"127.0.0.1 ; ::1 ; 172.17.0.0/16 ; {added}"


@pytest.mark.parametrize("text", ["a.com : *.b.org", "a.com:*.b.org", "A.com;*.b.ORG", "a.com, *.b.org"])
def test_domains_are_lists_with_any_separator(text: str) -> None:
    assert read(RELAY_DOMAINS=text).relay_domains.patterns == ("a.com", "*.b.org")
    assert read(OTHER_HOSTNAMES=text).local_domains.patterns == ("localhost", "a.com", "*.b.org")


@pytest.mark.parametrize(
    ("address", "port", "hosts"),
    [
        ("mail.mysmtp.com", "", (("mail.mysmtp.com", 25),)),
        ("mail.mysmtp.com", "587", (("mail.mysmtp.com", 587),)),
        ("10.0.0.9", "465", (("10.0.0.9", 465),)),
        ("[2001::db8::::1]", "587", (("2001:db8::1", 587),)),
        ("a.test:b.test", "587", (("a.test", 25), ("b.test", 587))),
        ("a.test;b.test", "", (("a.test", 25), ("b.test", 25))),
        ("a.test::26:b.test", "587", (("a.test", 26), ("b.test", 587))),
        ("my_relay", "", (("my_relay", 25),)),
    ],
)
def test_smarthosts_are_hosts_in_order(address: str, port: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert smarthost(SMARTHOST_ADDRESS=address, SMARTHOST_PORT=port).hosts == hosts


@pytest.mark.parametrize(
    ("environs", "host"),
    [
        ((GMAIL, SES, OTHER), "smtp.gmail.com"),
        ((SES, OTHER), "email-smtp.us-east-1.amazonaws.com"),
        ((OTHER,), "mail.mysmtp.com"),
    ],
)
def test_gmail_comes_before_amazon_and_amazon_before_another_smarthost(
    environs: tuple[dict[str, str], ...], host: str
) -> None:
    assert smarthost(*environs).hosts[0][0] == host


def test_domains_that_anyone_may_send_to_are_honoured_in_every_mode() -> None:
    for environ in ({}, GMAIL, SES, OTHER):
        assert read(environ, RELAY_DOMAINS="a.com").relay_domains.matches("a.com")


@pytest.mark.parametrize(
    ("name", "environ"), [("GMAIL_USER", GMAIL), ("SES_PASSWORD", SES), ("SMARTHOST_PASSWORD", {**OTHER, **LOGIN})]
)
def test_a_secret_and_its_file_exclude_each_other_unless_one_is_empty(
    name: str, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s\n\n")
    file = {f"{name}_FILE": str(tmp_path / "secret")}
    assert read(environ, file, {name: ""})
    assert read(environ, {name: "s"}, {f"{name}_FILE": ""})
    with pytest.raises(SettingsError, match=f"{name} and {name}_FILE are both set"):
        read(environ, file, {name: "s"})
    with pytest.raises(SettingsError, match="No such file"):
        read(environ, {name: "", f"{name}_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("name", "text"),
    [("BIND_IP", "eth0"), ("OTHER_HOSTNAMES", "it's.test"), ("RELAY_DOMAINS", "'a.test'"), ("RELAY_NETWORKS", ":'")],
)
def test_settings_that_failed_the_images_start_fail_with_an_error(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}="):
        read({name: text})
