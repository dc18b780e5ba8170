"""Octets of a DNS server, honest or not."""

import struct
import sys
from contextlib import suppress
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.dns.answers import Found, LookupFailed, MxRecord, NoData, NoSuchName, TlsaRecord
from mta.dns.message import (
    MAX_EXCHANGERS,
    CanonicalName,
    RecordType,
    interpret,
    make_query,
    parse_reply_to,
    rcode_error,
)
from mta.dns.parser import A, DnsReply, MalformedReply, parse_reply

QUERY = make_query("b.test", RecordType.MX)
# The tests that run at the same time must agree on their names, and the id is part of some.
QUERY.id = 0x1264
QUESTION = b"\x01b\x04test\0\0\x0f\0\x01"
#: Where the name in the question begins, as a pointer.
B = b"\xc0\x0c"


def record(owner: bytes, rdtype: int, data: bytes, ttl: int = 60, rdclass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", rdtype, rdclass, ttl, len(data)) + data


def wire(*answers: bytes, flags: int = 0x8180, authority: int = 0, additional: int = 0) -> bytes:
    """Return a reply to QUERY; the last records are those of the other sections."""
    counts = len(answers) - authority - additional, authority, additional
    return struct.pack("!6H", QUERY.id, flags, 1, *counts) + QUESTION + b"".join(answers)


def answer(octets: bytes) -> Any:
    reply = parse_reply_to(QUERY, octets)
    return None if reply is None else rcode_error(reply) or interpret(reply)


def mx(target: bytes, preference: int = 10) -> bytes:
    return record(B, 15, struct.pack("!H", preference) + target)


TARGET = b"\x02mx" + B
SOA = record(b"\0", 6, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 30))
HOST = 12 + len(QUESTION)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (wire(mx(TARGET)), Found((MxRecord(10, "mx.b.test"),), 60.0, "b.test")),
        (wire(mx(b"\0", 0)), Found((MxRecord(0, ""),), 60.0, "b.test")),
        # The same record twice, and another spelling of the owner.
        (
            wire(mx(TARGET), record(b"\x01B\x04TeSt\0", 15, b"\0\x0a\x02MX" + B)),
            Found((MxRecord(10, "mx.b.test"),), 60.0, "b.test"),
        ),
        # Records of another name, kind and class count for nothing.
        (wire(record(b"\x01c\x04test\0", 15, b"\0\x01" + TARGET)), NoData(300.0)),
        (wire(record(B, 16, b"\x03any")), NoData(300.0)),
        (wire(record(B, 15, b"\0\x01" + TARGET, rdclass=3)), NoData(300.0)),
        # Times to live: RFC 2181 section 8, and our own bounds.
        (wire(record(B, 15, b"\0\x0a" + TARGET, ttl=0)), Found((MxRecord(10, "mx.b.test"),), 1.0, "b.test")),
        (wire(record(B, 15, b"\0\x0a" + TARGET, ttl=2**31)), Found((MxRecord(10, "mx.b.test"),), 1.0, "b.test")),
        (wire(record(B, 15, b"\0\x0a" + TARGET, ttl=2**31 - 1)), Found((MxRecord(10, "mx.b.test"),), 3600.0, "b.test")),
        # Octets that no host name has.
        (wire(mx(b"\x04a.b\0\0")), Found((), 60.0, "b.test")),
        (wire(mx(b"\x03\xffA,\0")), Found((), 60.0, "b.test")),
        (wire(mx(b"\x03\xffA,\0"), mx(TARGET)), Found((MxRecord(10, "mx.b.test"),), 60.0, "b.test")),
        # A "no", with and without the SOA that makes it good.
        (wire(SOA, authority=1), NoData(30.0)),
        (wire(SOA, flags=0x8183, authority=1), NoSuchName(30.0)),
        (wire(flags=0x8183), NoSuchName(300.0)),
        (wire(record(B, 5, TARGET)), CanonicalName("mx.b.test", 60.0)),
        (wire(record(B, 5, TARGET), SOA, authority=1), NoData(30.0)),
        (wire(record(B, 5, TARGET), flags=0x8183), NoSuchName(60.0)),
        (
            wire(record(B, 5, TARGET), record(b"\x02mx" + B, 15, b"\0\x05\0")),
            Found((MxRecord(5, ""),), 60.0, "mx.b.test"),
        ),
        # Codes that are no answer; the upper bits are in the OPT record.
        *(
            (wire(flags=0x8180 | int(code)), dns.rcode.to_text(code))
            for code in dns.rcode.Rcode
            if code < 16 and code not in {0, 3}
        ),
        (wire(record(b"\0", 41, b"", ttl=1 << 24, rdclass=1232), additional=1), "BADVERS"),
        (wire(record(b"\0", 41, b"", ttl=0xFF << 24, rdclass=1232), additional=1), "4080"),
        (wire(flags=0x818C), "12"),
    ],
)
def test_a_reply_becomes_the_answer_that_it_gives(octets: bytes, expected: Any) -> None:
    assert answer(octets) == expected


