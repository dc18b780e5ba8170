"""A search of what each test makes the relay's code say: standard output and error, and Twisted's log with tracebacks.

The secrets are the constants of the test's module whose names say so. `tests/conftest.py` has every test end with the
search; tests/endtoend/secret_search.py is the one for the real daemon.
"""

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from twisted.logger import eventAsText, globalLogPublisher

_NAME = re.compile(r"(?:.*_)?(?:PASSWORD|SECRET|TOKEN|PASSPHRASE)S?(?:_.*)?")
# Shorter ones stand in words that have nothing to do with them.
_SHORTEST = 8


class LoggedText:
    """Everything that is logged by Twisted, as text, since `take` was last called."""

    def __init__(self) -> None:
        self._events: list[str] = []
        globalLogPublisher.addObserver(self._note)

    def take(self) -> str:
        """Return the text so far, and forget it."""
        text = "\n".join(self._events)
        self._events.clear()
        return text

    def _note(self, event: Any) -> None:
        self._events.append(eventAsText(event))


def secrets_of(module: ModuleType) -> Iterator[str]:
    """Yield the secrets among the constants of a module."""
    for name, value in vars(module).items():
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        if _NAME.fullmatch(name):
            texts = (one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values)
            yield from (text for text in texts if isinstance(text, str) and len(text) >= _SHORTEST)


def said(secrets: Iterator[str], text: str) -> list[str]:
    """Return the secrets that stand in a text."""
    return sorted({secret for secret in secrets if secret in text})
