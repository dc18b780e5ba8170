"""One call explains a message for the command and for the page: without look-ups at once, with them when they end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from harness.zone import Zone, ZoneResolver
from mta.config.settings import read_settings
from mta.dns.answers import AddressAnswer, MxAnswer, NoData, TxtAnswer
from mta.explain.message.explaining import explain_message
from mta.explain.message.page import MessageNotFound, MessagePage, StepKind
from mta.explain.present import PresentRelay
from mta.queue.interface import Entry, Query, QueueId
from tests.cli.queue.test_command import NOW, fill, opened, result
from tests.fakes.relay_state import FakeRelayState

SETTINGS = {"MAILNAME": "relay.example.test", "NET_DEV": "none0", "PORT": "2525"}


class SlowResolver:
    """Answers when the test lets it."""

    def __init__(self) -> None:
        self.asked: list[Deferred[NoData]] = []

    async def mx(self, name: str) -> MxAnswer:
        return await self._wait(name)

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:  # noqa: ARG002
        return await self._wait(name)

    async def txt(self, name: str) -> TxtAnswer:
        return await self._wait(name)

    async def _wait(self, _name: str) -> NoData:
        self.asked.append(Deferred())
        return await self.asked[-1]


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    return fill(tmp_path)


@pytest.fixture
def state(tmp_path: Path, ids: list[QueueId]) -> FakeRelayState:  # noqa: ARG001
    return FakeRelayState(opened(tmp_path), NOW)


def present(tmp_path: Path, **environ: str) -> PresentRelay:
    settings = read_settings({"QUEUE_DIR": str(tmp_path)} | SETTINGS | environ)
    return PresentRelay(settings, settings.rules)


def explained(id: str, state: FakeRelayState, relay: PresentRelay | None) -> MessagePage:
    page: MessagePage = result(Deferred.fromCoroutine(explain_message(id, state, relay, NOW + 60)))
    return page


def test_a_running_relay_is_asked_why_the_message_waits(
    tmp_path: Path, state: FakeRelayState, ids: list[QueueId]
) -> None:
    state.waits[ids[0]] = "a connection to b.test"
    page = explained(ids[0][:12], state, present(tmp_path))
    waiting = page.recipients[0]
    assert waiting.next is not None
    assert waiting.next.words == "waits for a connection to b.test"
    assert waiting.route is not None
    assert waiting.route.words == "the MX hosts of b.test, port 25"
    assert page.timeline[0].kind is StepKind.ACCEPTED
    state.stop()
    assert any(note.startswith("no relay is running") for note in explained(ids[0], state, present(tmp_path)).notes)


def test_a_relay_that_tells_no_due_time_of_held_mail_runs_all_the_same(
    state: FakeRelayState, ids: list[QueueId], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = state.find

    async def without_due(query: Query) -> list[Entry]:
        return [
            replace(entry, held=True, recipients=tuple(replace(each, due=None) for each in entry.recipients))
            for entry in await found(query)
        ]

    monkeypatch.setattr(state, "find", without_due)
    assert explained(ids[0], state, None).notes == ()


def test_settings_with_mistakes_leave_a_page_without_decisions(state: FakeRelayState, ids: list[QueueId]) -> None:
    assert explained(ids[0], state, None).recipients[0].route is None


def test_an_id_without_a_message_is_not_found(tmp_path: Path, state: FakeRelayState) -> None:
    failures: list[object] = []
    waiting = Deferred.fromCoroutine(explain_message("7zzzz", state, present(tmp_path), NOW))
    waiting.addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], MessageNotFound)


def test_look_ups_and_files_do_not_block(tmp_path: Path, state: FakeRelayState, ids: list[QueueId]) -> None:
    works: list[Callable[[], object]] = []

    def later(work: Callable[[], object]) -> "Deferred[object]":
        works.append(work)
        return waiting_run

    settings = read_settings({"QUEUE_DIR": str(tmp_path)} | SETTINGS)
    waiting_run: Deferred[object] = Deferred()
    slow = SlowResolver()
    pages: list[MessagePage] = []
    relay = PresentRelay(settings, settings.rules, slow, later)  # type: ignore[arg-type]
    Deferred.fromCoroutine(explain_message(ids[0], state, relay, NOW)).addCallback(pages.append)
    assert (len(works), slow.asked, pages) == (1, [], [])
    waiting_run.callback(works[0]())
    assert (len(slow.asked), pages) == (1, [])
    while slow.asked:
        slow.asked.pop().callback(NoData(60))
    assert pages


def test_the_hosts_are_told_with_look_ups(tmp_path: Path, state: FakeRelayState, ids: list[QueueId]) -> None:
    settings = read_settings({"QUEUE_DIR": str(tmp_path)} | SETTINGS)
    zone = ZoneResolver(Zone({"b.test": {"MX": [[10, "mx.b.test"]]}, "mx.b.test": {"A": ["192.0.2.1"]}}))
    route = explained(ids[0], state, PresentRelay(settings, settings.rules, zone)).recipients[0].route
    assert route is not None
    assert route.hosts == ("mx.b.test[192.0.2.1]:25",)


def test_the_content_is_read_only_if_a_rule_asks_for_the_header(
    tmp_path: Path, state: FakeRelayState, ids: list[QueueId], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[QueueId] = []

    async def content(id: QueueId) -> bytes:
        asked.append(id)
        return b"Subject: hello\r\n\r\nHello.\r\n"

    monkeypatch.setattr(state, "content", content)
    explained(ids[0], state, present(tmp_path))
    assert asked == []
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "10-acl.toml").write_text('[[acl]]\nheader.Subject = "hello"\ndeny = "no"\n')
    page = explained(ids[0], state, present(tmp_path, RULES_DIR=str(rules)))
    assert asked == [ids[0]]
    assert page.allowed.startswith("they would refuse it")


def test_rules_that_may_have_changed_the_message_are_mentioned(
    tmp_path: Path, state: FakeRelayState, ids: list[QueueId]
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "10-rewrite.toml").write_text('[[rewrite]]\nset.sender = "app@relay.example.test"\n')
    notes = explained(ids[0], state, present(tmp_path, RULES_DIR=str(rules))).notes
    assert any("names those that have changed this message" in note for note in notes)
