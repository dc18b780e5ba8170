"""The parameters of MAIL and RCPT, and the encodings of DSN parameters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.address import Address, is_deceptive
from mta.smtp.parameters import (
    Notify,
    Recipient,
    decode_envid,
    decode_original,
    decode_xtext,
    encode_original,
    encode_xtext,
    without_utf8,
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


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a+3Db", "a=b"),
        ("a+3db", "a=b"),
        *((text, text) for text in ("a=b", "a+4", "a+4g", "a+zz", "a+0D+0A", "+FC", "a+E2+80+AE", "bob+tag")),
    ],
)
def test_xtext_that_is_malformed_or_hides_a_control_stands_for_itself(text, meant):
    assert decode_xtext(text) == meant
    assert decode_xtext(encode_xtext(meant)) == meant


@pytest.mark.parametrize("value", ["", "x" * 101, "a\x07", "\u00fc"])
def test_an_envid_that_no_host_can_be_given_is_left_out(value):
    assert decode_envid(value) is None


@pytest.mark.parametrize(
    ("value", "original"),
    [
        ("rfc822;j+C3+B6rg@b+C3+BCcher.test", "utf-8;j\u00f6rg@b\u00fccher.test"),
        ("RFC822;j+c3+b6rg@b.test", "utf-8;j\u00f6rg@b.test"),
        ("rfc822;j\u00f6rg@b.test", "utf-8;j\u00f6rg@b.test"),
        ("utf-8;j+C3+B6rg@b.test", "utf-8;j\u00f6rg@b.test"),
        ("utf-8;j\\x{f6}rg@b.test", "utf-8;j\u00f6rg@b.test"),
        ("utf-8;a+b@b.test", "utf-8;a+b@b.test"),
        ("Bob@b.test", "rfc822;Bob@b.test"),
        ("rfc822;bob+tag@b.test", "rfc822;bob+tag@b.test"),
        ("rfc822;a=b", "rfc822;a=b"),
        ("x400;c+3Dde", "x400;c=de"),
        ("unknown;a", "unknown;a"),
        ("rfc822;a+0D+0Ab", "rfc822;a+0D+0Ab"),
        ("utf-8;a\\x{202E}b", "utf-8;a\\x{202E}b"),
        ("utf-8;\\x{D800}", "utf-8;\\x{D800}"),
        ("utf-8;\\x{110000}", "utf-8;\\x{110000}"),
    ],
)
def test_an_original_recipient_is_read_as_it_was_meant_or_as_it_was_written(value, original):
    assert decode_original(value) == original
    for utf8 in (False, True):
        assert decode_original(encode_original(original, utf8=utf8)) == original


@pytest.mark.parametrize(
    "value",
    ["", ";", "rfc822;", ";a", "rf c;a", "x400;j+C3+B6rg", "rfc822;a\u202eb", "a\u202eb;x", "rfc822;" + "x" * 500],
)
def test_an_original_recipient_that_cannot_be_passed_on_is_left_out(value):
    assert decode_original(value) is None


@pytest.mark.parametrize(
    ("original", "ascii_form"),
    [
        ("utf-8;info@b\u00fccher.test", "rfc822;info@xn--bcher-kva.test"),
        ("utf-8;info@b.test", "rfc822;info@b.test"),
        ("utf-8;j\u00f6rg@b\u00fccher.test", "utf-8;j\u00f6rg@b\u00fccher.test"),
        ("utf-8;no address", "utf-8;no address"),
        ("rfc822;a@b.test", "rfc822;a@b.test"),
    ],
)
def test_an_original_recipient_for_a_host_without_smtputf8_has_a_labels(original, ascii_form):
    assert without_utf8(original) == ascii_form


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
