"""Makes rules of the lists of hosts and senders that Exim refuses."""

import pytest

from mta.config.imports.blocks import Block, CannotImportError, Section
from mta.config.imports.exim_lists import (
    HOSTS_REFUSED,
    SENDERS_REFUSED,
    host_patterns,
    import_lists,
    sender_patterns,
)


def sections(**files: str) -> dict[str, Section]:
    return {section.file: section for section in import_lists(files)}


def entries(block: Block) -> dict[str, object]:
    return dict(block.entries)


@pytest.mark.parametrize(
    ("item", "patterns"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("192.168.23.236/31", ("192.168.23.236/31",)),
        ("3FFE:ffff:836f::/48", ("3ffe:ffff:836f::/48",)),
        ("Bad.Example.net", ("bad.example.net",)),
        ("*", ("0.0.0.0/0", "::/0")),
    ],
)
def test_an_item_of_a_list_of_hosts(item: str, patterns: tuple[str, ...]) -> None:
    assert host_patterns(item) == patterns


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("*.spam.test", "does not look up the name"),
        ("^mail[0-9]", "does not look up the name"),
        ("+ignore_unknown", "is not necessary"),
        ("@[]", "no network or host"),
        ("/etc/more", "no network or host"),
        ("net24-dbm;/etc/hosts.db", "a look-up"),
        ("10.0.0.0/8 : 192.0.2.1", "no network, no address and no host name"),
        ("10/8", "no network, no address"),
        ("a_b c", "no network, no address"),
    ],
)
def test_an_item_of_a_list_of_hosts_that_no_rule_can_have(item: str, reason: str) -> None:
    with pytest.raises(CannotImportError, match=reason):
        host_patterns(item)


@pytest.mark.parametrize(
    ("item", "pattern"),
    [
        ("bob@example.net", "bob@example.net"),
        ("example.net", "*@example.net"),
        ("*@example.net", "*@example.net"),
        ("*.example.net", "*@*.example.net"),
        ("*bulk@example.net", "*bulk@example.net"),
        ("*@*bad.test", "*@*bad.test"),
        ("*", "*"),
        ("^$", "<>"),
        (r"^spam[0-9]+@.*\.test$", r"^spam[0-9]+@.*\.test"),
        (r"^spam", r"^spam.*"),
        (r"^(?i)a@b\.test\$", r"^a@b\.test\$.*"),
        (r"^(a|b)@c\.test$", r"^(a|b)@c\.test"),
        (r"^[|]@c\.test$", r"^[|]@c\.test"),
    ],
)
def test_an_item_of_a_list_of_senders(item: str, pattern: str) -> None:
    assert sender_patterns(item) == (pattern,)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("@@lsearch;/etc/x", "names another list"),
        ("lsearch;/etc/x", "a look-up"),
        ("+caseful", "an option"),
        ("a*b@c.test", "first character"),
        ("x@a*.test", "first character"),
        ("x@+list", "a list or a regular expression"),
        ("^a|b", "branches"),
        (r"^(?=a)b", "cannot be used"),
        ("bob@", "not an address pattern"),
    ],
)
def test_an_item_of_a_list_of_senders_that_no_rule_can_have(item: str, reason: str) -> None:
    with pytest.raises(CannotImportError, match=reason):
        sender_patterns(item)


def test_a_negated_item_is_an_exception_of_the_items_behind_it() -> None:
    text = "192.168.10.0/24\n!172.16.10.128/26\n172.16.10.0/24\n10.0.0.0/8\n"
    first, second = sections(local_host_blacklist=text)[HOSTS_REFUSED].blocks
    assert entries(first)["client"] == ("192.168.10.0/24",)
    assert entries(first)["unless.client"] == ("trusted",)
    assert entries(second)["client"] == ("172.16.10.0/24", "10.0.0.0/8")
    assert entries(second)["unless.client"] == ("trusted", "172.16.10.128/26")


def test_a_list_that_ends_with_a_negated_item_refuses_all_others() -> None:
    (block,) = sections(local_sender_blacklist="!*@example.org\n! boss@example.net\n")[SENDERS_REFUSED].blocks
    assert "sender" not in entries(block)
    assert entries(block)["unless.sender"] == ("*@example.org", "boss@example.net")


def test_exceptions_of_hosts_and_senders_hold_for_both_lists() -> None:
    found = sections(
        local_sender_whitelist="boss@spam.test\n",
        host_local_deny_exceptions="192.0.2.7\n",
        local_host_blacklist="192.0.2.0/24\n",
        local_sender_blacklist="spam.test\n",
    )
    for name in (HOSTS_REFUSED, SENDERS_REFUSED):
        (block,) = found[name].blocks
        assert entries(block)["unless.client"] == ("trusted", "192.0.2.7")
        assert entries(block)["unless.sender"] == ("boss@spam.test",)
        assert entries(block)["unless.recipient"] == ("postmaster@*",)


def test_an_exception_behind_a_negated_one_is_left_out() -> None:
    found = sections(host_local_deny_exceptions="192.0.2.7\n!192.0.2.8\n192.0.2.0/24\n", local_host_blacklist="*\n")
    assert [line.number for line in found["host_local_deny_exceptions"].left_out] == [2, 3]
    (block,) = found[HOSTS_REFUSED].blocks
    assert entries(block)["unless.client"] == ("trusted", "192.0.2.7")


def test_exceptions_alone_have_no_effect() -> None:
    (section,) = import_lists({"local_host_whitelist": "192.0.2.7\n"})
    assert not section.blocks
    assert "no effect" in section.comments[0]


def test_a_list_that_would_need_too_many_rules_is_refused_at_once() -> None:
    text = "".join(f"d{number}.test\n!e{number}.test\n" for number in range(20_000))
    with pytest.raises(ValueError, match="local_sender_blacklist: negated items and others take"):
        sections(local_sender_blacklist=text)
