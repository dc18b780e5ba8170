"""The current users: changes of the file, problems that leave the users in force, and answers for unknown names."""

import os

import pytest
from twisted.internet.defer import Deferred

from mta.users.secrets import read_secret, verify
from mta.users.users import Users, UsersError
from tests.users.made_secrets import ARGON2, BCRYPT, PASSWORD, SCRAM, SHA512

OTHER_SCRAM = SCRAM.replace("4096", "8192")


class File:
    """A users' file, with the object that reads it and its notices."""

    def __init__(self, path, **options):
        self.path = path
        self.told = []
        self.users = Users(path=path, mailname="mail.test", notice=self.told.append, **options)

    def names(self):
        return [name for name in ("alice", "bob", "carol") if self.users.find(name)]

    def change(self, text):
        put(self.path, text)
        self.users.check()


def put(path, text, stamp=[1_000_000_000]):  # noqa: B006  one for all calls: no two files have the same time
    path.write_text(text)
    stamp[0] += 1
    os.utime(path, (stamp[0], stamp[0]))


@pytest.fixture
def file(tmp_path):
    put(tmp_path / "users", f"alice:{BCRYPT}\nbob:{SHA512} @b.test\n")
    return File(tmp_path / "users")


def of_text(text):
    return Users(text=text, mailname="mail.test", notice=lambda _line: None)


def mistakes(**source):
    with pytest.raises(UsersError) as caught:
        Users(mailname="mail.test", notice=lambda _line: None, **source)
    return caught.value.mistakes


def test_a_name_is_found_exactly_or_with_the_name_of_the_relay(file):
    find = file.users.find
    assert find("alice").name == find("alice@mail.test").name == find("alice@MAIL.test").name == "alice"
    assert find("Alice") is find("alice@other.test") is find("alice@") is find("@mail.test") is find("") is None


def test_a_name_with_a_domain_comes_before_one_without():
    users = of_text(f"alice:{BCRYPT}\nalice@mail.test:{SHA512}")
    assert users.find("alice@mail.test").secret == read_secret(SHA512)


def test_the_users_of_a_variable_never_change():
    users = of_text(f"alice:{BCRYPT}\nbob:{SHA512}")
    assert len(users) == 2
    assert users.check() is users.reload() is None


def test_a_changed_file_is_read_again(file):
    file.change(f"alice:{BCRYPT}\ncarol:{BCRYPT}\n")
    assert file.names() == ["alice", "carol"]
    assert file.told == []


def test_a_file_that_has_not_changed_is_not_read_again(file, monkeypatch):
    monkeypatch.setattr("mta.users.users.read_if_changed", None)
    file.users.check()
    assert file.names() == ["alice", "bob"]


def test_a_swapped_link_is_followed_as_kubernetes_does_it(tmp_path):
    for number, text in enumerate((f"alice:{BCRYPT}\n", f"carol:{BCRYPT}\n")):
        (tmp_path / str(number)).mkdir()
        put(tmp_path / str(number) / "users", text)
    (tmp_path / "data").symlink_to("0")
    (tmp_path / "users").symlink_to("data/users")
    file = File(tmp_path / "users")
    (tmp_path / "data.new").symlink_to("1")
    (tmp_path / "data.new").rename(tmp_path / "data")
    file.users.check()
    assert file.names() == ["carol"]


def test_bad_lines_of_a_changed_file_are_passed_over_and_told(file):
    file.change(f"alice:{BCRYPT}\nbob:hunter2\ncarol:{SHA512}\n")
    assert file.names() == ["alice", "carol"]
    (line,) = file.told
    assert line.startswith(f"AUTH_USERS_FILE={file.path}, line 2: ")
    assert "hunter2" not in line


@pytest.mark.parametrize("text", ["", "\n# nobody\n", "alice:hunter2\n"])
def test_a_file_without_users_leaves_the_known_ones_in_force(file, text):
    file.change(text)
    assert file.names() == ["alice", "bob"]
    (line,) = file.told
    assert line.endswith("; the users known so far stay in force")
    assert "hunter2" not in line


def test_a_file_that_is_gone_or_too_large_leaves_the_known_users_in_force(file, monkeypatch):
    file.path.unlink()
    for _ in range(3):
        file.users.check()
    assert file.names() == ["alice", "bob"]
    (line,) = file.told
    assert "No such file" in line
    monkeypatch.setattr("mta.users.users.MAX_OCTETS", 10)
    file.change(f"carol:{BCRYPT}\n")
    assert file.names() == ["alice", "bob"]
    monkeypatch.undo()
    file.change(f"carol:{BCRYPT}\n\n")
    assert file.names() == ["carol"]
    assert len(file.told) == 2


