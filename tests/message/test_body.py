from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.message.body import CHUNK_BYTES, Body, FileBody, MemoryBody, head

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
