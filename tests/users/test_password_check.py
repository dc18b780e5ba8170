"""The check of passwords: two at a time, a bounded queue, the memory of right ones, and unknown names."""

import threading

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from mta.users import password_check
from mta.users.password_check import (
    MAX_WAITING,
    MEMORY_SECONDS,
    CheckQueueFull,
    CheckThreads,
    PasswordCheck,
)
from mta.users.secrets import CheckUnavailable
from mta.users.users import Users
from tests.users.made_secrets import BCRYPT, PASSWORD

RIGHT = "a-secret"
TEXT = "alice:{PLAIN}a-secret\nbob:{PLAIN}other\n"


class Threads:
    """Stands in for the threads: work is done when `finish` is called."""

    def __init__(self):
        self.begun = []
        self.count = 0

    def __call__(self, work):
        done = Deferred()
        self.begun.append((done, work))
        self.count += 1
        return done

    def finish(self):
        """End the work that has begun for longest."""
        done, work = self.begun.pop(0)
        try:
            done.callback(work())
        except CheckUnavailable as error:
            done.errback(error)

    def finish_all(self):
        while self.begun:
            self.finish()


class Case:
    """The check of two users with its clock and its threads."""

    def __init__(self, text=TEXT):
        self.clock = Clock()
        self.threads = Threads()
        self.path = None
        self.users = Users(text=text, mailname="mail.test", notice=lambda _line: None)
        self.check = PasswordCheck(self.users, self.threads, self.clock.seconds)

    def begin(self, name="alice", password=RIGHT):
        """Begin a check and return the list that gets its result."""
        results = []
        self.check.check(name, password).addBoth(results.append)
        return results

    def answer(self, name="alice", password=RIGHT):
        """Return the name of the user who logged in, or None."""
        results = self.begin(name, password)
        self.threads.finish_all()
        (user,) = results
        return user and user.name


@pytest.fixture
def case():
    return Case()


def test_only_the_right_password_of_a_user_is_right(case):
    assert case.answer() == "alice"
    assert case.answer("alice@mail.test") == "alice"
    assert case.answer("bob", "other") == "bob"
    for name, password in [
        ("alice", "other"),
        ("alice", ""),
        ("bob", RIGHT),
        ("nobody", RIGHT),
        ("", ""),
        ("x", "other"),
    ]:
        assert case.answer(name, password) is None


def test_a_right_password_is_remembered_for_some_minutes(case):
    case.answer()
    case.clock.advance(MEMORY_SECONDS - 1)
    assert [user.name for user in case.begin()] == ["alice"]
    assert case.threads.count == 1
    case.clock.advance(1)
    assert case.begin() == []
    assert case.threads.count == 2


def test_a_wrong_password_is_not_remembered_and_a_right_one_only_for_its_user(case):
    case.answer()
    for name, password in [("alice", "x"), ("alice", "x"), ("bob", RIGHT), ("nobody", RIGHT), ("nobody", RIGHT)]:
        before = case.threads.count
        assert case.answer(name, password) is None
        assert case.threads.count == before + 1


def test_a_password_that_was_changed_in_the_file_is_forgotten(tmp_path):
    case = Case()
    path = tmp_path / "users"
    path.write_text(TEXT)
    users = Users(path=path, mailname="mail.test", notice=lambda _line: None)
    case.check = PasswordCheck(users, case.threads, case.clock.seconds)
    assert case.answer() == "alice"
    path.write_text("alice:{PLAIN}new-secret\n")
    users.check()
    assert case.answer() is None
    assert case.answer(password="new-secret") == "alice"


def test_the_memory_is_bounded(case, monkeypatch):
    monkeypatch.setattr(password_check, "MAX_REMEMBERED", 1)
    case.answer()
    case.answer("bob", "other")
    case.answer()
    assert case.threads.count == 3


