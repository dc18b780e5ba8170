"""The slow half of a signature, the operation with the private key, done outside the reactor's thread.

An RSA signature takes about as long as all else that a relayed message costs, and `cryptography` (from 47) lets other
threads go on meanwhile: with a second core the reactor has a third less to do (measured). What gathers while a thread
signs goes to it together, so that a lone message waits for nobody and a busy relay pays for few hand-overs.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.message.dkim import UnsignedField

#: Does blocking work in a thread; the Deferred fires in the reactor's.
Run = Callable[[Callable[[], Any]], "Deferred[Any]"]

_Fields = Sequence[UnsignedField]
_Waiting = list[tuple[_Fields, "Deferred[bytes]"]]


class KeyWork:
    """Signs what is ready to be signed, in the order it came."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: _Waiting = []
        self._busy = False

    def sign(self, fields: _Fields) -> "Deferred[bytes]":
        """Return the fields with their signatures, one below the other. Waits for nothing if all keys are quick."""
        if all(field.quick for field in fields):
            return succeed(_signed(fields))
        done: Deferred[bytes] = Deferred()
        self._waiting.append((fields, done))
        if not self._busy:
            self._start()
        return done

    def _start(self) -> None:
        batch, self._waiting = self._waiting, []
        self._busy = bool(batch)
        if batch:
            working = self._run(lambda: [_signed(fields) for fields, _ in batch])
            working.addCallbacks(self._done, self._failed, (batch,), {}, (batch,))

    def _done(self, results: Sequence[bytes], batch: _Waiting) -> None:
        # The thread works on what has gathered while we talk.
        self._start()
        for result, (_, done) in zip(results, batch, strict=True):
            done.callback(result)

    def _failed(self, failure: Failure, batch: _Waiting) -> None:
        self._start()
        for _, done in batch:
            done.errback(failure)


def _signed(fields: _Fields) -> bytes:
    return b"".join(field.sign() for field in fields)