def answer_of_type(rdtype: int, *records: bytes) -> Any:
    """Return the answer that records of the question's name and type give; they are their data."""
    octets = wire(*(record(B, rdtype, data) for data in records))
    return interpret(parse_reply(octets[: HOST - 4] + struct.pack("!2H", rdtype, 1) + octets[HOST:]))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x05v=one", "v=one"),
        (b"\x02v=\x00\x03one", "v=one"),
        (b"\x02\xff\n", "\xff\n"),
        (b"\xff" + b"x" * 255 + b"\x01y", "x" * 255 + "y"),
        (b"\0", ""),
        (b"", ""),
    ],
)
def test_the_strings_of_a_txt_record_are_one_text(data: bytes, text: str) -> None:
    assert answer_of_type(16, data) == Found((text,), 60.0, "b.test")


@pytest.mark.parametrize("data", [b"\x01", b"\x05v=on", b"\xff" * 255])
def test_a_txt_record_whose_strings_pass_its_end_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedReply):
        answer_of_type(16, data)


def test_tlsa_records_have_numbers_and_data_and_those_too_short_are_left_out() -> None:
    digest = bytes(range(32))
    records = (b"\3\1\1" + digest, b"\3\1", b"", b"\xff\2\x09", b"\3\1\1" + digest)
    assert answer_of_type(52, *records) == Found(
        (TlsaRecord(3, 1, 1, digest), TlsaRecord(255, 2, 9, b"")), 60.0, "b.test"
    )


@pytest.mark.parametrize(("flags", "authentic"), [(0x8180, False), (0x81A0, True), (0x81B0, True), (0x8190, False)])
def test_the_server_says_whether_it_validated_the_answer(flags: int, *, authentic: bool) -> None:
    assert parse_reply(wire(mx(TARGET), flags=flags)).authentic is authentic


@pytest.mark.parametrize(("label", "text"), [(b"\x04a.b\0", r"a\046b\000"), (b"\x03\xffA,", r"\255a\044")])
def test_an_octet_that_host_names_do_not_have_is_written_as_a_number(label: bytes, text: str) -> None:
    assert [each.data for each in parse_reply(wire(mx(label + B))).answers] == [f"{text}.b.test"]


def test_a_cname_that_no_host_can_be_called_is_a_failed_look_up() -> None:
    odd = b"\x02\xffx" + B
    found = answer(wire(record(B, 5, odd), record(odd, 15, b"\0\x01" + TARGET)))
    assert isinstance(found, LookupFailed)
    assert "CNAME" in found.reason


def test_of_many_mx_the_best_are_kept() -> None:
    found = answer(wire(*(mx(b"\x05mx%03d" % number + B, number) for number in range(99, -1, -1))))
    assert isinstance(found, Found)
    assert [record.preference for record in found.records] == list(range(MAX_EXCHANGERS))


