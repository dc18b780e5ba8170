"""The level of each event, by which programs that read the log decide which lines they keep or alert on.

`docs/log-events.md` has an example of each event in this table.
"""

from collections.abc import Mapping

DEBUG, INFO, WARNING, ERROR = "debug", "info", "warning", "error"

#: All events with their levels. An error needs the operator, and a warning deserves a look; neither is written because
#: a mail is refused or has to wait, which is ordinary work.
LEVELS: Mapping[str, str] = {
    "started": INFO,
    "listening": INFO,
    "setting": DEBUG,
    "recovered": WARNING,
    "notice": WARNING,
    "trouble": ERROR,
    "fault": ERROR,
    "reloaded": INFO,
    "rules": INFO,
    "stopping": INFO,
    "stopped": INFO,
    "turned-away": WARNING,
    "refused": INFO,
    "session-ended": INFO,
    "login": INFO,
    "login-failed": WARNING,
    "accepted": INFO,
    "delivered": INFO,
    "possible-duplicate": WARNING,
    "alarm": ERROR,
    "deferred": INFO,
    "failed": WARNING,
    "discarded": INFO,
    "reported": INFO,
    "unreported": WARNING,
    "lease-lost": DEBUG,
    "destination-down": WARNING,
    "destination-up": INFO,
    "destination-throttled": WARNING,
    "destination-unthrottled": INFO,
    "policy": INFO,
    "policy-failed": WARNING,
    "tls-report": INFO,
    "amended": INFO,
}


def level_of(event: str) -> str:
    """Return the level of an event."""
    return LEVELS.get(event, INFO)
