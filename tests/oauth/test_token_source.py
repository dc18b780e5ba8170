"""The source of tokens: one request for all callers, renewal, failures, rejected tokens, and the shared file."""

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from mta.blocking import run_inline
from mta.https.interface import HttpAnswer, HttpsError
from mta.message.outcome import ErrorKind, TryLater
from mta.oauth.answers import AccessToken
from mta.oauth.grants import RefreshToken
from mta.oauth.token_file import FILE_NAME, SavedTokens, TokenFile
from mta.oauth.token_source import SourceParts, TokenSource
from mta.routing.route import Route, TokenCredentials
from mta.smtp.sasl.logins import TokenLogin
from tests.fakes.https import FakeHttps, answer, token
from tests.oauth.test_grants import ACCOUNT, OWN, USERS

ROUTE = Route("smtp.test", "192.0.2.1", 587, credentials=TokenCredentials("boss@example.test"))
NOW = 1_800_000_000.0
REFUSED = answer({"error": "invalid_grant", "error_description": "hush-refresh of hush-id is revoked"}, 400)


class World:
    """One directory, clock and endpoint for the sources of several workers, or of one run after the other."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.https = FakeHttps()
        self.file = TokenFile(folder)
        self.troubles: list[str] = []
        self.in_thread = run_inline

    def now(self) -> float:
        return NOW + self.clock.seconds()

    def run(self, work):
        return self.in_thread(work)

    def source(self, grant=USERS) -> TokenSource:
        parts = SourceParts(self.https, self.file, self.run, self.clock, self.now, self.troubles.append)
        source = TokenSource(grant, parts)
        source.startService()
        return source

    def later(self, seconds: float) -> None:
        """Let time pass in small steps, as it does."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
        self.clock.advance(seconds % 1)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def ask(source: TokenSource) -> "Deferred[TokenLogin | TryLater]":
    return Deferred.fromCoroutine(source.login(ROUTE))


def got(asked: "Deferred[TokenLogin | TryLater] | TokenSource") -> TokenLogin | TryLater:
    """Return the result of a question, which must be there."""
    results = []
    (ask(asked) if isinstance(asked, TokenSource) else asked).addBoth(results.append)
    (result,) = results
    return result


def told(source: TokenSource) -> str:
    """Return the text of a failure, which must be the result, without secrets."""
    result = got(source)
    assert isinstance(result, TryLater)
    assert result.kind is ErrorKind.LOGIN
    assert result.text.isprintable()
    assert "hush" not in repr(result)
    assert result.status == "4.7.0"
    return result.text


def login(text: str) -> TokenLogin:
    return TokenLogin("boss@example.test", text)


def test_a_hundred_callers_wait_for_one_request(world):
    source = world.source()
    asked = [ask(source) for _ in range(100)]
    assert len(world.https.requests) == 1
    world.https.arrive(token("one"))
    assert [got(each) for each in asked] == [login("one")] * 100
    assert got(source) == login("one")
    assert len(world.https.requests) == 1


def test_a_caller_that_is_cancelled_leaves_the_others_waiting(world):
    source = world.source()
    first, second = ask(source), ask(source)
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    world.https.arrive(token("one"))
    assert got(second) == login("one")


def test_the_request_has_the_url_and_the_form_of_the_grant(world):
    world.https.answers.append(token("one"))
    assert got(world.source(OWN)) == login("one")
    assert world.https.requests == [(OWN.url, dict(OWN.form(NOW)))]


def test_a_token_is_renewed_when_fifteen_minutes_are_left(world):
    source = world.source()
    world.https.answers += [token("one"), token("two")]
    got(source)
    world.later(2699)
    assert got(source) == login("one")
    world.later(2)
    assert got(source) == login("two")


def test_no_caller_waits_for_a_renewal_as_long_as_the_old_token_is_valid_for_ten_minutes(world):
    source = world.source()
    world.https.answers.append(token("one"))
    got(source)
    world.later(2701)
    assert [got(source) for _ in range(3)] == [login("one")] * 3
    assert len(world.https.requests) == 2
    world.later(300)
    waiting = ask(source)
    assert not waiting.called
    world.https.arrive(token("two"))
    assert got(waiting) == got(source) == login("two")
    assert len(world.https.requests) == 2


