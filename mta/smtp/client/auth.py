"""AUTH as the client says it (RFC 4954): one mechanism after the other until one is accepted."""

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
    out_of_protocol,
    refused,
)
from mta.smtp.replies import Reply

_MASK = "****"
# A shorter secret is none, and its letters stand in every word.
_SHORTEST = 4


class LoginAttempt:
    """Tries mechanisms, best first. `refusal` is what the server said to the last that it refused.

    What a server says goes to the log, and some repeat what they refuse: `secrets` and all that was sent are masked.
    """

    def __init__(self, dialogue: Dialogue, mechanisms: list[sasl.Mechanism], secrets: Sequence[str] = ()) -> None:
        self._dialogue = dialogue
        self._mechanisms = mechanisms
        self._hidden = {*secrets, *(_encode(secret.encode()) for secret in secrets)}
        self.refusal: SessionFailure | None = None

    def start(self) -> None:
        """Say AUTH with the best mechanism that is left."""
        mechanism = self._mechanisms[0]
        # RFC 4954 section 4: an empty initial response is written "=".
        first = "" if mechanism.initial is None else f" {self._sent(mechanism.initial) or '='}"
        self._dialogue.say(Awaited.AUTH, f"AUTH {mechanism.name}{first}")

    def answer(self, reply: Reply) -> bool:
        """Take a reply to AUTH; return whether we are logged in. Raises SessionOver when no mechanism is left."""
        kind = reply.code // 100
        if kind == 2:
            return True
        if kind == 3:
            self._respond(reply)
            return False
        self.refusal = refused(FailureKind.LOGIN_REFUSED, self._masked(reply), "4.7.8").trouble
        self._mechanisms.pop(0)
        # As the image we replace: a server may know a password by one mechanism and not by the other.
        if reply.temporary or not self._mechanisms:
            raise SessionOver(self.refusal)
        self.start()
        return False

    def _respond(self, reply: Reply) -> None:
        try:
            # Some servers put blanks or words of their own behind the challenge.
            challenge = base64.b64decode(reply.text.partition(" ")[0], validate=True)
            response = self._mechanisms[0].respond(challenge)
        except ValueError:
            # A SaslError, or base64's: that has one kind for what is no base64 and another for what is not even ASCII.
            raise out_of_protocol(Awaited.AUTH, self._masked(reply)) from None
        self._dialogue.say(Awaited.AUTH, self._sent(response))

    def _sent(self, octets: bytes) -> str:
        """Return octets as they are sent, and remember to hide them."""
        encoded = _encode(octets)
        self._hidden.add(encoded)
        return encoded

    def _masked(self, reply: Reply) -> Reply:
        words = sorted((word for word in self._hidden if len(word) >= _SHORTEST), key=len, reverse=True)
        masked = re.compile("|".join(map(re.escape, words)) or "(?!)", re.IGNORECASE)
        return Reply(reply.code, reply.status, tuple(masked.sub(_MASK, line) for line in reply.lines))


def _encode(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
