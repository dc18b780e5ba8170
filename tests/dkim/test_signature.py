"""Tests signatures with the verifiers of dkimpy and OpenDKIM, and with the example of RFC 8463."""

import base64
import hashlib
import random
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.dkim_verifiers import dkimpy_accepts, opendkim, opendkim_refuses, records
from mta.dkim.author import author_domain
from mta.dkim.canonical import RELAXED, SIMPLE, canonical_fields
from mta.dkim.keys import SigningKey, new_key
from mta.dkim.signature import MAX_FIELDS, MAX_HEADER, SIGNED, Canon, body_digest, read_header, unsigned_fields
from mta.message.body import CHUNK_BYTES, FileBody, MemoryBody

RELAXED_BOTH = Canon()
RSA = new_key("s1", "rsa")
ED25519 = new_key("s2", "ed25519")
DNS = records("example.org", [RSA, ED25519])
CANONS = [Canon(header, body) for header in (RELAXED, SIMPLE) for body in (RELAXED, SIMPLE)]
MAIL = b"From: Alice <alice@Example.org>\r\nTo: bob@b.test\r\nSubject: hello\r\n\r\nHello, Bob.\r\n"


def sign(message, *keys, canon=RELAXED_BOTH):
    body = message if isinstance(message, FileBody) else MemoryBody(message)
    header = read_header(body)
    domain = author_domain(header.block)
    unsigned = unsigned_fields(header, body_digest(body, header, canon.body), domain, keys or (RSA,), canon)
    return b"".join(field.sign() for field in unsigned)


def signed(message, *keys, canon=RELAXED_BOTH):
    return sign(message, *keys, canon=canon) + message


def tags(field):
    value = re.sub(rb"\s+", b"", field.partition(b":")[2])
    return dict(tag.split(b"=", 1) for tag in value.split(b";"))


def generated(seed):
    """Make a message with everything that is known to break signatures."""
    chance = random.Random(seed)
    words = ["a", "Ünï", "  two", "\ttab", "x" * 60, "=20", "trailing ", ";", "b=abc", ""]
    names = ["Subject", "To", "cc", "X-Other", "DATE", "list-unsubscribe", "Received", "Comments", "Content-Type"]
    lines = [f"From: A <a{seed}@example.org>"]
    for _ in range(chance.randrange(12)):
        value = chance.choice(["", "\r\n ", "\r\n\t", " \r\n  "]).join(chance.choices(words, k=chance.randrange(1, 6)))
        lines.append(f"{chance.choice(names)}:{chance.choice(['', ' ', '  ', chr(9)])}{value}")
    chance.shuffle(lines)
    header = "".join(line + "\r\n" for line in lines).encode()
    morsels = [b"text", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b" \r\n", b"\x80\xff", "ü".encode(), b".", b"y" * 900]
    body = b"".join(chance.choices(morsels, k=chance.randrange(30)))
    return header + b"\r\n" + body


# A mail program that leaves out the last line end gets it from whoever sends the message on.
def complete(message):
    return message if message.endswith(b"\r\n") else message + b"\r\n"


AFTER_COLON = re.compile(rb"^([A-Za-z-]+:)[ \t]*(?:\r\n[ \t]+)*", re.MULTILINE)
MESSAGES = [generated(seed) for seed in range(200)]


@pytest.mark.parametrize("key", [RSA, ED25519], ids=lambda key: key.type)
@pytest.mark.parametrize("canon", CANONS, ids=lambda canon: f"{canon.header}-{canon.body}")
def test_dkimpy_takes_the_signatures_of_two_hundred_messages(canon, key):
    refused = [one for one in MESSAGES if not dkimpy_accepts(sign(one, key, canon=canon) + complete(one), DNS)]
    assert refused == []


@pytest.mark.skipif(opendkim() is None, reason="opendkim is not installed")
@pytest.mark.parametrize("key", [RSA, ED25519], ids=lambda key: key.type)
@pytest.mark.parametrize("canon", CANONS, ids=lambda canon: f"{canon.header}-{canon.body}")
def test_opendkim_takes_the_signatures_of_two_hundred_messages(canon, key):
    messages = [AFTER_COLON.sub(rb"\1 ", one) for one in MESSAGES] if canon.header == SIMPLE else MESSAGES
    assert opendkim_refuses([sign(one, key, canon=canon) + complete(one) for one in messages], DNS) == {}


@pytest.mark.skipif(opendkim() is None, reason="opendkim is not installed")
def test_opendkim_refuses_a_changed_message():
    changed = [signed(MAIL, key).replace(b"Bob.", b"Eve.") for key in (RSA, ED25519)]
    changed += [signed(MAIL, key).replace(b": hello", b": bye") for key in (RSA, ED25519)]
    assert sorted(opendkim_refuses(changed, DNS)) == [0, 1, 2, 3]


@pytest.mark.parametrize("key", [RSA, ED25519], ids=lambda key: key.type)
@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b"Bob.", b"Eve."),
        (b": hello", b": bye"),
        (b"\r\n\r\nHello", b"\r\nSubject: another\r\n\r\nHello"),
        (b"\r\n\r\nHello", b"\r\nReply-To: eve@e.test\r\n\r\nHello"),
        (b"From: Alice", b"From: eve@e.test\r\nFrom: Alice"),
    ],
)
def test_a_changed_or_added_field_breaks_the_signature(key, was, now):
    message = signed(MAIL, key)
    assert was in message
    assert dkimpy_accepts(message, DNS)
    assert not dkimpy_accepts(message.replace(was, now), DNS)


