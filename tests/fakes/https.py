"""A HttpsRequester without a network: the test gives the answer to each request, before it comes or while it waits."""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred, succeed

from mta.https.interface import TIMEOUT, HttpAnswer, HttpsError


def answer(body: Any, status: int = 200, **headers: str) -> HttpAnswer:
    """Return an answer with a JSON body."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpAnswer(status, named, json.dumps(body).encode())


def token(text: str, **more: Any) -> HttpAnswer:
    """Return an answer with a token for an hour."""
    return answer({"token_type": "Bearer", "access_token": text, "expires_in": 3600} | more)


class FakeHttps:
    """Answers with `answers` in their order; a request without one waits in `waiting`."""

    def __init__(self) -> None:
        self.answers: deque[HttpAnswer | HttpsError] = deque()
        self.waiting: deque[Deferred[HttpAnswer]] = deque()
        #: The URL and the fields of the form of each request.
        self.requests: list[tuple[str, dict[str, str]]] = []

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int,
        timeout: float = TIMEOUT,
    ) -> "Deferred[HttpAnswer]":
        assert (method, headers["Content-Type"]) == ("POST", "application/x-www-form-urlencoded")
        self.requests.append((url, dict(parse_qsl(body.decode(), keep_blank_values=True))))
        if not self.answers:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        given = self.answers.popleft()
        if isinstance(given, HttpsError):
            failed: Deferred[HttpAnswer] = Deferred()
            failed.errback(given)
            return failed
        return succeed(given)

    def arrive(self, given: HttpAnswer) -> None:
        """Let the answer to the request arrive that has waited longest."""
        self.waiting.popleft().callback(given)

    @property
    def forms(self) -> list[dict[str, str]]:
        """The fields of the form of each request."""
        return [form for _, form in self.requests]