def test_a_short_life_causes_no_request_for_each_message(world):
    source = world.source()
    world.https.answers += [token(f"token {number}", expires_in=1) for number in range(100)]
    for _ in range(60):
        got(source)
        world.later(1)
    assert len(world.https.requests) == 2


def test_the_old_token_is_used_while_no_new_one_is_to_be_had(world):
    source = world.source()
    world.https.answers += [token("one"), HttpsError("login.test: connection refused"), REFUSED]
    got(source)
    world.later(3000)
    assert got(source) == login("one")
    assert got(source) == login("one")
    assert len(world.https.requests) == 2
    world.later(300)
    assert got(source) == login("one")
    assert len(world.https.requests) == 3
    world.later(301)
    assert "invalid_grant" in told(source)


def test_an_endpoint_in_trouble_is_asked_ever_less_often_and_after_a_success_soon_again(world):
    source = world.source()
    times = []
    world.https.answers += [answer({}, 503)] * 20
    for _ in range(2000):
        asked = len(world.https.requests)
        told(source)
        if len(world.https.requests) > asked:
            times.append(world.clock.seconds())
        world.clock.advance(1)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[:7] == [10, 20, 40, 80, 160, 300, 300]
    world.https.answers.clear()
    world.https.answers += [token("one", expires_in=60), answer({}, 503), answer({}, 503)]
    world.later(300)
    assert got(source) == login("one")
    world.later(60)
    told(source)
    world.later(10)
    asked = len(world.https.requests)
    told(source)
    assert len(world.https.requests) == asked + 1


def test_retry_after_is_obeyed(world):
    source = world.source()
    world.https.answers += [answer({}, 429, retry_after="120"), token("one")]
    assert "status 429" in told(source)
    world.later(119)
    told(source)
    world.later(1)
    assert got(source) == login("one")


def test_a_refusal_is_told_once_in_ten_minutes_with_advice_and_without_secrets(world):
    source = world.source()
    for number in (1, 2):
        world.https.answers.append(REFUSED)
        assert "SMARTHOST_REFRESH_TOKEN" in told(source)
        for _ in range(9):
            world.later(60)
            told(source)
        assert len(world.https.requests) == len(world.troubles) == number
        world.later(60)
    for line in world.troubles:
        assert line.startswith(
            "no token for the smarthost's login: invalid_grant: **** of **** is revoked; mail stays queued"
        )
        assert "hush" not in line


def test_an_operators_retry_asks_again_but_not_within_a_minute(world):
    source = world.source()
    world.https.answers += [REFUSED, REFUSED, token("one")]
    told(source)
    world.later(30)
    source.retry()
    told(source)
    assert len(world.https.requests) == 1
    world.later(30)
    told(source)
    assert len(world.https.requests) == 2
    world.later(120)
    told(source)
    source.retry()
    assert got(source) == login("one")


@pytest.mark.parametrize(("grant", "words"), [(OWN, "that SMARTHOST_TOKEN_URL is right, and "), (ACCOUNT, "")])
def test_an_endpoint_without_answer_is_told_with_the_setting_to_check(world, grant, words):
    world.https.answers.append(HttpsError("login.test: connection refused"))
    assert told(world.source(grant)) == (
        "no token for the smarthost's login: login.test: connection refused; mail stays queued."
        f" See {words}that no firewall or proxy is in the way"
    )


def test_junk_of_the_endpoint_is_a_refusal(world):
    world.https.answers.append(HttpAnswer(200, {}, b"<html>log in here</html>"))
    assert "the token endpoint answers with status 200 and no token" in told(world.source())
    assert len(world.troubles) == 1


def test_a_rejected_token_is_replaced_once(world):
    source = world.source()
    world.https.answers += [token("one"), token("two"), token("three")]
    got(source)
    assert source.rejected(ROUTE, login("one"))
    # All connections that were refused with the first one may try again.
    assert source.rejected(ROUTE, login("one"))
    assert got(source) == login("two")
    assert source.rejected(ROUTE, login("one"))
    assert not source.rejected(ROUTE, login("two"))
    assert got(source) == login("two")
    assert len(world.https.requests) == 2


