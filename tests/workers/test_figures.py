"""The figures of several workers: added, and complete without those of a worker that hangs."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mta.metrics.metric import Samples, to_words
from mta.workers.figures import FIGURES, PATIENCE, WorkersFigures, answer_figures


class Asked:
    """A parent of two workers."""

    def __init__(self, workers: int = 2) -> None:
        self.clock = Clock()
        self.sent: list[tuple[Any, ...]] = []
        self.figures = WorkersFigures(self.clock, lambda *words: self.sent.append(words), lambda: workers)

    def ask(self) -> list[Samples]:
        answers: list[Samples] = []
        Deferred.fromCoroutine(self.figures.samples()).addCallback(answers.append)
        return answers

    def answer(self, worker: int, number: int, waiting: int) -> None:
        words = to_words({("queue_messages", ()): waiting, ("processes", ()): 1})
        self.figures.handlers(worker)[FIGURES](number, words)


def test_the_figures_of_all_workers_are_added() -> None:
    asked = Asked()
    answers, shared = asked.ask(), asked.ask()
    assert asked.sent == [(FIGURES, 1)]
    asked.answer(1, 1, 3)
    assert answers == []
    asked.answer(2, 1, 4)
    assert answers == shared == [{("queue_messages", ()): 7, ("processes", ()): 2}]
    assert asked.clock.getDelayedCalls() == []


def test_a_worker_that_hangs_is_missing_from_the_sum_and_its_late_answer_does_not_count() -> None:
    asked = Asked()
    answers = asked.ask()
    asked.answer(1, 1, 3)
    asked.clock.advance(PATIENCE)
    assert answers == [{("queue_messages", ()): 3, ("processes", ()): 1}]
    again = asked.ask()
    asked.answer(2, 1, 4)
    asked.answer(1, 2, 5)
    asked.answer(2, 2, 6)
    assert again == [{("queue_messages", ()): 11, ("processes", ()): 2}]


def test_without_workers_there_are_no_figures() -> None:
    assert Asked(0).ask() == [{}]


def test_a_worker_answers_with_its_figures() -> None:
    sent: list[tuple[Any, ...]] = []

    async def samples() -> Samples:
        return {("alarms", ()): 1}

    answer_figures(samples, lambda *words: sent.append(words), 5)
    assert sent == [(FIGURES, 5, [["alarms", [], 1]])]
