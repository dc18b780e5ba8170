import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import Address, is_deceptive
from mta.smtp.parameters import (
    Notify,
    Recipient,
    decode_original,
    decode_xtext,
    encode_original,
    encode_xtext,
)

printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
letters = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30).filter(
    lambda text: not is_deceptive(text)
)


@given(printable)
@settings(max_examples=100, deadline=None)
def test_xtext_comes_back_as_it_was(text):
    encoded = encode_xtext(text)
    assert " " not in encoded
    assert "=" not in encoded
    assert decode_xtext(encoded) == text


@given(letters, st.booleans())
@settings(max_examples=200, deadline=None)
def test_an_original_recipient_comes_back_as_it_was(text, utf8):
    encoded = encode_original(f"utf-8;{text}", utf8=utf8)
    assert " " not in encoded
    assert utf8 or encoded.isascii()
    assert decode_original(encoded) == f"utf-8;{text}"


@given(printable.filter(bool))
@settings(max_examples=100, deadline=None)
def test_an_ascii_original_recipient_is_xtext(text):
    encoded = encode_original(f"rfc822;{text}", utf8=False)
    assert encoded == f"rfc822;{encode_xtext(text)}"
    assert decode_original(encoded) == f"rfc822;{text}"


@pytest.mark.parametrize("text", ["a=b", "a+4", "a+4g", "a+2b", "a b", "a+0D+0A", "\u00fc", "+FC"])
def test_malformed_xtext_is_refused(text):
    with pytest.raises(ValueError, match="xtext"):
        decode_xtext(text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "rfc822",
        "rfc822;",
        ";a",
        "rf c;a",
        "utf-8;\\x{0A}",
        "utf-8;\\x{D800}",
        "utf-8;\\x{110000}",
        "utf-8;a+b",
    ],
)
def test_a_malformed_original_recipient_is_refused(value):
    with pytest.raises(ValueError, match=r"ORCPT|address|xtext"):
        decode_original(value)


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        (None, {Notify.FAILURE, Notify.DELAY}),
        (Notify.NEVER, set()),
        (Notify.SUCCESS, {Notify.SUCCESS}),
        (Notify.FAILURE | Notify.SUCCESS, {Notify.FAILURE, Notify.SUCCESS}),
    ],
)
def test_a_recipient_wants_the_reports_asked_for(notify, wanted):
    recipient = Recipient(Address("a", "x.test"), notify)
    assert {event for event in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if recipient.wants(event)} == wanted
