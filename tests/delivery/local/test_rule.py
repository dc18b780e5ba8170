"""Tests the text of LOCAL_DELIVERY."""

from pathlib import Path

import pytest

from mta.delivery.local.rule import LocalKind, LocalRule


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (LocalRule(), "maildir"),
        (LocalRule(LocalKind.MAILDIR_CREATE), "maildir-create"),
        (LocalRule(LocalKind.LMTP, "dovecot", 24), "lmtp:dovecot:24"),
        (LocalRule(LocalKind.LMTP, "2001:db8::1", 24), "lmtp:[2001:db8::1]:24"),
        (LocalRule(LocalKind.LMTP, path=Path("/run/lmtp")), "lmtp:/run/lmtp"),
    ],
)
def test_a_rule_gives_the_text_of_the_setting(rule: LocalRule, text: str) -> None:
    assert str(rule) == text
