"""The strategies of property tests: addresses, bodies, reply texts, and ways to cut bytes into pieces."""

from hypothesis import strategies as st

from mta.smtp.replies import Reply

_ATEXT = "abcxyzABC019!#$%&'*+-/=?^_`{|}~."

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda text: text[2:4] != "--")
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
literals = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip}]"),
)
dot_strings = st.text(_ATEXT, min_size=1, max_size=20)
quoted_strings = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
local_parts = st.one_of(dot_strings, quoted_strings, st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))

#: Bytes made of all that matters to framing, far more often than chance would.
_MORSELS = st.sampled_from([b"\r\n", b"\r\n.", b".", b"..", b"\r\n.\r\n", b"a", b"bc" * 9, b" ", b"\x80\xff"])
_RUDE = st.sampled_from([b"\r", b"\n", b"\0", b"\n.\n", b"\r.\r", b"\r\n.\n"])
wild_bytes = st.lists(st.one_of(_MORSELS, _RUDE, st.binary(max_size=8)), max_size=24).map(b"".join)

text_lines = st.lists(st.sampled_from([b".", b"..", b"a", b"bcd" * 5, b" ", b"\xc3\xbc", b"=20"]), max_size=6).map(
    b"".join
)
#: A message as it should be: every line ends in CRLF.
bodies = st.lists(text_lines, max_size=12).map(lambda lines: b"".join(line + b"\r\n" for line in lines))

_printable = st.characters(min_codepoint=32, max_codepoint=126)
replies = st.builds(
    lambda kind, rest, subject, lines: Reply(kind * 100 + rest, f"{kind}.{subject}.0", tuple(lines)),
    st.sampled_from([2, 4, 5]),
    st.integers(0, 59),
    st.integers(0, 7),
    st.lists(st.text(_printable, max_size=60).filter(lambda text: text == text.lstrip()), min_size=1, max_size=4),
)


def splits(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Every way to cut these bytes into pieces, down to single ones."""
    cuts = st.lists(st.integers(0, len(data)), max_size=12).map(sorted)
    some = cuts.map(lambda at: [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)])
    return st.one_of(some, st.just([data]), st.just([data[i : i + 1] for i in range(len(data))]))
