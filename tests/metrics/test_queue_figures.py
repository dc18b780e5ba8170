"""The figures of the queue: kept for a while, read once for all, and left out if the queue does not answer."""

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from mta.metrics.metric import Samples
from mta.metrics.queue_figures import KEPT_FACTOR, KEPT_SECONDS, PATIENCE, QueueFigures
from mta.queue.interface import Ledger, Load, QueueError, Space, Status, Summary

NOW = 1_795_348_800.0
SUMMARY = Summary(
    4, 1, 2, NOW - 60, {Status.WAITING: 5, Status.DELIVERED: 9}, Ledger(20, 9, 3, 2, 5), finished=7, failed=1
)
SPACE = Space(1000, 24)


class Answering:
    """A queue whose answers the test gives."""

    def __init__(self) -> None:
        self.questions: list[Deferred[Summary]] = []

    def summary(self) -> "Deferred[Summary]":
        question: Deferred[Summary] = Deferred()
        self.questions.append(question)
        return question

    def load(self, now: float) -> "Deferred[Load]":
        assert now == NOW
        answer: Deferred[Load] = Deferred()
        answer.callback(Load(3, 4096, NOW - 7))
        return answer

    def space(self) -> "Deferred[Space]":
        answer: Deferred[Space] = Deferred()
        answer.callback(SPACE)
        return answer


def ask(figures: QueueFigures) -> list[Samples]:
    """Ask for figures; the list has them once they are there."""
    answers: list[Samples] = []
    Deferred.fromCoroutine(figures.samples()).addCallback(answers.append)
    return answers


def setup() -> tuple[Answering, Clock, QueueFigures]:
    queue, clock = Answering(), Clock()
    return queue, clock, QueueFigures(queue, clock, lambda: NOW)


def test_the_figures_are_those_of_the_queue() -> None:
    queue, _, figures = setup()
    answers = ask(figures)
    queue.questions[0].callback(SUMMARY)
    (samples,) = answers
    assert {key: value for key, value in samples.items() if not key[1]} == {
        ("queue_messages", ()): 4,
        ("queue_held_messages", ()): 1,
        ("queue_in_delivery_messages", ()): 2,
        ("queue_oldest_seconds", ()): 60.0,
        ("queue_recipients", ()): 5,
        ("history_messages", ()): 7,
        ("queue_due_messages", ()): 3,
        ("queue_late_seconds", ()): 7.0,
        ("queue_bytes", ()): 4096,
        ("queue_free_bytes", ()): 1024,
        ("queue_full", ()): 0,
        ("queue_read_seconds", ()): 0.0,
        ("ledger_missing", ()): 1,
    }
    assert samples["ledger_recipients", ("accepted",)] == 20


def test_scrapes_at_the_same_time_and_soon_after_share_one_read() -> None:
    queue, clock, figures = setup()
    first, second = ask(figures), ask(figures)
    queue.questions[0].callback(SUMMARY)
    assert first == second != []
    clock.advance(KEPT_SECONDS - 0.1)
    assert ask(figures) == first
    assert len(queue.questions) == 1
    clock.advance(0.2)
    ask(figures)
    assert len(queue.questions) == 2


def test_a_read_that_takes_long_is_repeated_seldom() -> None:
    queue, clock, figures = setup()
    ask(figures)
    clock.advance(1.0)
    queue.questions[0].callback(SUMMARY)
    clock.advance(KEPT_FACTOR - 0.1)
    assert ask(figures)
    assert len(queue.questions) == 1


def test_a_queue_that_does_not_answer_has_no_figures_and_is_not_asked_again_meanwhile() -> None:
    queue, clock, figures = setup()
    answers = ask(figures)
    clock.advance(PATIENCE)
    assert answers == [{}]
    again = ask(figures)
    assert len(queue.questions) == 1
    queue.questions[0].callback(SUMMARY)
    assert again != [{}]
    assert clock.getDelayedCalls() == []


def test_a_queue_that_fails_has_no_figures() -> None:
    queue, _, figures = setup()
    queue.summary = lambda: fail(QueueError("disk"))  # type: ignore[method-assign]
    assert ask(figures) == [{}]
