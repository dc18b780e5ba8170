"""Bodies in memory and in files, and the checks of a body that is read back from disk."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.message.body import CHUNK_BYTES, Body, FileBody, MemoryBody, has_line_beyond, head

CONTENT = b"0123456789abcdef" * (CHUNK_BYTES // 16 * 5 // 2)


@pytest.fixture(params=["memory", "file"])
def body(request: pytest.FixtureRequest, tmp_path: Path) -> Body:
    if request.param == "memory":
        return MemoryBody(CONTENT)
    (tmp_path / "body").write_bytes(CONTENT)
    return FileBody(tmp_path / "body", len(CONTENT))


def test_a_body_gives_its_octets_as_often_as_asked(body: Body) -> None:
    assert b"".join(body.chunks()) == CONTENT
    assert b"".join(body.chunks()) == CONTENT


def test_a_body_knows_its_size(body: Body) -> None:
    assert body.size == len(CONTENT)


def test_a_file_comes_in_bounded_pieces(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(CONTENT)
    assert [len(chunk) for chunk in FileBody(tmp_path / "body", len(CONTENT)).chunks()] == [
        CHUNK_BYTES,
        CHUNK_BYTES,
        len(CONTENT) - 2 * CHUNK_BYTES,
    ]


@pytest.mark.parametrize("limit", [0, 1, 1000, CHUNK_BYTES, CHUNK_BYTES + 1, len(CONTENT), len(CONTENT) + 1])
def test_the_head_of_a_body_has_the_octets_asked_for(body: Body, limit: int) -> None:
    assert head(body, limit) == CONTENT[:limit]


@given(st.binary(max_size=100), st.integers(0, 120))
@settings(max_examples=50)
def test_a_head_is_never_more_than_there_is(content: bytes, limit: int) -> None:
    assert head(MemoryBody(content), limit) == content[:limit]


def test_a_file_that_went_away_is_an_error_and_not_an_empty_body(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        head(FileBody(tmp_path / "gone", 10), 10)


class CountedText(bytes):
    """Octets that count how often they are searched."""

    searches = 0

    def rfind(self, *args):  # type: ignore[no-untyped-def]
        self.searches += 1
        return super().rfind(*args)


@given(st.lists(st.integers(0, 12), max_size=30), st.booleans(), st.integers(0, 10))
@settings(max_examples=300)
def test_a_line_beyond_the_limit_is_found_wherever_it_is(lengths: list[int], ended: bool, limit: int) -> None:
    text = b"\n".join(b"x" * length for length in lengths) + b"\n" * ended
    assert has_line_beyond(text, limit) == any(len(line) > limit for line in text.split(b"\n"))


@pytest.mark.parametrize("length", [0, 1, 500, 997, 998, 999])
def test_lines_of_any_length_take_two_searches_for_each_longest_line(length: int) -> None:
    text = CountedText((b"x" * length + b"\n") * (1024 * 1024 // (length + 1)))
    assert not has_line_beyond(text, 999)
    assert text.searches <= 2 * len(text) // 999 + 2
