"""A requester that is built for its first request."""

from collections.abc import Mapping

from twisted.trial.unittest import TestCase

from mta.https.interface import TIMEOUT, HttpAnswer, HttpsRequester
from mta.https.when_needed import HttpsWhenNeeded


class LengthOfUrl:
    """Answers each request with the length of its URL as the status."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int,
        timeout: float = TIMEOUT,  # noqa: ASYNC109
    ) -> HttpAnswer:
        return HttpAnswer(len(url))


class WhenNeededTests(TestCase):
    async def test_it_is_built_once_and_not_before(self) -> None:
        made: list[HttpsRequester] = []

        def make() -> HttpsRequester:
            made.append(LengthOfUrl())
            return made[-1]

        https = HttpsWhenNeeded(make)
        self.assertEqual(made, [])
        first = await https.request("GET", "https://a.test/", {}, limit=10)
        second = await https.request("GET", "https://b.test/bc", {}, limit=10)
        self.assertEqual((first.status, second.status, len(made)), (15, 17, 1))