def test_an_answer_that_contradicts_itself_is_a_failed_look_up() -> None:
    found = answer(wire(mx(TARGET), flags=0x8183))
    assert isinstance(found, LookupFailed)
    assert "contradicts itself" in found.reason


@pytest.mark.parametrize("length", [1, 2, 17, 200])
def test_cnames_in_a_circle_and_chains_without_end_are_a_failed_look_up(length: int) -> None:
    names = [bytes([4]) + b"%04d" % number + b"\0" for number in range(length)]
    chain = [record(B, 5, names[0])]
    chain += [record(owner, 5, names[(number + 1) % length]) for number, owner in enumerate(names)]
    assert isinstance(answer(wire(*chain)), LookupFailed)


def test_a_chain_within_bounds_is_followed() -> None:
    names = [bytes([4]) + b"%04d" % number + b"\0" for number in range(16)]
    chain = [record(B, 5, names[0]), *(record(names[n], 5, names[n + 1]) for n in range(15))]
    found = answer(wire(*chain[::-1], record(names[15], 15, b"\0\x01" + TARGET)))
    assert found == Found((MxRecord(1, "mx.b.test"),), 60.0, "0015")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        wire()[:11],
        # A pointer to itself, to what comes later, out of the reply, and two that lead to each other.
        wire(mx(struct.pack("!H", 0xC000 | HOST + 14))),
        wire(mx(struct.pack("!H", 0xC000 | HOST + 16)), mx(TARGET)),
        wire(mx(b"\xff\xff")),
        wire(mx(b"\x01a" + struct.pack("!H", 0xC000 | HOST + 14))),
        wire(mx(b"\xc0")),
        # Labels and names that are too long, cut, or of a kind that nobody uses.
        wire(mx(b"\x40" + b"a" * 64 + b"\0")),
        wire(mx(b"\x80\0")),
        wire(mx((b"\x3f" + b"a" * 63) * 4 + b"\0")),
        wire(mx(b"\x05ab\0")),
        # Data of the wrong size.
        wire(record(B, 15, b"\0\x0a" + TARGET + b"x")),
        wire(record(B, 15, b"\0")),
        wire(record(B, 15, b"")),
        wire(record(B, 1, b"\x7f\0\0")),
        wire(record(B, 28, b"\0" * 15)),
        wire(record(B, 5, b"")),
        wire(record(b"\0", 6, b"\0\0\0"), authority=1),
        # More records announced than there are, and a record cut short.
        wire(mx(TARGET))[:-1],
        struct.pack("!6H", QUERY.id, 0x8180, 1, 65535, 0, 0) + QUESTION + mx(TARGET),
        struct.pack("!6H", QUERY.id, 0x8180, 1, 0, 65535, 65535) + QUESTION,
        # Not a reply, not to a question, to two of them, to another one, to none.
        struct.pack("!6H", QUERY.id, 0x0180, 1, 0, 0, 0) + QUESTION,
        struct.pack("!6H", QUERY.id, 0xA980, 1, 0, 0, 0) + QUESTION,
        struct.pack("!6H", QUERY.id, 0x8180, 2, 0, 0, 0) + QUESTION * 2,
        struct.pack("!6H", QUERY.id, 0x8180, 1, 0, 0, 0) + QUESTION.replace(b"b", b"c"),
        struct.pack("!6H", QUERY.id, 0x8180, 1, 0, 0, 0) + QUESTION.replace(b"\x0f", b"\x01"),
        struct.pack("!6H", QUERY.id, 0x8180, 1, 0, 0, 0) + QUESTION[:-1] + b"\x03",
        struct.pack("!6H", QUERY.id ^ 1, 0x8180, 1, 0, 0, 0) + QUESTION,
        struct.pack("!6H", QUERY.id, 0x8180, 0, 0, 0, 0),
    ],
)
def test_a_message_that_is_no_reply_to_the_query_is_ignored(octets: bytes) -> None:
    assert answer(octets) is None


