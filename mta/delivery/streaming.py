"""Sending a body that is too large to write at once, no faster than the remote takes it."""

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from mta.message.body import CHUNK_BYTES, Body


@implementer(IPullProducer)
class BodyStream:
    """Gives a transport one chunk each time it has room again, so at most two are in memory."""

    def __init__(self, body: Body, write: Callable[[bytes], None], done: Callable[[OSError | None], None]) -> None:
        """Prepare: `write` gets each chunk; then `done` is called once, with the error when the disk failed."""
        self._chunks = _chunks(body)
        self._write = write
        self._done = done
        self._stopped = False

    def resumeProducing(self) -> None:
        """Write the next chunk, or tell that there is none."""
        if self._stopped:
            return
        unread = None
        try:
            if (chunk := next(self._chunks, None)) is not None:
                self._write(chunk)
                return
        except OSError as error:
            unread = error
        self.stopProducing()
        self._done(unread)

    def stopProducing(self) -> None:
        """Read no more."""
        self._stopped = True
        self._chunks = iter(())


def _chunks(body: Body) -> Iterator[bytes]:
    """Yield the body in pieces that are small whatever it is made of."""
    for chunk in body.chunks():
        if len(chunk) <= CHUNK_BYTES:
            yield chunk
            continue
        for start in range(0, len(chunk), CHUNK_BYTES):
            yield chunk[start : start + CHUNK_BYTES]
