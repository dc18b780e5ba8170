from pathlib import Path

import pytest

from mta.config import forms
from mta.config.setting import Form
from mta.delivery.localrule import LocalKind, LocalRule

COLOUR = forms.choice({"red": 1, "blue": 2})


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (forms.PORT, "587", 587),
        (forms.COUNT, "0", 0),
        (forms.COUNT, "998", 998),
        (forms.SIZE, "50M", 52428800),
        (forms.DAYS, "7", 7.0),
        (forms.DAYS, "0.5", 0.5),
        (forms.FLAG, "0", True),
        (forms.FLAG, "", False),
        (forms.TRUE, "True", True),
        (forms.TRUE, "1", False),
        (forms.OPTIONAL_PATH, "", None),
        (forms.SELECTOR, "Mail_1.2026", "mail_1.2026"),
        (forms.CANON, "relaxed", ("relaxed", "relaxed")),
        (forms.CANON, "Relaxed/Simple", ("relaxed", "simple")),
        (forms.CANON, "simple/relaxed", ("simple", "relaxed")),
        (forms.LOCAL_RULE, "Maildir", LocalRule()),
        (forms.LOCAL_RULE, "maildir-create", LocalRule(LocalKind.MAILDIR_CREATE)),
        (forms.LOCAL_RULE, "lmtp:Mail_Store:24", LocalRule(LocalKind.LMTP, "mail_store", 24)),
        (forms.LOCAL_RULE, "LMTP:192.0.2.1:24", LocalRule(LocalKind.LMTP, "192.0.2.1", 24)),
        (forms.LOCAL_RULE, "lmtp:[2001:DB8::1]:24", LocalRule(LocalKind.LMTP, "2001:db8::1", 24)),
        (forms.LOCAL_RULE, "lmtp:/run/dovecot/lmtp", LocalRule(LocalKind.LMTP, path=Path("/run/dovecot/lmtp"))),
        (forms.SECRET, 'a:b^c"d\\e %f ü', 'a:b^c"d\\e %f ü'),
        (forms.PATH, "./spool", Path("spool")),
        (forms.IPV4, "0.0.0.0", "0.0.0.0"),
        (forms.IPV6, "::0", "::"),
        (forms.IPV6, "fe80::1%eth0", "fe80::1%eth0"),
        (forms.MAIL_NAME, "Mail.Example.COM.", "mail.example.com"),
        (forms.MAIL_NAME, "", None),
        (forms.DEVICE, "eth0.12@x", "eth0.12@x"),
        (forms.REGION, "eu-west-1", "eu-west-1"),
        (forms.PATTERNS, "*.Example.com; smtp.test", ("*.example.com", "smtp.test")),
        (forms.PATTERNS, "a.test,b.test c.test", ("a.test", "b.test", "c.test")),
        (forms.PATTERNS, r"^smtp\S{1,2}; b.test", (r"^smtp\S{1,2}", "b.test")),
        (forms.SERVERS, "192.0.2.53", (("192.0.2.53", 53),)),
        (
            forms.SERVERS,
            "127.0.0.1:5353,[::1]:53; 2001:db8::53 [::2]",
            (("127.0.0.1", 5353), ("::1", 53), ("2001:db8::53", 53), ("::2", 53)),
        ),
        (COLOUR, "Blue", 2),
        (forms.optional(COLOUR), "", None),
        (forms.optional(COLOUR), "red", 1),
    ],
)
def test_a_value_is_read_and_shown_as_it_would_be_read(form: Form[object], text: str, value: object) -> None:
    assert form.read(text) == value
    assert form.read(form.show(value)) == value


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        (forms.COUNT, "-1", "not a whole number"),
        (forms.COUNT, "9" * 5000, "not a whole number"),
        (forms.DAYS, "nan", "not a number of days"),
        (forms.DAYS, "1e9", "not a number of days"),
        (forms.SECRET, "a\0b", "has octets that no login can carry"),
        (forms.SECRET, "a\udcffb", "has octets that no login can carry"),
        (forms.PATH, "a\0b", "not a path"),
        (forms.IPV4, "::1", "not an IPv4 address"),
        (forms.IPV4, "localhost", "not an IPv4 address"),
        (forms.IPV6, "127.0.0.1", "not an IPv6 address"),
        (forms.IPV6, "fe80::1%a b", "no interface can have the name after %"),
        (forms.MAIL_NAME, "Foo Bar_1", "malformed domain 'Foo Bar_1'"),
        (forms.MAIL_NAME, "[192.0.2.1]", "an address, not a host name"),
        (forms.MAIL_NAME, "192.0.2.1", "an address, not a host name"),
        (forms.DEVICE, "eth0 eth1", "no interface can have this name"),
        (forms.DEVICE, "a-very-long-name", "no interface can have this name"),
        (forms.REGION, "eu-west-1.evil.test/", "not a region"),
        (forms.PATTERNS, "^(", "'^(' is not a regular expression: "),
        (forms.PATTERNS, "a.test; ^(a+)+$", "repeats a group, which can take for ever"),
        (forms.PATTERNS, "^a{99999999999}", "repeats too often"),
        (forms.SERVERS, "dns.test", "'dns.test' is not an IP address with a port or none"),
        (forms.SERVERS, "127.0.0.1:0", "'0' is not a port"),
        (forms.SERVERS, "1.2.3:53", "not an IPv4 address"),
        (forms.SERVERS, "::%e\u00d7h0", "no interface can have the name after %"),
        (forms.SERVERS, "[1.2.3.4]:53", "not an IPv6 address"),
        (forms.SELECTOR, "-a", "not a selector"),
        (forms.SELECTOR, "a..b", "not a selector"),
        (forms.SELECTOR, "a." * 100 + "a", "not a selector"),
        (forms.CANON, "relaxed/", "not simple or relaxed"),
        (forms.CANON, "simple/simple/simple", "not simple or relaxed"),
        (forms.LOCAL_RULE, "lmtp", "lmtp takes a host and a port, or the path of a socket, behind a colon"),
        (forms.LOCAL_RULE, "lmtp:2001:db8::1:24", "lmtp takes a host and a port"),
        (forms.LOCAL_RULE, "lmtp:run/lmtp", "lmtp takes a host and a port"),
        (forms.LOCAL_RULE, "lmtp:a b:24", "'a b' is not a host name"),
        (forms.LOCAL_RULE, "lmtp:a.test:0", "'0' is not a port"),
        (forms.LOCAL_RULE, "lmtp:/a\0", "not a path"),
        (forms.LOCAL_RULE, "mbox", "not one of maildir, maildir-create, or lmtp with a place behind a colon"),
        (COLOUR, "green", "not one of red, blue"),
    ],
)
def test_what_a_form_cannot_read_is_refused_in_words(form: Form[object], text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        form.read(text)
    assert words in str(refused.value)
