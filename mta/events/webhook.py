"""Sends batches of events to the receiver at EVENTS_URL."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mta.events.batch import SIGNATURE, batch_body, signature
from mta.events.spool import Batch
from mta.https.interface import HttpsError, HttpsRequester, parse_url

# Octets of an answer that are read; its body has no meaning.
_ANSWER_OCTETS = 64 * 1024
_LOWEST_SUCCESS, _HIGHEST_SUCCESS = 200, 299


@dataclass(frozen=True, slots=True)
class Receiver:
    """The address of the receiver, and the secret by which it knows the relay. Both may be confidential."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


class Webhook:
    """Sends batches, one request each."""

    def __init__(
        self,
        receiver: Receiver,
        client: Callable[[], Awaitable[HttpsRequester]],
        *,
        relay: str,
        worker: int,
        wall_clock: Callable[[], float],
    ) -> None:
        """`client` returns the client for a request, or raises HttpsError.

        `relay` is the name of the relay, and `worker` the number of its process, from 1.
        """
        self._receiver = receiver
        self._client = client
        self._relay = relay
        self._worker = worker
        self._wall_clock = wall_clock

    async def send(self, batch: Batch) -> str | None:
        """Send a batch; return why it was not received, or None if the receiver has it (any status 2xx)."""
        receiver = self._receiver
        body = batch_body(self._relay, self._worker, batch.dropped, batch.data)
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(receiver.secret, int(self._wall_clock()), body),
        }
        try:
            https = await self._client()
            answer = await https.request("POST", receiver.url, headers, body, limit=_ANSWER_OCTETS)
        except HttpsError as error:
            return str(error)
        if _LOWEST_SUCCESS <= answer.status <= _HIGHEST_SUCCESS:
            return None
        return f"{parse_url(receiver.url, plain=True).authority}: status {answer.status}"
