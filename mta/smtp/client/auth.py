"""The AUTH command of the client (RFC 4954): tries one mechanism after another until one is accepted."""

import base64
from collections.abc import Sequence

from mta.smtp.client.dialogue import (
    Awaited,
    Dialogue,
    FailureKind,
    SessionFailure,
    SessionOver,
    protocol_error,
    refused,
)
from mta.smtp.masking import SecretMask
from mta.smtp.replies import Reply
from mta.smtp.sasl.interface import Mechanism, SaslError

# RFC 5321 section 4.5.3.1.4: the octets of a command line, with its end.
_MAX_COMMAND = 512


class LoginAttempt:
    """Tries mechanisms, best first. `refusal` is the reply to the last mechanism that was refused.

    Replies are logged, and some servers repeat the command in them: `secrets` and all responses are masked.
    """

    def __init__(self, dialogue: Dialogue, mechanisms: list[Mechanism], secrets: Sequence[str] = ()) -> None:
        self._dialogue = dialogue
        self._mechanisms = mechanisms
        self._mask = SecretMask(secrets)
        # The initial response, while the server has not yet asked for it.
        self._held_back: str | None = None
        self.refusal: SessionFailure | None = None

    def start(self) -> None:
        """Send AUTH with the best mechanism that is left."""
        mechanism = self._mechanisms[0]
        command = f"AUTH {mechanism.name}"
        self._held_back = None
        if mechanism.initial is not None:
            # RFC 4954 section 4: an empty initial response is written "=".
            initial = self._encode(mechanism.initial) or "="
            if len(command) + len(initial) + 3 <= _MAX_COMMAND:
                command = f"{command} {initial}"
            else:
                # Section 4 too: a response that would make the command too long waits for a challenge.
                self._held_back = initial
        self._dialogue.send(Awaited.AUTH, command)

    def handle_reply(self, reply: Reply) -> bool:
        """Handle a reply to AUTH; return whether the login succeeded. Raises SessionOver if no mechanism is left."""
        first_digit = reply.code // 100
        if first_digit == 3:
            self._respond(reply)
            return False
        mechanism = self._mechanisms[0]
        if first_digit == 2:
            if not mechanism.complete:
                raise _violated(f"the server accepts the login without its part of {mechanism.name}")
            return True
        self.refusal = self._refused(reply, mechanism)
        self._mechanisms.pop(0)
        # As in the image that the relay replaces: a server may accept a password by one mechanism but not by another.
        if reply.temporary or not self._mechanisms:
            raise SessionOver(self.refusal)
        self.start()
        return False

    def masked(self, failure: SessionFailure) -> SessionFailure:
        """Return a failure that may quote the server, with its secrets masked."""
        reply = None if failure.reply is None else self._mask.reply(failure.reply)
        return SessionFailure(failure.kind, failure.status, self._mask.text(failure.text), reply)

    def _refused(self, reply: Reply, mechanism: Mechanism) -> SessionFailure:
        failure = refused(FailureKind.LOGIN_REFUSED, self._mask.reply(reply), "4.7.8").failure
        if not mechanism.failure:
            return failure
        text = f"{failure.text} ({mechanism.name}: {self._mask.text(mechanism.failure)})"
        return SessionFailure(failure.kind, failure.status, text, failure.reply)

    def _respond(self, reply: Reply) -> None:
        if self._held_back is not None:
            response, self._held_back = self._held_back, None
            self._dialogue.send(Awaited.AUTH, response)
            return
        try:
            # Some servers put blanks or words behind the challenge.
            challenge = base64.b64decode(reply.text.partition(" ")[0], validate=True)
            response = self._encode(self._mechanisms[0].respond(challenge))
        except SaslError as error:
            raise _violated(str(error)) from None
        except ValueError:
            # One of the two errors of base64: for text that is not base64, or not even ASCII.
            raise protocol_error(Awaited.AUTH, self._mask.reply(reply)) from None
        self._dialogue.send(Awaited.AUTH, response)

    def _encode(self, octets: bytes) -> str:
        """Return octets in base64, which will be masked in replies."""
        encoded = base64.b64encode(octets).decode("ascii")
        self._mask.add(encoded)
        return encoded


def _violated(text: str) -> SessionOver:
    """Return the exception for a server that violates the mechanism."""
    return SessionOver(SessionFailure(FailureKind.PROTOCOL, "4.7.0", f"login not completed: {text}"))
