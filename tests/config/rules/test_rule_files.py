"""Files of rules in a directory: their order, links, other files, and files that cannot be read."""

from pathlib import Path

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import read_directory
from mta.config.rules.rule_reader import read_book
from mta.file_states import FileRecord


def test_files_of_a_directory_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/20.toml").write_text("[[acl]]\nsender = 'b.test'\nhold = true\n")
    (tmp_path / "20.toml").symlink_to("..data/20.toml")
    (tmp_path / "10.toml").write_bytes(b"\xef\xbb\xbf[[acl]]\r\nsender = 'a.test'\r\nhold = true\r\n")
    (tmp_path / ".30.toml").write_text("x")
    mistakes = RuleMistakes()
    sources, notices = read_directory(tmp_path, mistakes, FileRecord())
    book = read_book(sources, mistakes)
    assert (mistakes.lines, notices) == ([], [])
    assert book
    assert book.acl
    assert [str(rule.rule) for rule in book.acl.rules] == ["10.toml:1", "20.toml:1"]


def test_other_files_and_directories_are_one_notice(tmp_path: Path) -> None:
    for name in ("README", "10.toml.bak", "a.TOML", "z"):
        (tmp_path / name).touch()
    (tmp_path / "sub.toml").mkdir()
    names = "10.toml.bak, README, a.TOML and 2 more"
    assert read_directory(tmp_path, RuleMistakes(), FileRecord()) == (
        [],
        [f"{tmp_path}: not read, because the name of a file of rules ends in .toml: {names}"],
    )


def test_files_that_cannot_be_read_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "1.toml").symlink_to("nowhere")
    (tmp_path / "2.toml").write_bytes(b"[[acl]]\n# caf\xe9\n")
    (tmp_path / "3.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    mistakes = RuleMistakes()
    read_directory(tmp_path, mistakes, FileRecord())
    assert mistakes.lines == [
        f"{tmp_path}/1.toml:1: the file cannot be read: No such file or directory",
        f"{tmp_path}/2.toml:2: the line is not UTF-8; save the file as UTF-8",
        f"{tmp_path}/3.toml:1: the file is longer than 1048576 octets; divide it",
    ]


def test_a_name_with_control_characters_is_told_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "1\n\x1b.toml").write_text("x y\n")
    mistakes = RuleMistakes()
    read_directory(tmp_path, mistakes, FileRecord())
    (line,) = mistakes.lines
    assert line.isprintable()


def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / f"{number}.toml").touch()
    mistakes = RuleMistakes()
    assert read_directory(tmp_path, mistakes, FileRecord()) == ([], [])
    assert mistakes.lines == [f"{tmp_path}: there are more than 200 files of rules; put more rules into each"]
