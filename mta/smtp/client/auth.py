"""The AUTH command of the client (RFC 4954): tries one mechanism after another until one is accepted."""

import base64
import re
from collections.abc import Sequence

from mta.smtp import sasl
from mta.smtp.client.dialogue import (
    Awaited,
    Dialogue,
    FailureKind,
    SessionFailure,
    SessionOver,
    protocol_error,
    refused,
)
from mta.smtp.replies import Reply

_MASK = "****"
# Shorter texts are not masked, because they occur in ordinary words.
_MIN_MASKED = 4


class LoginAttempt:
    """Tries mechanisms, best first. `refusal` is the reply to the last mechanism that was refused.

    Replies are logged, and some servers repeat the command in them: `secrets` and all responses are masked.
    """

    def __init__(self, dialogue: Dialogue, mechanisms: list[sasl.Mechanism], secrets: Sequence[str] = ()) -> None:
        self._dialogue = dialogue
        self._mechanisms = mechanisms
        self._secrets = {*secrets, *(_base64(secret.encode()) for secret in secrets)}
        self.refusal: SessionFailure | None = None

    def start(self) -> None:
        """Send AUTH with the best mechanism that is left."""
        mechanism = self._mechanisms[0]
        # RFC 4954 section 4: an empty initial response is written "=".
        initial = "" if mechanism.initial is None else f" {self._encode(mechanism.initial) or '='}"
        self._dialogue.send(Awaited.AUTH, f"AUTH {mechanism.name}{initial}")

    def handle_reply(self, reply: Reply) -> bool:
        """Handle a reply to AUTH; return whether the login succeeded. Raises SessionOver if no mechanism is left."""
        first_digit = reply.code // 100
        if first_digit == 2:
            return True
        if first_digit == 3:
            self._respond(reply)
            return False
        self.refusal = refused(FailureKind.LOGIN_REFUSED, self._masked(reply), "4.7.8").failure
        self._mechanisms.pop(0)
        # As in the image that the relay replaces: a server may accept a password by one mechanism but not by another.
        if reply.temporary or not self._mechanisms:
            raise SessionOver(self.refusal)
        self.start()
        return False

    def _respond(self, reply: Reply) -> None:
        try:
            # Some servers put blanks or words behind the challenge.
            challenge = base64.b64decode(reply.text.partition(" ")[0], validate=True)
            response = self._mechanisms[0].respond(challenge)
        except ValueError:
            # A SaslError, or one of the two errors of base64: for text that is not base64, or not even ASCII.
            raise protocol_error(Awaited.AUTH, self._masked(reply)) from None
        self._dialogue.send(Awaited.AUTH, self._encode(response))

    def _encode(self, octets: bytes) -> str:
        """Return octets in base64, which will be masked in replies."""
        encoded = _base64(octets)
        self._secrets.add(encoded)
        return encoded

    def _masked(self, reply: Reply) -> Reply:
        words = sorted((word for word in self._secrets if len(word) >= _MIN_MASKED), key=len, reverse=True)
        masked = re.compile("|".join(map(re.escape, words)) or "(?!)", re.IGNORECASE)
        return Reply(reply.code, reply.status, tuple(masked.sub(_MASK, line) for line in reply.lines))


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
