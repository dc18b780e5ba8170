"""Tests the canonical forms against dkimpy and the examples of RFC 6376."""

import hashlib

import pytest
from dkim.canonicalization import CanonicalizationPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.dkim.canonical import RELAXED, SIMPLE, body_hash, canonical_fields

FORMS = [SIMPLE, RELAXED]

_MORSELS = st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b" ", b"\t", b"  ", b" \t ", b" \r\n", b"\t\r\n", b"a", b"bc d", b"\xc3\xbc", b"."]
)
#: Bodies as they travel: only CRLF ends a line, and the last line is complete.
bodies = (
    st.lists(_MORSELS, max_size=24).map(b"".join).map(lambda text: text if text.endswith(b"\r\n") else text + b"\r\n")
)


def digest(form: str, *pieces: bytes) -> bytes:
    hashing = body_hash(form)
    for piece in pieces:
        hashing.update(piece)
    return hashing.digest()


def sha(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def by_dkimpy(form: str, body: bytes) -> bytes:
    return sha(CanonicalizationPolicy.from_c_value(f"{form}/{form}".encode()).canonicalize_body(body))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=300)
@given(body=bodies)
def test_a_body_hashes_as_dkimpy_has_it(form, body):
    assert digest(form, body) == by_dkimpy(form, body)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=200)
@given(body=bodies, cuts=st.lists(st.integers(0, 120), max_size=8).map(sorted))
def test_the_pieces_a_body_comes_in_make_no_difference(form, body, cuts):
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert digest(form, *pieces) == digest(form, body)
    assert digest(form, *(body[at : at + 1] for at in range(len(body)))) == digest(form, body)


# RFC 6376 section 3.4.5, and what follows from 3.4.3 and 3.4.4.
@pytest.mark.parametrize(
    ("form", "body", "canonical"),
    [
        (SIMPLE, b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n"),
        (RELAXED, b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (SIMPLE, b"", b"\r\n"),
        (RELAXED, b"", b""),
        (SIMPLE, b"\r\n\r\n", b"\r\n"),
        (RELAXED, b" \r\n\t\r\n", b""),
        (SIMPLE, b"no end", b"no end\r\n"),
        (RELAXED, b"no end", b"no end\r\n"),
        (RELAXED, b"no end \t", b"no end\r\n"),
    ],
)
def test_the_canonical_body_is_that_of_the_standard(form, body, canonical):
    assert digest(form, body) == sha(canonical)


@pytest.mark.parametrize("form", FORMS)
def test_a_million_empty_lines_are_counted_and_not_kept(form):
    many = b"\r\n" * 100_000
    pieces = [b"a\r\n", *[many] * 10, b"b\r\n"]
    assert digest(form, *pieces) == sha(b"a\r\n" + many * 10 + b"b\r\n")
    assert digest(form, *pieces[:-1]) == sha(b"a\r\n")


def test_a_line_of_a_million_blanks_takes_no_more_time_than_another():
    blanks = b" \t" * 500_000
    assert digest(RELAXED, b"a" + blanks + b"b\r\n") == sha(b"a b\r\n")
    assert digest(RELAXED, b"a" + blanks + b"\r\n") == sha(b"a\r\n")


def test_header_fields_are_written_as_the_standard_has_them():
    fields = [(b"A", b" X\r\n"), (b"B ", b" Y\t\r\n\tZ  \r\n")]
    assert canonical_fields(RELAXED, fields) == b"a:X\r\nb:Y Z\r\n"
    assert canonical_fields(SIMPLE, fields) == b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