def test_two_checks_run_at_a_time_and_the_others_wait_in_order(case):
    results = [case.begin(password=f"p{number}") for number in range(4)]
    assert len(case.threads.begun) == 2
    case.threads.finish()
    assert len(case.threads.begun) == 2
    assert results == [[None], [], [], []]
    case.threads.finish_all()
    assert results == [[None]] * 4


def test_a_full_queue_refuses_further_checks_until_there_is_room(case):
    for number in range(MAX_WAITING + 2):
        case.begin(password=f"p{number}")
    (failure,) = case.begin()
    assert failure.check(CheckQueueFull)
    case.threads.finish()
    assert case.begin() == []
    case.threads.finish_all()
    assert case.answer() == "alice"


def test_a_remembered_password_passes_a_full_queue(case):
    case.answer()
    for number in range(MAX_WAITING + 2):
        case.begin(password=f"p{number}")
    assert [user.name for user in case.begin()] == ["alice"]


def test_equal_checks_share_one_result(case):
    results = [case.begin() for _ in range(5)]
    case.threads.finish_all()
    assert case.threads.count == 1
    assert [user.name for (user,) in results] == ["alice"] * 5


def test_a_session_that_ends_gives_up_its_check(case):
    for number in range(2):
        case.begin(password=f"p{number}")
    ended = [case.check.check("alice", "x") for _ in range(2)]
    other = case.begin(password="y")
    for waiting in ended:
        waiting.cancel()
        assert isinstance(waiting.addErrback(lambda failure: failure.check(CancelledError)).result, type)
    case.threads.finish_all()
    assert case.threads.count == 3
    assert other == [None]


def test_a_check_goes_on_for_the_sessions_that_still_wait(case):
    first, second = case.check.check("alice", RIGHT), case.begin()
    first.addErrback(lambda _failure: None)
    first.cancel()
    case.threads.finish_all()
    assert second[0].name == "alice"
    running = case.check.check("alice", "x").addErrback(lambda _failure: None)
    running.cancel()
    case.threads.finish_all()
    assert case.answer("bob", "other") == "bob"


def test_a_check_that_failed_is_neither_right_nor_wrong(case, monkeypatch):
    def fail(*_):
        raise CheckUnavailable("memory is short")

    monkeypatch.setattr(password_check, "verify", fail)
    failed = case.begin(password="x")
    case.threads.finish_all()
    assert failed[0].check(CheckUnavailable)
    monkeypatch.undo()
    assert case.answer(password="x") is None


def test_an_unknown_name_is_checked_against_the_secret_of_a_user(monkeypatch):
    case = Case(f"alice:{BCRYPT}")
    secrets = []
    monkeypatch.setattr(password_check, "verify", lambda secret, _password: secrets.append(secret) or True)
    assert case.answer("nobody", PASSWORD) is None
    assert case.answer("nobody", PASSWORD) is None
    assert secrets == [case.users.find("alice").secret] * 2


def test_nothing_of_a_check_shows_a_password(case):
    case.begin()
    assert RIGHT not in repr(vars(case.check)) + repr(case.check._pending)


class ThreadsTests(TestCase):
    """The real threads."""

    def test_the_checks_run_in_two_threads_beside_the_reactor(self):
        threads = CheckThreads(reactor)
        self.addCleanup(threads.stopService)
        users = Users(text=f"alice:{BCRYPT}", mailname="mail.test", notice=lambda _line: None)
        check = PasswordCheck(users, threads, reactor.seconds)
        names = set()

        def note(work):
            return threads(lambda: (names.add(threading.current_thread().name), work())[1])

        check._run = note
        done = gatherResults([check.check("alice", password) for password in (PASSWORD, "x", "y", "z")])

        def compare(users):
            self.assertEqual([user and user.name for user in users], ["alice", None, None, None])
            self.assertTrue(1 <= len(names) <= 2)
            self.assertNotIn(threading.current_thread().name, names)

        return done.addCallback(compare)
