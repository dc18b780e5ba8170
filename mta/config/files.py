"""The files that settings name: one that is missing is told where mail can flow without it, a broken one is wrong."""

import ssl
from collections.abc import Callable
from pathlib import Path

from mta.config import table
from mta.config.setting import Reading, Setting

_ALIASES = Path("/etc/aliases")

PathSetting = Setting[Path | None]


def certificate(reading: Reading) -> tuple[Path | None, Path | None]:
    """Return certificate and key, or twice None with a notice of what is missing. A pair that does not fit is wrong."""
    pair = (table.CERTIFICATE_PATH, table.KEY_PATH)
    there = [_there(reading, setting, "STARTTLS is not offered") for setting in pair]
    for setting, other in (pair, pair[::-1]):
        if reading.is_set(setting) and not reading.is_set(other):
            reading.notice(f"{setting.name} is set but {other.name} is not: STARTTLS is not offered")
    found, key = there
    if found is None or key is None:
        return None, None
    wrong = _why_not(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found, key, password=_no_password))
    if wrong:
        reading.mistake(table.CERTIFICATE_PATH, f"certificate and key cannot be used: {wrong}")
    return found, key


def authorities(reading: Reading) -> Path | None:
    """Return the file of the smarthost's authorities; one without certificates is wrong."""
    path = reading.of(table.SMARTHOST_CA_FILE)
    if path is None:
        return None
    wrong = _why_not(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path))
    if wrong:
        reading.mistake(table.SMARTHOST_CA_FILE, f"no certificates can be read: {wrong}")
    return path


def dkim_keys(reading: Reading) -> Path | None:
    """Return the key or the directory of keys, or None with a notice if there is nothing."""
    return _there(reading, table.DKIM_KEY_PATH, "mail is not signed")


def aliases(reading: Reading) -> Path | None:
    """Return the aliases file: the one that is set, which must be there, or the system's if there is one."""
    path = reading.of(table.ALIASES_FILE)
    if path is None:
        return _ALIASES if _ALIASES.is_file() else None
    if not path.is_file():
        reading.mistake(table.ALIASES_FILE, "there is no such file")
    return path


def _there(reading: Reading, setting: PathSetting, without: str) -> Path | None:
    """Return the path if it has content, as far as we can see; None with a notice if it has none."""
    path = reading.of(setting)
    if path is None:
        return None
    try:
        if path.stat().st_size:
            return path
        wrong = "is empty"
    except FileNotFoundError:
        wrong = "does not exist"
    except OSError as error:
        reading.mistake(setting, f"the file cannot be read: {error.strerror}")
        return None
    reading.notice(f"{setting.name}={path} {wrong}: {without}")
    return None


def _why_not(load: Callable[[], object]) -> str:
    """Return why files cannot be loaded, "" if they can."""
    try:
        load()
    except ssl.SSLError as error:
        return (error.reason or "not PEM").lower().replace("_", " ")
    except OSError as error:
        return error.strerror or "unknown error"
    return ""


def _no_password() -> str:
    """Give a password that fits no key, so that nobody is asked on a terminal."""
    return ""