def test_fields_that_others_add_at_the_top_do_no_harm():
    assert dkimpy_accepts(b"Received: from us\r\nX-Spam: no\r\n" + signed(MAIL), DNS)


def test_each_listed_field_is_signed_once_more_than_it_is_there():
    listed = tags(sign(MAIL.replace(b"Subject", b"To: c@c.test\r\nX-Other: 1\r\nSubject")))[b"h"].decode().split(":")
    present = {"from": 1, "to": 2, "subject": 1}
    assert {name: listed.count(name) for name in listed} == {name: present.get(name, 0) + 1 for name in SIGNED}


def test_the_field_has_the_same_tags_as_that_of_the_replaced_image():
    field = tags(sign(MAIL, canon=Canon(SIMPLE, SIMPLE)))
    assert list(field) == [b"v", b"a", b"c", b"d", b"q", b"s", b"h", b"bh", b"b"]
    fixed = [field[name] for name in (b"v", b"a", b"c", b"d", b"q", b"s")]
    assert fixed == [b"1", b"rsa-sha256", b"simple/simple", b"example.org", b"dns/txt", b"s1"]


def test_each_key_signs():
    message = signed(MAIL, RSA, ED25519)
    assert message.count(b"DKIM-Signature:") == 2
    assert dkimpy_accepts(message, DNS, 0)
    assert dkimpy_accepts(message, DNS, 1)


def test_lines_are_short_and_no_domain_is_cut():
    domain = ".".join(["a-very-long-label-of-a-domain"] * 8)
    message = MAIL.replace(b"Example.org", domain.encode())
    field = sign(message)
    lines = field.split(b"\r\n")
    assert f"d={domain};".encode() in field
    assert all(len(line) <= 78 or domain.encode() in line for line in lines)
    assert dkimpy_accepts(field + message, records(domain, [RSA]))


def test_a_header_with_too_many_fields_is_not_signed():
    many = b"To: x@x.test\r\n" * (MAX_FIELDS - 3)
    assert dkimpy_accepts(signed(many + MAIL), DNS)
    assert sign(b"To: y@y.test\r\n" + many + MAIL) == b""


def test_a_header_without_a_body_is_signed():
    message = b"From: alice@example.org\r\n"
    assert dkimpy_accepts(signed(message) + b"\r\n", DNS)


@pytest.mark.parametrize("canon", CANONS, ids=lambda canon: f"{canon.header}-{canon.body}")
@pytest.mark.parametrize("shift", range(-4, 5))
def test_a_file_is_signed_as_the_same_octets_in_memory(canon, shift, tmp_path: Path):
    pad = b"X-Pad: " + b"p" * (CHUNK_BYTES // 2) + b"\r\n"
    text = pad + MAIL + b"z" * (CHUNK_BYTES - len(pad) - len(MAIL) + shift) + b" \t\r\n\r\n \r\nmore  \r\n" * 9000
    path = tmp_path / "body"
    path.write_bytes(text)
    assert sign(FileBody(path, len(text)), ED25519, canon=canon) == sign(text, ED25519, canon=canon)


def test_a_header_that_spans_several_pieces_is_read_whole(tmp_path: Path):
    block = b"".join(b"X-Pad: %0100d\r\n" % number for number in range(2000)) + b"From: a@example.org\r\n"
    path = tmp_path / "body"
    text = block + b"\r\nbody\r\n"
    path.write_bytes(text)
    body = FileBody(path, len(text))
    header = read_header(body)
    assert header is not None
    assert (header.block, header.size) == (block, len(block) + 2)
    assert body_digest(body, header, SIMPLE) == hashlib.sha256(b"body\r\n").digest()


def test_a_header_without_end_is_not_read(tmp_path: Path):
    path = tmp_path / "body"
    path.write_bytes(b"X: " + b"x" * (MAX_HEADER + 2 * CHUNK_BYTES))
    assert read_header(FileBody(path, path.stat().st_size)) is None


def test_a_file_that_is_gone_is_an_error_of_the_disk(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        read_header(FileBody(tmp_path / "gone", 10))


def test_the_example_of_rfc_8463_comes_out_to_the_octet():
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = SigningKey("brisbane", Ed25519PrivateKey.from_private_bytes(seed))
    body = MemoryBody(b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n")
    bh = base64.b64encode(body_digest(body, read_header(MemoryBody(b"")), RELAXED))
    assert bh == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    fields = [
        (b"From", b" Joe SixPack <joe@football.example.com>\r\n"),
        (b"To", b" Suzie Q <suzie@shopping.example.net>\r\n"),
        (b"Subject", b" Is dinner ready?\r\n"),
        (b"Date", b" Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"),
        (b"Message-ID", b" <20030712040037.46341.5F8J@football.example.com>\r\n"),
    ]
    itself = (
        b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;"
        b"\r\n bh=" + bh + b";\r\n b=\r\n"
    )
    text = canonical_fields(RELAXED, [*fields, (b"DKIM-Signature", itself)]).removesuffix(b"\r\n")
    signature = b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    assert base64.b64encode(key.sign(text)) == signature
