"""A HttpsRequester that is built for its first request, because the HTTP client of Twisted takes 3 MB of memory."""

from collections.abc import Callable, Mapping

from mta.https.interface import TIMEOUT, HttpAnswer, HttpsRequester


class HttpsWhenNeeded:
    """Passes requests on to the requester that `make` returns, which is called once."""

    def __init__(self, make: Callable[[], HttpsRequester]) -> None:
        self._make = make
        self._made: HttpsRequester | None = None

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int,
        timeout: float = TIMEOUT,  # noqa: ASYNC109  this is not asyncio
    ) -> HttpAnswer:
        """Send one request; see HttpsRequester. Raises HttpsError."""
        if self._made is None:
            self._made = self._make()
        return await self._made.request(method, url, headers, body, limit=limit, timeout=timeout)
