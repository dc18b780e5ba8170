"""Tests which domain From names."""

import pytest

from mta.dkim.author import MAX_FROM, author_domain


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("alice@Example.ORG", "example.org"),
        ("<alice@example.org>", "example.org"),
        ('"Smith, Alice (sales)" <alice@example.org>', "example.org"),
        ("Smith, Alice <alice@example.org>", "example.org"),
        ("alice@example.org (Alice)", "example.org"),
        ("Alice\r\n\t<alice@example.org>", "example.org"),
        ('"a@b.test" <alice@example.org>', "example.org"),
        ('"odd@local"@example.org', "example.org"),
        ("=?utf-8?q?Z=C3=BCrich?= <a@b.example.org>", "b.example.org"),
        ("Zürich <a@bücher.example>", "xn--bcher-kva.example"),
        ("root@localhost", "localhost"),
        ("alice@old.test <alice@example.org>", "example.org"),
        ("Alice <alice@example.org>,", "example.org"),
        ('Alice (so "called), really <alice@example.org>', "example.org"),
        ("Alice (a (b) <c@d.test>) <alice@example.org>", "example.org"),
        (r"Al\"ice <alice@example.org>", "example.org"),
        (r'"Al\", <x@y.test>" <alice@example.org>', "example.org"),
        ("Team: alice@example.org;", "example.org"),
        ("<@via.test,@b.test:alice@example.org>", "example.org"),
        ("alice @ example.org", "example.org"),
    ],
)
def test_the_domain_of_one_author_is_found(value, domain):
    assert author_domain(f"To: x@y.test\r\nFrom: {value}\r\nSubject: hi\r\n".encode()) == domain


@pytest.mark.parametrize(
    "value",
    [
        "a@b.test, c@d.test",
        "a@b.test,c@b.test",
        "Team: a@b.test, c@d.test;",
        "",
        "root",
        "<>",
        "a@[192.0.2.1]",
        "a@under_score.test",
        "a@",
        "a@b.test c",
        "<a@b.test> <>",
        "a@[IPv6:2001:db8::1]",
        "a@b.test " + "x" * MAX_FROM,
    ],
)
def test_none_or_more_than_one_author_gives_no_domain(value):
    assert author_domain(f"From: {value}\r\n".encode()) is None


def test_no_from_field_or_two_of_them_give_no_domain():
    assert author_domain(b"To: a@b.test\r\n") is None
    assert author_domain(b"From: a@b.test\r\nfrom: a@b.test\r\n") is None


def test_octets_that_are_not_text_do_no_harm():
    assert author_domain(b"From: \xff\xfe <a@b.test>\r\n") == "b.test"
    assert author_domain(b"From: a@\xff\xfe.test\r\n") is None
