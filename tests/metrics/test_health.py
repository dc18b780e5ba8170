"""The answers for a program that watches the relay."""

import pytest
from twisted.internet.defer import Deferred

from mta.metrics.health import Answer, Answers
from mta.metrics.metric import Samples

ROOM: Samples = {("queue_full", ()): 0}


class Relay:
    """A relay in a state that the test chooses."""

    def __init__(self, samples: Samples, *, healthy: bool = True, ready: bool = True) -> None:
        self._samples = samples
        self._healthy = healthy
        self._ready = ready

    async def samples(self) -> Samples:
        return self._samples

    def healthy(self) -> bool:
        return self._healthy

    def ready(self) -> bool:
        return self._ready


def answer(relay: Relay, path: str) -> Answer:
    answers = Answers(relay, lambda samples, accept: (f"{len(samples)} {accept}".encode(), "text/x"))
    found: list[Answer] = []
    Deferred.fromCoroutine(answers.answer(path, "any")).addCallback(found.append)
    return found[0]


@pytest.mark.parametrize(
    ("relay", "status", "words"),
    [
        (Relay(ROOM), 200, b"ok\n"),
        (Relay(ROOM, ready=False), 503, b"the relay is starting or stopping\n"),
        (Relay({}), 503, b"the queue cannot be read\n"),
        (Relay({("queue_full", ()): 1}), 503, b"the queue's disk is full\n"),
        (Relay(ROOM, healthy=False), 200, b"ok\n"),
    ],
)
def test_the_relay_is_ready_if_it_can_take_mail_now(relay: Relay, status: int, words: bytes) -> None:
    assert answer(relay, "/readyz") == Answer(status, words)


def test_the_relay_is_healthy_while_its_processes_give_signs_of_life() -> None:
    assert answer(Relay({}, ready=False), "/healthz") == Answer(200, b"ok\n")
    assert answer(Relay(ROOM, healthy=False), "/healthz").status == 503


def test_figures_are_exposed_in_the_type_that_is_asked_for_and_other_paths_are_not_there() -> None:
    assert answer(Relay(ROOM), "/metrics") == Answer(200, b"1 any", "text/x")
    assert answer(Relay(ROOM), "/metrics/").status == 404
