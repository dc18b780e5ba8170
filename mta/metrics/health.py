"""The answers to questions of a program that watches the relay, without HTTP."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from mta.metrics.metric import Samples

_TEXT = "text/plain; charset=utf-8"
_OK, _NOT_FOUND, _UNAVAILABLE = 200, 404, 503


@dataclass(frozen=True, slots=True)
class Answer:
    """The status, the body and its type, as HTTP has them."""

    status: int
    body: bytes
    content_type: str = _TEXT


class Watched(Protocol):
    """The relay, as one process or as several."""

    async def samples(self) -> Samples:
        """Return all figures."""

    def healthy(self) -> bool:
        """Return whether every process that accepts mail gives signs of life."""

    def ready(self) -> bool:
        """Return whether the ports are served, and the relay is not about to stop."""


#: Writes samples as text of the type that a header Accept asks for: `mta.metrics.exposition.expose`.
Expose = Callable[[Samples, str], tuple[bytes, str]]


class Answers:
    """Answers the paths `/metrics`, `/healthz` and `/readyz`. No answer has an address, a sender or a subject."""

    def __init__(self, watched: Watched, expose: Expose) -> None:
        self._watched = watched
        self._expose = expose
        self._by_path: dict[str, Callable[[str], Awaitable[Answer]]] = {
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/readyz": self._readiness,
        }

    async def answer(self, path: str, accept: str) -> Answer:
        """Return the answer for a path; `accept` is the header of the request."""
        handler = self._by_path.get(path)
        if handler is None:
            return Answer(_NOT_FOUND, b"not here: /metrics, /healthz and /readyz\n")
        return await handler(accept)

    async def _metrics(self, accept: str) -> Answer:
        return Answer(_OK, *self._expose(await self._watched.samples(), accept))

    async def _health(self, _: str) -> Answer:
        return _verdict("" if self._watched.healthy() else "a worker gives no sign of life")

    async def _readiness(self, _: str) -> Answer:
        if not self._watched.ready():
            return _verdict("the relay is starting or stopping")
        full = (await self._watched.samples()).get(("queue_full", ()))
        if full is None:
            return _verdict("the queue cannot be read")
        return _verdict("the queue's disk is full" if full else "")


def _verdict(problem: str) -> Answer:
    return Answer(_UNAVAILABLE, f"{problem}\n".encode()) if problem else Answer(_OK, b"ok\n")
