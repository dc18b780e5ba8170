"""Masks secrets in texts of a remote host, because those are logged and some hosts repeat the secrets of a request."""

import base64
import re
import string
from collections.abc import Iterable, Iterator

from mta.smtp.replies import Reply

#: The text in place of a secret.
MASK = "****"
# Shorter texts are not masked, because they occur in ordinary words.
_MIN_MASKED = 4
# A host may cut a long text, or spread it over several lines: so many characters in a row are a part of it.
_MIN_PART = 16
_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class SecretMask:
    """Replaces secrets, their base64, and parts of both of at least 16 characters, in any case of letters."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets: set[str] = set()
        # Made when the first text is masked, because few logins are refused.
        self._whole: re.Pattern[str] | None = None
        self._parts: set[str] = set()
        for secret in secrets:
            self.add(secret)
            self.add(base64.b64encode(secret.encode()).decode("ascii"))

    def add(self, secret: str) -> None:
        """Mask one more text."""
        if len(secret) >= _MIN_MASKED:
            self._secrets.add(secret)
            self._whole = None

    def reply(self, reply: Reply) -> Reply:
        """Return a reply with the secrets in its text masked."""
        return Reply(reply.code, reply.status, tuple(map(self.text, reply.lines)))

    def text(self, text: str) -> str:
        """Return a text with its secrets masked."""
        if self._whole is None:
            words = sorted(self._secrets, key=len, reverse=True)
            self._whole = re.compile("|".join(map(re.escape, words)) or "(?!)", re.IGNORECASE)
            self._parts = {part for word in words for part in _parts(word)}
        return self._without_parts(self._whole.sub(MASK, text))

    def _without_parts(self, text: str) -> str:
        shown, end = "", 0
        for start, part in enumerate(_parts(text)):
            if part in self._parts:
                if start >= end:
                    shown += text[end:start] + MASK
                end = start + _MIN_PART
        return shown + text[end:]


def _parts(text: str) -> Iterator[str]:
    """Yield all parts of a text, in lower case, that have the least length to be masked."""
    lower = text.translate(_TO_LOWER)
    return (lower[start : start + _MIN_PART] for start in range(len(lower) - _MIN_PART + 1))