def test_a_host_that_refuses_every_token_causes_one_request_a_minute(world):
    source = world.source()
    world.https.answers += [token(f"token-{number}") for number in range(100)]
    for _ in range(600):
        current = got(source)
        source.rejected(ROUTE, current)
        world.clock.advance(1)
    assert len(world.https.requests) == 11


def test_an_endpoint_that_gives_the_rejected_token_again_causes_no_loop(world):
    source = world.source()
    world.https.answers += [token("one")] * 3
    got(source)
    assert source.rejected(ROUTE, login("one"))
    assert got(source) == login("one")
    assert not source.rejected(ROUTE, login("one"))


class Threads:
    """Runs work when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple] = []

    def __call__(self, work):
        self.waiting.append((work, Deferred()))
        return self.waiting[-1][1]

    def run(self) -> None:
        work, done = self.waiting.pop(0)
        run_inline(work).chainDeferred(done)


def test_a_new_refresh_token_is_on_disk_before_the_access_token_is_used(world):
    world.in_thread = threads = Threads()
    asked = ask(world.source())
    threads.run()  # takes the lock
    threads.run()  # reads
    world.https.arrive(token("one", refresh_token="hush-refresh-2"))
    assert not asked.called
    assert world.file.read() is None
    threads.run()  # writes
    assert world.file.read().refresh_token == "hush-refresh-2"
    assert got(asked) == login("one")


def test_the_refresh_token_that_came_last_is_used_by_the_next_run(world):
    source = world.source()
    world.https.answers += [token("one", refresh_token="second", expires_in=60), token("two", expires_in=60)]
    got(source)
    world.later(60)
    got(source)
    world.later(60)
    world.https.answers += [token("three", refresh_token="third")]
    assert got(world.source()) == login("three")
    assert [form["refresh_token"] for form in world.https.forms] == ["hush-refresh", "second", "second"]
    assert world.file.read().refresh_token == "third"


def test_another_configured_token_wins(world):
    world.https.answers += [token("one", refresh_token="second"), token("two")]
    got(world.source())
    assert got(world.source(replace(USERS, refresh_token="configured anew"))) == login("two")
    assert world.https.forms[-1]["refresh_token"] == "configured anew"


def test_a_new_client_secret_asks_at_once_with_the_refresh_token_that_came_last(world):
    world.https.answers += [token("one", refresh_token="second"), token("two")]
    got(world.source())
    assert got(world.source(replace(USERS, client_secret="renewed"))) == login("two")
    assert (world.https.forms[-1]["refresh_token"], world.https.forms[-1]["client_secret"]) == ("second", "renewed")


def test_a_restart_uses_the_token_of_the_run_before(world):
    world.https.answers.append(token("one"))
    got(world.source(OWN))
    assert got(world.source(OWN)) == login("one")
    assert len(world.https.requests) == 1


def test_workers_share_a_token_and_its_successor(world):
    workers = [world.source() for _ in range(4)]
    world.https.answers += [token("one"), token("two"), token("three")]
    assert [got(worker) for worker in workers] == [login("one")] * 4
    world.later(2701)
    assert [got(worker) for worker in workers] == [login("two")] * 4
    assert [worker.rejected(ROUTE, login("two")) for worker in workers] == [True] * 4
    assert [got(worker) for worker in workers] == [login("three")] * 4
    assert len(world.https.requests) == 3


def test_workers_that_ask_together_wait_for_the_one_that_has_the_lock(world):
    workers = [world.source() for _ in range(4)]
    asked = [ask(worker) for worker in workers]
    assert len(world.https.requests) == 1
    world.later(20)
    world.https.arrive(token("one"))
    world.later(1)
    assert [got(each) for each in asked] == [login("one")] * 4
    assert len(world.https.requests) == 1


def test_workers_share_a_refusal_that_one_of_them_tells(world):
    workers = [world.source() for _ in range(4)]
    world.https.answers.append(REFUSED)
    texts = {told(worker) for worker in workers}
    assert len(texts) == len(world.https.requests) == len(world.troubles) == 1
    world.later(599)
    assert {told(worker) for worker in workers} == texts
    assert len(world.https.requests) == 1
    world.later(1)
    world.https.answers.append(token("one"))
    assert [got(worker) for worker in workers] == [login("one")] * 4


def test_a_refusal_of_the_run_before_does_not_count(world):
    world.https.answers += [REFUSED, token("one")]
    told(world.source())
    world.later(20)
    assert got(world.source()) == login("one")


def test_a_worker_that_hangs_with_the_lock_makes_the_others_wait_a_minute(world):
    lock = world.file.try_lock()
    source = world.source()
    asked = ask(source)
    world.later(59)
    assert not asked.called
    world.later(2)
    assert "another worker has got no answer within 60 s" in got(asked).text
    os.close(lock)
    world.later(10)
    world.https.answers.append(token("one"))
    assert got(source) == login("one")


def test_the_lock_is_free_after_every_end_of_a_request(world):
    source = world.source()
    for given in (REFUSED, HttpsError("x"), answer({}, 500), token("one")):
        world.https.answers.append(given)
        got(source)
        os.close(world.file.try_lock())
        world.later(601)


def test_a_directory_that_cannot_be_used_is_told_and_mail_waits(world, tmp_path):
    world.file = TokenFile(tmp_path / "gone")
    assert "the file of tokens in QUEUE_DIR cannot be used (No such file or directory)" in told(world.source())


def test_a_file_that_cannot_be_read_makes_mail_wait(world, tmp_path):
    (tmp_path / FILE_NAME).symlink_to("/etc/passwd")
    assert "the file of tokens in QUEUE_DIR cannot be used" in told(world.source())
    assert world.https.requests == []


class FullDisk(TokenFile):
    """A file that cannot be written for now."""

    full = True

    def write(self, saved: SavedTokens) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(saved)


def test_a_full_disk_does_not_hold_mail_up_and_the_content_is_written_later(world, tmp_path):
    world.file = FullDisk(tmp_path)
    source = world.source()
    world.https.answers += [token("one", refresh_token="second"), token("two")]
    assert got(source) == login("one")
    (line,) = world.troubles
    assert "No space left on device" in line
    world.file.full = False
    world.later(2701)
    assert got(source) == login("two")
    assert world.https.forms[-1]["refresh_token"] == "second"
    assert world.file.read().refresh_token == "second"


def test_a_damaged_file_is_replaced(world, tmp_path):
    (tmp_path / FILE_NAME).write_text("{")
    world.https.answers.append(token("one"))
    assert got(world.source()) == login("one")
    assert world.file.read().access == AccessToken("one", NOW, NOW + 3600)


def test_a_stop_waits_for_the_answer_but_not_for_long(world):
    source = world.source()
    assert source.stopService().called
    asked = ask(source)
    stopping = source.stopService()
    assert not stopping.called
    world.https.arrive(token("one", refresh_token="second"))
    assert stopping.called
    assert world.file.read().refresh_token == "second"
    assert got(asked) == login("one")
    world.later(2701)
    ask(source)
    slow = source.stopService()
    world.later(4)
    assert not slow.called
    world.later(1)
    assert slow.called
    world.https.arrive(token("two"))


def test_a_bug_makes_mail_wait_and_causes_no_flood_of_requests(world):
    # No HTTPS answer has a body that is text.
    world.https.answers += [HttpAnswer(200, {}, object()), token("one")]
    source = world.source()
    assert "an error of the relay, which the log shows" in told(source)
    told(source)
    assert len(world.https.requests) == 1
    world.later(10)
    assert got(source) == login("one")


def test_nothing_of_a_source_shows_a_secret(world):
    source = world.source()
    world.https.answers.append(token("hush-token", refresh_token="hush-second"))
    assert "hush" not in repr(got(source))
    assert "hush" not in repr(source) + repr(vars(source))


def test_a_public_client_of_the_user_has_no_secret_in_its_form(world):
    world.https.answers.append(token("one"))
    got(world.source(RefreshToken("https://x.test/", "id", "", "refresh")))
    assert "client_secret" not in world.https.forms[0]
