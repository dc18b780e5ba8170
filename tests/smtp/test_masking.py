"""Secrets of a login are masked in replies: whole, in base64, and cut into pieces."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.masking import SecretMask
from mta.smtp.replies import Reply

TOKEN = "ya29.a0AfH6SMBx-abc_DEFghiJKLmnoPQRstuVWXyz0123456789"
RESPONSE = base64.b64encode(f"user=me@example.org\1auth=Bearer {TOKEN}\1\1".encode()).decode()


def mask() -> SecretMask:
    found = SecretMask(["me@example.org", TOKEN])
    found.add(RESPONSE)
    return found


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"bad token {TOKEN}!", "bad token ****!"),
        (f"bad token {TOKEN.upper()}!", "bad token ****!"),
        (f"bad: {base64.b64encode(TOKEN.encode()).decode()}", "bad: ****"),
        (f"unknown command AUTH XOAUTH2 {RESPONSE}", "unknown command AUTH XOAUTH2 ****"),
        (f"line too long: {RESPONSE[:40]}...", "line too long: ****..."),
        (f"XOAUTH2={RESPONSE[20:60]}:x", "XOAUTH2=****:x"),
        (f"{RESPONSE[30:47]}", "****"),
        (f"{RESPONSE[30:47].swapcase()}", "****"),
        (f"{TOKEN[:20]} {TOKEN[20:40]}", "**** ****"),
        ("nothing secret in Me@Example.org's line", "nothing secret in ****'s line"),
        ("5.7.8 Username and Password not accepted", "5.7.8 Username and Password not accepted"),
        ("", ""),
    ],
)
def test_secrets_and_parts_of_them_are_masked(text: str, masked: str) -> None:
    assert mask().text(text) == masked


def test_each_line_of_a_reply_is_masked() -> None:
    lines = tuple(RESPONSE[start : start + 32] for start in range(0, 64, 32))
    masked = mask().reply(Reply(535, "5.7.8", ("no", *lines)))
    assert masked == Reply(535, "5.7.8", ("no", "****", "****"))


def test_a_secret_that_is_added_later_is_masked_too() -> None:
    found = mask()
    assert found.text("the-other-secret") == "the-other-secret"
    found.add("other-secret")
    assert found.text("the-other-secret") == "the-****"


@pytest.mark.parametrize("short", ["", "abc"])
def test_short_words_are_not_masked(short: str) -> None:
    assert SecretMask([short]).text("abc authentication failed") == "abc authentication failed"


@given(start=st.integers(0, len(RESPONSE) - 16), length=st.integers(16, 60), before=st.text(max_size=20))
def test_any_longer_part_of_a_response_is_masked(start: int, length: int, before: str) -> None:
    part = RESPONSE[start : start + length]
    shown = mask().text(f"{before} {part}")
    assert part not in shown
    assert shown.endswith("****")