def test_a_refusal_may_leave_the_question_out() -> None:
    assert answer(struct.pack("!6H", QUERY.id, 0x8181, 0, 0, 0, 0)) == "FORMERR"


def test_a_reply_that_says_it_was_cut_short_is_read_as_far_as_it_goes() -> None:
    reply = parse_reply_to(QUERY, wire(mx(TARGET), mx(TARGET), flags=0x8380)[:-5])
    assert reply is not None
    assert reply.truncated
    assert len(reply.answers) == 1


def test_a_chain_of_pointers_costs_no_more_than_its_octets_and_no_stack() -> None:
    filler = b"".join(struct.pack("!H", 0xC000 | (HOST + 10 + max(0, 2 * n - 2))) for n in range(7000))
    chain = record(b"\0", 16, b"\0\0" + filler)
    with pytest.raises(MalformedReply):
        parse_reply(wire(chain, mx(struct.pack("!H", 0xC000 | HOST + 12 + 13000))))


def test_a_reply_full_of_long_names_is_read_by_its_octets_alone() -> None:
    """Names of 110 labels by way of pointers: comparing them took eight seconds."""
    first = mx(b"\x01a" * 110 + B)
    others = [mx(b"\x04%04d" % number + struct.pack("!H", 0xC000 | HOST + 14), number) for number in range(3000)]
    octets = wire(first, *others)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        found = answer(octets)
    finally:
        sys.setprofile(None)
    assert len(found.records) == MAX_EXCHANGERS
    assert calls < 8 * len(octets)


labels = st.binary(min_size=1, max_size=8)
texts = st.lists(labels, max_size=5).map(lambda parts: b"".join(bytes([len(part)]) + part for part in parts))
targets = st.builds(bytes.__add__, texts, st.sampled_from([b"\0", B, b"\xc0\x0e", b"\xc0\x30"]))
records = st.one_of(
    st.builds(mx, targets, st.integers(0, 65535)),
    st.builds(record, st.one_of(targets, st.just(B)), st.sampled_from([1, 5, 6, 15, 16, 28, 41]), targets),
    st.builds(record, st.just(B), st.just(1), st.binary(min_size=4, max_size=4), st.integers(0, 2**32 - 1)),
)


@given(st.one_of(st.binary(max_size=120), st.lists(records, max_size=6).map(lambda each: wire(*each))), st.data())
@settings(max_examples=300)
def test_no_octets_do_more_than_not_being_read(octets: bytes, data: st.DataObject) -> None:
    if octets and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets = octets[:at] + data.draw(st.binary(max_size=2)) + octets[at + data.draw(st.integers(0, 2)) :]
    with suppress(MalformedReply):
        assert isinstance(parse_reply(octets), DnsReply)
    answer(octets)


@given(st.lists(st.tuples(st.sampled_from(["b.test", "c.test", r"\000\.x.b.test"]), st.integers(1, 250)), max_size=20))
@settings(max_examples=50)
def test_replies_of_dnspython_are_read_alike(addresses: list[tuple[str, int]]) -> None:
    query = make_query("b.test", RecordType.A)
    reply = dns.message.make_response(query, recursion_available=True)
    for name, number in addresses:
        reply.answer.append(dns.rrset.from_text(f"{name}.", number, "IN", "A", f"192.0.2.{number}"))
    ours = parse_reply_to(query, reply.to_wire())
    assert ours is not None
    names = {"b.test": "b.test", "c.test": "c.test", r"\000\.x.b.test": r"\000\046x.b.test"}
    assert [(each.name, each.rdtype, each.data) for each in ours.answers] == [
        (names[name], A, f"192.0.2.{number}") for name, number in addresses
    ]
