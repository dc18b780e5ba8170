"""Reads the address of the receiver of events, and checks that the events are signed and stay off public networks."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mta.config import table
from mta.config.setting import SettingsReader

_MAX_URL = 2000
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class EventsTarget:
    """The URL of the receiver of events, and the secret that signs them."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


def read_events(reader: SettingsReader) -> EventsTarget | None:
    """Return the receiver, or None if EVENTS_URL is unset. Add a mistake if it is no URL, or if there is no secret."""
    url, secret = reader.get(table.EVENTS_URL), reader.get(table.EVENTS_SECRET)
    if not url:
        if secret:
            reader.notice("EVENTS_SECRET has no effect: EVENTS_URL is not set")
        return None
    problem = _problem(url)
    if problem:
        reader.mistake(table.EVENTS_URL, problem)
    elif not secret and not reader.is_mistaken(table.EVENTS_SECRET):
        reader.mistake(table.EVENTS_SECRET, "it must be set together with EVENTS_URL, because all events are signed")
    if url.lower().startswith("http:"):
        reader.notice(
            "EVENTS_URL is http: addresses of messages are sent in clear, and only to loopback or private addresses;"
            " use https if others can read that network"
        )
    return EventsTarget(url, secret)


def _problem(url: str) -> str:
    """Return why a URL cannot be used, without a word of it; "" if it can."""
    form = "not a URL https://host/path"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return form
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return form
    if parts.scheme not in _SCHEMES or not host or port == 0 or parts.fragment:
        return form
    if "@" in parts.netloc:
        return "it must have no user or password, because EVENTS_SECRET signs the events"
    if parts.scheme == "http" and _is_public(host):
        return "http is used only to loopback or private addresses; use https"
    return ""


def _is_public(host: str) -> bool:
    """Whether a host is a public address. Those of a name are looked at when a connection is made."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False
