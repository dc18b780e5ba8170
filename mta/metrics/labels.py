"""The labels of counters: few values for the many words of clients and hosts."""

from mta.metrics.table import MECHANISMS, TLS_VERSIONS

_DONE = {result: f"{number}.0" for result, number in (("delivered", 2), ("deferred", 4), ("failed", 5))}
# The labels of attempts by the result and the first digits of the enhanced status: its class and subject.
_ATTEMPTS = {
    (result, f"{text[0]}.{subject}"): (result, f"{text[0]}.{subject}")
    for result, text in _DONE.items()
    for subject in range(8)
}
# The reasons for which the relay ends sessions, by the beginning of their text; a reply begins with its codes.
_ENDS = {
    "421 4.4.2": "timeout",
    "421 4.3.2": "stopping",
    "it does not read": "unread",
    "the TLS handshake": "tls",
    "TLS": "tls",
}


def end_of(reason: str) -> str:
    """Return the label for the reason of a session's end."""
    for beginning, end in _ENDS.items():
        if reason.startswith(beginning):
            return end
    return "error" if reason[:3].isdigit() else "lost"


def version_of(security: str) -> str:
    """Return the label for the protection of a connection, `TLSv1.3 ...`, or `none` in clear."""
    version = security.partition(" ")[0]
    if not version.startswith("TLS"):
        return "none"
    return version if version in TLS_VERSIONS else "other"


def attempt(result: str, status: str) -> tuple[str, str]:
    """Return the labels of an attempt; a status that does not fit the result counts as its class without a subject."""
    return _ATTEMPTS.get((result, status[:3])) or (result, _DONE[result])


def mechanism_of(name: str) -> str:
    """Return the label for a mechanism of SASL."""
    return name if name in MECHANISMS else "other"
