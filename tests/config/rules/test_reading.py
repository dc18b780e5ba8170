"""Rules are read as they are on disk at one moment, and again with the environment of the start."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.certificates import self_signed
from mta.config.rules import rule_files
from mta.config.rules.reading import read_again
from mta.config.rules.shorthands import read_rules
from mta.config.setting import SettingsReader
from mta.file_states import FileStates
from mta.rules.book import RuleBook

A = "[lists]\nours = ['a.test']\n"
B = "[lists]\nours = ['b.test']\n"
PASSWORD = "correct-horse-staple"
RULE = "[[acl]]\nsender = '+ours'\nhold = true\n"


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.toml").write_text(text)


def patterns(book: RuleBook | None) -> list[str]:
    assert book
    assert book.acl
    return [
        str(pattern) for one in book.acl.rules for each in one.rule.conditions for pattern in each.patterns.patterns
    ]


def test_the_files_of_a_relay_without_rules_are_the_usual_directory(tmp_path: Path) -> None:
    reading = read_again({}, tmp_path)
    assert (reading.book, reading.mistakes, reading.notices) == (None, (), ())
    assert list(reading.files.states) == [str(tmp_path / "etc/smtprelay/rules.d")]
    assert reading.files.all_absent


def test_the_files_are_the_directory_and_all_files_that_rules_name(tmp_path: Path) -> None:
    directory, lists = tmp_path / "rules.d", tmp_path / "lists"
    directory.mkdir()
    lists.mkdir()
    self_signed(["mail.a.test"]).write(lists)
    (lists / "password").write_text(PASSWORD)
    for name in ("senders", "allowed", "map"):
        (lists / name).write_text("x@a.test y@a.test\n" if name == "map" else "a.test\n")
    write(
        directory,
        one=f"[[acl]]\nsender = 'file:{lists}/senders'\nhold = true\n",
        two=f"[[rewrite]]\nmap = 'file:{lists}/map'\n",
    )
    write(
        directory,
        three=f"""\
[smarthost.office]
hosts = "mail.a.test:587"
user = "x"
password_file = "{lists}/password"
ca_file = "{lists}/server.pem"
""",
    )
    (directory / "README").touch()
    reading = read_again({"RULES_DIR": str(directory), "ALLOWED_SENDERS": f"file:{lists}/allowed"}, tmp_path)
    assert reading.mistakes == ()
    assert reading.book
    named = [lists / name for name in ("allowed", "map", "senders", "password", "server.pem")]
    wanted = [directory, *(directory / f"{name}.toml" for name in ("one", "two", "three")), *named]
    assert sorted(reading.files.states) == sorted(map(str, wanted))
    assert reading.files.look() == reading.files


def test_mistakes_leave_no_rules_and_the_files_are_known_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, one="[[acl]]\nhold = 1\n", two=f"[[acl]]\nsender = 'file:{tmp_path}/missing'\nhold = true\n")
    reading = read_again({"RULES_DIR": str(tmp_path), "ALLOWED_SENDERS": "a.test"})
    assert reading.book is None
    assert [line.partition(": ")[0] for line in reading.mistakes] == [
        f"{tmp_path}/one.toml:2",
        f"{tmp_path}/two.toml:2",
    ]
    assert str(tmp_path / "missing") in reading.files.states


def test_a_directory_that_is_gone_is_a_mistake_if_it_is_set(tmp_path: Path) -> None:
    (mistake,) = read_again({"RULES_DIR": str(tmp_path / "gone")}).mistakes
    assert f"RULES_DIR='{tmp_path}/gone': the directory cannot be read: No such file" in mistake


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_the_user_may_not_read_is_named_with_the_user(tmp_path: Path) -> None:
    write(tmp_path, one=A)
    (tmp_path / "one.toml").chmod(0)
    (mistake,) = read_again({"RULES_DIR": str(tmp_path)}).mistakes
    assert mistake.endswith(f"the file cannot be read: Permission denied; let user id {os.geteuid()} read it")


class Swapper:
    """Changes files while they are read: before so many of the files of rules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], object]) -> None:
        self.changes = list(changes)
        self.pauses = 0
        read = rule_files.read_regular_file

        def content(path: Path, limit: int) -> bytes:
            found = read(path, limit)
            if self.changes:
                self.changes.pop(0)()
            return found

        monkeypatch.setattr(rule_files, "read_regular_file", content)

    def pause(self, _seconds: float) -> None:
        self.pauses += 1


def read(directory: Path, swapper: Swapper) -> tuple[RuleBook | None, FileStates, list[str]]:
    reader = SettingsReader({"RULES_DIR": str(directory)})
    return *read_rules(reader, pause=swapper.pause), reader.mistakes


def test_files_that_change_while_they_are_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, one=A, two=RULE.replace("+ours", "a.test"))
    swapper = Swapper(monkeypatch, lambda: write(tmp_path, one=B + "#", two=RULE + "#"))
    book, files, mistakes = read(tmp_path, swapper)
    assert (patterns(book), mistakes, swapper.pauses) == (["b.test"], [], 1)
    assert files.look() == files


def test_a_config_map_that_is_replaced_while_it_is_read_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str, text: str) -> None:
        (tmp_path / name).mkdir()
        write(tmp_path / name, one=text, two=RULE)

    def swap(name: str) -> None:
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    version("..1", A)
    version("..2", B)
    swap("..1")
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").symlink_to(f"..data/{name}.toml")
    swapper = Swapper(monkeypatch, lambda: swap("..2"), lambda: None, lambda: swap("..1"), lambda: swap("..2"))
    book, _, mistakes = read(tmp_path, swapper)
    assert (patterns(book), mistakes, swapper.pauses) == (["b.test"], [], 2)


def test_a_mistake_of_files_that_change_meanwhile_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, one="[[acl]]\nsender = ", two=RULE)
    book, _, mistakes = read(tmp_path, Swapper(monkeypatch, lambda: write(tmp_path, one=A)))
    assert (patterns(book), mistakes) == (["a.test"], [])


def test_files_that_keep_changing_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, one=A, two=RULE)
    grow = [lambda: (tmp_path / "one.toml").open("a").write("#")] * 40
    swapper = Swapper(monkeypatch, *grow)
    book, _, mistakes = read(tmp_path, swapper)
    assert (book, swapper.pauses) == (None, 20)
    assert "the files of rules keep changing while they are read" in mistakes[0]
