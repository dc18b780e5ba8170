"""The users' file: names, secrets and senders of each line, and bad lines that are told without a part of them."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.smtp.address import parse_address
from mta.users import users_file
from mta.users.secrets import PlainSecret, read_secret
from mta.users.users_file import (
    MAX_LINE,
    BadLine,
    SenderList,
    User,
    describe_bad_lines,
    read_senders,
    read_user,
    read_users,
)
from tests.strategies import domains
from tests.users.made_secrets import BCRYPT, MADE, SCRAM, SHA512, TOO_WEAK


def read(text):
    return read_users(text, lambda _secret: "")


def only(line):
    users, bad = read(line)
    assert bad == ()
    (user,) = users
    return user


def problem(line):
    users, bad = read(line)
    assert users == ()
    (found,) = bad
    assert found.number == 1
    return found.reason


def test_a_file_has_users_comments_and_blank_lines():
    users, bad = read(f"# people\n\nalice:{BCRYPT}\r\n  bob@a.test|{{SHA512-CRYPT}}{SHA512}\n #carol:x\n")
    assert bad == ()
    assert users == (User("alice", read_secret(BCRYPT)), User("bob@a.test", read_secret(SHA512)))


@pytest.mark.parametrize("secret", [made for made, _ in MADE.values()])
def test_every_kind_of_secret_may_be_followed_by_fields_and_senders(secret):
    for separator in ":|":
        for rest in ("", f"{separator}1000{separator}1000{separator}{separator}"):
            assert only(f"a{separator}{secret}{rest} x@a.test").secret == read_secret(secret)
            assert only(f"a{separator}{secret}{rest}\tx@a.test, @b.test").senders == SenderList(
                frozenset({"x@a.test"}), frozenset({"b.test"})
            )
            assert only(f"a{separator}{secret}{rest}").senders is None


@pytest.mark.parametrize(
    "rest",
    [
        ":1000:1000:John Doe:/home/alice:/bin/sh",
        "::::::userdb_quota_rule=*:storage=1G",
        "::::::userdb_quota_rule=*:storage=1G userdb_mail=maildir",
        " nopassword=y",
        ":",
    ],
)
def test_fields_of_dovecot_are_passed_over(rest):
    assert only(f"alice:{BCRYPT}{rest}") == User("alice", read_secret(BCRYPT))


@pytest.mark.parametrize("rest", [" a@b.test:1000", ":1000: a@b.test:x", ": a@[IPv6:::1]", ":: a@x.test c:d"])
def test_senders_before_a_further_field_are_a_mistake_and_not_passed_over(rest):
    assert "sender" in problem(f"alice:{BCRYPT}{rest}")


def test_a_plain_password_ends_at_the_separator_of_its_line():
    assert only("a:{PLAIN}b|c:1000:1000::/home/a").secret == PlainSecret("b|c")
    assert only("a|{PLAIN}b:c|").secret == PlainSecret("b:c")
    assert only("a:{PLAIN}b: a@b.test").secret == PlainSecret("b")


@pytest.mark.parametrize("line", ["a:{PLAIN}hunter2:hunter2", "a|{PLAIN}hunter|2x", "a:{plain}b:2hunter a@b.test"])
def test_a_part_of_a_plain_password_is_not_taken_for_the_whole(line):
    words = problem(line)
    assert "separates the parts" in words
    assert "hunter" not in words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hunter2", "no : between"),
        ("alice:", "no secret"),
        ("alice: hunter2", "no secret"),
        (":hunter2", "name of a user"),
        ("al ice:hunter2", "name of a user"),
        ("al\u200bice:hunter2", "name of a user"),
        ("x" * 256 + ":hunter2", "name of a user"),
        ("alice:hunter2", "{PLAIN}"),
        ("alice:hunter2,bob:hunter2", "{PLAIN}"),
        ("alice:{PLAIN}correct hunter2", "not an address"),
        (f"alice:{BCRYPT} hunter2@", "not an address"),
        (f"alice:{BCRYPT} @hunter2_", "not an address"),
        (f"alice:{BCRYPT} " + "x" * MAX_LINE, "longer than"),
        *((f"alice:{weak}", "htpasswd -B") for weak in TOO_WEAK),
    ],
)
def test_a_bad_line_is_told_without_a_part_of_it(line, words):
    told = problem(line)
    assert words in told
    assert "hunter2" not in told
    assert "alice" not in told


def test_a_bad_line_leaves_the_others():
    users, bad = read(f"\ufeffalice:{BCRYPT}\n\nbob:secret\n# x\nalice:{SHA512}\ncarol:{SCRAM}")
    assert [user.name for user in users] == ["alice", "carol"]
    assert [line.number for line in bad] == [3, 5]
    assert users[0].secret == read_secret(BCRYPT)
    assert "line above" in bad[1].reason


def test_a_secret_that_this_system_cannot_check_is_a_bad_line():
    users, bad = read_users(f"a:{BCRYPT}\nb:{SCRAM}", lambda secret: "no bcrypt here" * (secret == read_secret(BCRYPT)))
    assert [user.name for user in users] == ["b"]
    assert bad == (BadLine(1, "no bcrypt here"),)


def test_the_number_of_users_and_of_bad_lines_is_bounded(monkeypatch):
    monkeypatch.setattr(users_file, "MAX_USERS", 3)
    users, bad = read("".join(f"u{number}:{{PLAIN}}x\n" for number in range(9)))
    assert len(users) == 3
    assert [line.number for line in bad] == [4]
    users, bad = read("x\n" * 5000)
    assert len(bad) == 1000


def test_bad_lines_are_told_by_reason():
    bad = [BadLine(number, "odd") for number in (1, 3, 5, 7, 9, 11, 13)] + [BadLine(2, "even")]
    assert describe_bad_lines(bad) == ["lines 1, 3, 5, 7, 9 and 2 more: odd", "line 2: even"]


@pytest.mark.parametrize(
    ("words", "allowed", "others"),
    [
        (["a@b.test"], ["a@b.test", "A@B.test"], ["b@b.test", "a@c.test"]),
        (["@b.test"], ["a@b.test", "x@B.TEST"], ["a@c.test", "a@sub.b.test"]),
        (["*@b.test"], ["a@b.test"], ["a@c.test"]),
        (["A@b.test", "@c.test"], ["a@b.test", "x@c.test"], ["x@b.test", "postmaster"]),
        (["@bücher.test"], ["a@xn--bcher-kva.test"], ["a@b.test"]),
        # The Kelvin sign, whose lower case is the letter k.
        (["mark@b.test"], ["Mark@b.test"], ["mar\u212a@b.test"]),
    ],
)
def test_a_list_allows_its_addresses_and_domains(words, allowed, others):
    senders = read_senders(words)
    assert all(senders.allows(parse_address(address)) for address in allowed)
    assert not any(senders.allows(parse_address(address)) for address in others)


def test_a_star_or_no_list_allows_any_sender():
    assert read_senders([]) is None
    assert read_senders(["a@b.test", "*"]) is None


names = st.text("abcXYZ0129._-+@", min_size=1, max_size=20)
sender_words = st.one_of(
    domains.map("@{}".format), st.builds("{}@{}".format, st.text("abc.+=", min_size=1, max_size=9), domains)
)


@given(
    names,
    st.sampled_from([made for made, _ in MADE.values()]),
    st.sampled_from(":|"),
    st.lists(sender_words, max_size=5),
)
def test_a_line_that_was_formatted_is_read_back(name, secret, separator, words):
    senders = read_senders(words)
    line = f"{name}{separator}{secret}" + (f" {senders}" if senders else "")
    assert read_user(line, lambda _secret: "") == User(name, read_secret(secret), senders)


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["a", ":", "|", " ", "\n", "{PLAIN}", "$6$", "@", "#", "="])).map("".join)
)
@example("a:{PLAIN}x ,")
@example(":")
def test_any_text_is_read_without_an_error(text):
    read_users(text)


@pytest.mark.parametrize(
    "piece", ["a", ":", " ", "a:", "a ", "@", "=", "$6$", "{", ":\t", "a:{PLAIN}x a@b", ",", "\n", "a:b\n"]
)
def test_the_time_is_linear(piece):
    """A quadratic step would take minutes here."""
    begin = time.process_time()
    read(piece * (2_000_000 // len(piece)))
    read("a:{PLAIN}x" + piece * (MAX_LINE // len(piece)))
    assert time.process_time() - begin < 60
