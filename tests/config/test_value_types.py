"""The value types of settings: texts that are read, and errors about others."""

from pathlib import Path

import pytest

from mta.config import value_types
from mta.config.setting import ValueType
from mta.delivery.local.rule import LocalKind, LocalRule
from mta.inbound.networks import TrustItem, TrustList, network

COLOUR = value_types.choice({"red": 1, "blue": 2})


@pytest.mark.parametrize(
    ("value_type", "text", "value"),
    [
        (value_types.PORT, "587", 587),
        (value_types.COUNT, "0", 0),
        (value_types.COUNT, "998", 998),
        (value_types.SIZE, "50M", 52428800),
        (value_types.DAYS, "7", 7.0),
        (value_types.DAYS, "0.5", 0.5),
        (value_types.FLAG, "0", True),
        (value_types.FLAG, "", False),
        (value_types.TRUE, "True", True),
        (value_types.TRUE, "1", False),
        (value_types.OPTIONAL_PATH, "", None),
        (value_types.SELECTOR, "Mail_1.2026", "mail_1.2026"),
        (value_types.CANON, "relaxed", ("relaxed", "relaxed")),
        (value_types.CANON, "Relaxed/Simple", ("relaxed", "simple")),
        (value_types.CANON, "simple/relaxed", ("simple", "relaxed")),
        (value_types.LOCAL_RULE, "Maildir", LocalRule()),
        (value_types.LOCAL_RULE, "maildir-create", LocalRule(LocalKind.MAILDIR_CREATE)),
        (value_types.LOCAL_RULE, "lmtp:Mail_Store:24", LocalRule(LocalKind.LMTP, "mail_store", 24)),
        (value_types.LOCAL_RULE, "LMTP:192.0.2.1:24", LocalRule(LocalKind.LMTP, "192.0.2.1", 24)),
        (value_types.LOCAL_RULE, "lmtp:[2001:DB8::1]:24", LocalRule(LocalKind.LMTP, "2001:db8::1", 24)),
        (value_types.LOCAL_RULE, "lmtp:/run/dovecot/lmtp", LocalRule(LocalKind.LMTP, path=Path("/run/dovecot/lmtp"))),
        (value_types.SECRET, 'a:b^c"d\\e %f ü', 'a:b^c"d\\e %f ü'),
        (value_types.PATH, "./spool", Path("spool")),
        (value_types.IPV4, "0.0.0.0", "0.0.0.0"),
        (value_types.IPV6, "::0", "::"),
        (value_types.IPV6, "fe80::1%eth0", "fe80::1%eth0"),
        (value_types.MAIL_NAME, "Mail.Example.COM.", "mail.example.com"),
        (value_types.MAIL_NAME, "", None),
        (value_types.DEVICE, "eth0.12@x", "eth0.12@x"),
        (value_types.REGION, "eu-west-1", "eu-west-1"),
        (value_types.PATTERNS, "*.Example.com; smtp.test", ("*.example.com", "smtp.test")),
        (value_types.PATTERNS, "a.test,b.test c.test", ("a.test", "b.test", "c.test")),
        (value_types.PATTERNS, r"^smtp\S{1,2}; b.test", (r"^smtp\S{1,2}", "b.test")),
        (value_types.SERVERS, "192.0.2.53", (("192.0.2.53", 53),)),
        (
            value_types.SERVERS,
            "127.0.0.1:5353,[::1]:53; 2001:db8::53 [::2]",
            (("127.0.0.1", 5353), ("::1", 53), ("2001:db8::53", 53), ("::2", 53)),
        ),
        (value_types.OPTIONAL_PORT, "", None),
        (value_types.OPTIONAL_PORT, "587", 587),
        (value_types.HTTPS_URL, "", None),
        (value_types.HTTPS_URL, "https://login.test:8443/a/token?x=1", "https://login.test:8443/a/token?x=1"),
        (value_types.HTTPS_URL, "https://[2001:db8::1]/token", "https://[2001:db8::1]/token"),
        (value_types.SCOPE, "https://mail.test/.default  offline", "https://mail.test/.default offline"),
        (value_types.TENANT, "Example.onmicrosoft.com", "Example.onmicrosoft.com"),
        (value_types.TENANT, "", None),
        (value_types.TOKEN_TEXT, "abc8Q~x=,", "abc8Q~x=,"),
        (value_types.NETWORKS, "", TrustList()),
        (
            value_types.NETWORKS,
            ":10.0.0.5 ; fd00::/8",
            TrustList((TrustItem(network("10.0.0.5")), TrustItem(network("fd00::/8")))),
        ),
        (COLOUR, "Blue", 2),
        (value_types.optional(COLOUR), "", None),
        (value_types.optional(COLOUR), "red", 1),
    ],
)
def test_a_value_is_read_and_shown_as_it_would_be_read(value_type: ValueType[object], text: str, value: object) -> None:
    assert value_type.read(text) == value
    assert value_type.read(value_type.show(value)) == value