def test_a_reload_tells_the_problems_again(file):
    file.change("alice:hunter2\n")
    file.users.check()
    assert len(file.told) == 1
    file.users.reload()
    assert len(file.told) == 2


def test_the_file_is_read_in_a_thread_and_only_the_last_result_counts(tmp_path):
    waiting = []

    def run(work):
        done = Deferred()
        waiting.append((done, work()))
        return done

    put(tmp_path / "users", f"alice:{BCRYPT}\n")
    file = File(tmp_path / "users", run=run)
    file.change(f"bob:{BCRYPT}\n")
    assert file.names() == ["alice"]
    file.change(f"carol:{BCRYPT}\n")
    for done, result in reversed(waiting):
        done.callback(result)
    assert file.names() == ["carol"]


@pytest.mark.parametrize("text", ["", "# nobody", "\n"])
def test_a_start_without_users_is_possible_and_users_may_follow(tmp_path, text):
    put(tmp_path / "users", text)
    file = File(tmp_path / "users")
    assert len(file.users) == 0
    assert not file.users.scram_only
    assert not verify(file.users.stand_in("x"), PASSWORD)
    assert file.told == []
    file.change(f"alice:{BCRYPT}\n")
    assert file.names() == ["alice"]


def test_a_start_with_bad_lines_fails_and_tells_each(tmp_path):
    put(tmp_path / "users", f"alice:{BCRYPT}\nbob:hunter2\ncarol\n")
    told = mistakes(path=tmp_path / "users")
    assert [line.partition(": ")[0] for line in told] == [
        f"AUTH_USERS_FILE={tmp_path}/users, line {number}" for number in (2, 3)
    ]
    assert "hunter2" not in str(told)
    assert mistakes(text="alice:hunter2,bob:hunter2")[0].startswith("AUTH_USERS, line 1: ")
    assert "cannot be read" in mistakes(path=tmp_path / "other")[0]


def test_the_text_that_root_has_read_counts_while_the_relays_user_cannot_read_the_file(tmp_path):
    file = File(tmp_path / "users", text=f"alice:{BCRYPT}\n")
    assert file.names() == ["alice"]
    (line,) = file.told
    assert line.startswith(f"AUTH_USERS_FILE={tmp_path}/users: cannot be read: ")
    assert line.endswith("; the users known so far stay in force")
    file.users.check()
    assert len(file.told) == 1
    file.change(f"bob:{BCRYPT}\n")
    assert file.names() == ["bob"]


def test_scram_is_for_all_users_or_none():
    assert of_text(f"a:{SCRAM}\nb:{OTHER_SCRAM}").scram_only
    assert not of_text(f"a:{SCRAM}\nb:{BCRYPT}").scram_only


def test_an_unknown_name_has_a_scram_secret_that_looks_like_a_users():
    users = of_text(f"a:{SCRAM}\nb:{OTHER_SCRAM}")
    assert users.scram_secret("a") == read_secret(SCRAM)
    assert users.scram_secret("a@mail.test") == read_secret(SCRAM)
    made_up = [users.scram_secret(f"x{number}") for number in range(100)]
    assert len({secret.salt for secret in made_up}) == 100
    assert {len(secret.salt) for secret in made_up} == {len(read_secret(SCRAM).salt)}
    assert {secret.iterations for secret in made_up} == {4096, 8192}
    assert not verify(made_up[0], PASSWORD)
    assert users.scram_secret("x1@MAIL.test") == made_up[1]
    assert users.scram_secret("x1@other.test") != made_up[1]


def test_a_user_without_scram_has_a_made_up_scram_secret_because_the_file_may_change_in_a_session():
    users = of_text(f"a:{SCRAM}\nb:{BCRYPT}")
    for name in ("b", "x", "y", "z"):
        secret = users.scram_secret(name)
        assert secret == users.scram_secret(name)
        assert not verify(secret, PASSWORD)


def test_an_unknown_name_has_the_same_salt_in_all_processes_and_after_most_changes():
    lines = [f"u{number}:{SCRAM.replace('30D4', f'{number:04d}')}" for number in range(20)]
    salt = of_text("\n".join(lines)).scram_secret("x").salt
    assert of_text("\n".join(lines)).scram_secret("x").salt == salt
    same = sum(of_text("\n".join(lines[:at] + lines[at + 1 :])).scram_secret("x").salt == salt for at in range(20))
    assert same == 19


def test_an_unknown_name_costs_as_much_as_some_user_and_always_the_same():
    users = of_text(f"a:{BCRYPT}\nb:{BCRYPT}\nc:{ARGON2}")
    costs = [users.stand_in(f"x{number}") for number in range(300)]
    assert costs == [users.stand_in(f"x{number}") for number in range(300)]
    assert 150 < costs.count(read_secret(BCRYPT)) < 250
