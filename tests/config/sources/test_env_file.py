"""Files of variables, read as systemd and Docker read them."""

from pathlib import Path

import pytest

from mta.config.setting import SettingsError
from mta.config.sources.env_file import read_env_file

# As systemd.exec(5) and systemd's parser have it.
FILE = r"""
# a comment
; another one
  NAME = value\t
EMPTY=
BLANKS=two words
QUOTED="two  words " 'and "more"'
ESCAPED=a\ b\\c\
d
IN_QUOTES="a\"b\\c\d"
APOSTROPHE=it's
HASH=a#b ; c
EQUALS=a=b
FROM_HERE
NOT_HERE
LAST=x"""


def read(path: Path, content: str | bytes, **environ: str) -> tuple[dict[str, str], list[str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    told: list[str] = []
    return read_env_file(path, environ, told.append), told


def test_a_file_is_read_as_systemd_and_docker_do(tmp_path: Path) -> None:
    found, told = read(tmp_path / "env", FILE.replace(r"\t", "\t "), FROM_HERE="here", NAME="other")
    assert found == {
        "NAME": "value",
        "EMPTY": "",
        "BLANKS": "two words",
        "QUOTED": 'two  words and "more"',
        "ESCAPED": r"a b\cd",
        "IN_QUOTES": r'a"b\c\d',
        "APOSTROPHE": "it's",
        "HASH": "a#b ; c",
        "EQUALS": "a=b",
        "FROM_HERE": "here",
        "LAST": "x",
    }
    (line,) = told
    assert "env: QUOTED, IN_QUOTES: read without the quotation marks, as systemd does; docker --env-file keeps" in line


def test_other_line_ends_and_a_byte_order_mark_do_not_count(tmp_path: Path) -> None:
    assert read(tmp_path / "env", b"\xef\xbb\xbfA=1\r\nB=2\r\n") == ({"A": "1", "B": "2"}, [])


def test_each_line_that_is_no_variable_is_named_without_its_value(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path / "env", "A=1\\\n2\nexport B=hidden\nA B\n: hidden=1\n")
    path = tmp_path / "env"
    assert refused.value.mistakes == (
        f"{path}, line 3: 'export B' is not the name of a variable",
        f"{path}, line 4: 'A B' is not the name of a variable",
        f"{path}, line 5: ': hidden' is not the name of a variable",
    )


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff", "the file is not UTF-8 text"), (b"#" * 2_000_000, "is longer than 1048576 octets")]
)
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(tmp_path / "env", content)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none: the file cannot be read: No such file or directory"):
        read_env_file(tmp_path / "none", {}, print)