@pytest.mark.parametrize(
    ("value_type", "text", "words"),
    [
        (value_types.COUNT, "-1", "not a whole number"),
        (value_types.COUNT, "9" * 5000, "not a whole number"),
        (value_types.DAYS, "nan", "not a number of days"),
        (value_types.DAYS, "1e9", "not a number of days"),
        (value_types.SECRET, "a\0b", "it has characters that a login cannot transmit"),
        (value_types.SECRET, "a\udcffb", "it has characters that a login cannot transmit"),
        (value_types.PATH, "a\0b", "not a path"),
        (value_types.IPV4, "::1", "not an IPv4 address"),
        (value_types.IPV4, "localhost", "not an IPv4 address"),
        (value_types.IPV6, "127.0.0.1", "not an IPv6 address"),
        (value_types.IPV6, "fe80::1%a b", "the text after % cannot be the name of an interface"),
        (value_types.MAIL_NAME, "Foo Bar_1", "malformed domain 'Foo Bar_1'"),
        (value_types.MAIL_NAME, "[192.0.2.1]", "it is an address, not a host name"),
        (value_types.MAIL_NAME, "192.0.2.1", "it is an address, not a host name"),
        (value_types.DEVICE, "eth0 eth1", "not the name of an interface"),
        (value_types.DEVICE, "a-very-long-name", "not the name of an interface"),
        (value_types.REGION, "eu-west-1.evil.test/", "not a region"),
        (value_types.PATTERNS, "^(", "'^(' is not a regular expression: "),
        (value_types.PATTERNS, "a.test; ^(a+)+$", "repeats a group, which can take for ever"),
        (value_types.PATTERNS, "^a{99999999999}", "repeats too often"),
        (value_types.SERVERS, "dns.test", "'dns.test' is not an IP address, with or without a port"),
        (value_types.SERVERS, "127.0.0.1:0", "'0' is not a port"),
        (value_types.SERVERS, "1.2.3:53", "not an IPv4 address"),
        (value_types.SERVERS, "::%e\u00d7h0", "the text after % cannot be the name of an interface"),
        (value_types.SERVERS, "[1.2.3.4]:53", "not an IPv6 address"),
        (value_types.SELECTOR, "-a", "not a selector"),
        (value_types.SELECTOR, "a..b", "not a selector"),
        (value_types.SELECTOR, "a." * 100 + "a", "not a selector"),
        (value_types.CANON, "relaxed/", "not simple or relaxed"),
        (value_types.CANON, "simple/simple/simple", "not simple or relaxed"),
        (value_types.LOCAL_RULE, "lmtp", "not lmtp:host:port or lmtp:/path"),
        (value_types.LOCAL_RULE, "lmtp:2001:db8::1:24", "not lmtp:host:port"),
        (value_types.LOCAL_RULE, "lmtp:run/lmtp", "not lmtp:host:port"),
        (value_types.LOCAL_RULE, "lmtp:a b:24", "'a b' is not a host name"),
        (value_types.LOCAL_RULE, "lmtp:a.test:0", "'0' is not a port"),
        (value_types.LOCAL_RULE, "lmtp:/a\0", "not a path"),
        (value_types.LOCAL_RULE, "mbox", "not maildir, maildir-create, lmtp:host:port or lmtp:/path"),
        (value_types.HTTPS_URL, "http://login.test/token", "must be https"),
        (value_types.HTTPS_URL, "login.test/token", "not the address of a token endpoint"),
        (value_types.HTTPS_URL, "https:///token", "not the address of a token endpoint"),
        (value_types.HTTPS_URL, "https://user:pw@login.test/token", "not the address of a token endpoint"),
        (value_types.HTTPS_URL, "https://login.test:99999/token", "not the address of a token endpoint"),
        (value_types.HTTPS_URL, "https://[::1/token", "not the address of a token endpoint"),
        (value_types.HTTPS_URL, "https://login.test/a b", "not the address of a token endpoint"),
        (value_types.SCOPE, 'a"b', "not scopes"),
        (value_types.TENANT, "../x", "not the id of a tenant"),
        (value_types.TENANT, "a..b", "not the id of a tenant"),
        (value_types.TOKEN_TEXT, "a\x01b", "it has characters that a login cannot transmit"),
        (value_types.NETWORKS, "10.0.0.5; balancer.test", "'balancer.test' is a host name"),
        (COLOUR, "green", "not one of red, blue"),
    ],
)
def test_a_text_that_a_type_cannot_read_is_an_error(value_type: ValueType[object], text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        value_type.read(text)
    assert words in str(refused.value)
