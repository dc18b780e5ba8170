"""Checks the files that settings name. A missing file is a notice if mail can flow without it, otherwise a mistake."""

import ssl
import stat
from collections.abc import Iterable
from pathlib import Path

from mta.config import table
from mta.config.setting import Setting, SettingsReader, Source, cannot_read
from mta.config.sources.macros import Macros, parse_macros

_ALIASES = Path("/etc/aliases")
_MACROS = Path("/etc/exim4/_docker_additional_macros")
_MAX_MACROS_OCTETS = 1 << 20
_MISSING = "there is no such file"
_DIRECTORY = "it is a directory, not a file"


def certificate(reader: SettingsReader) -> tuple[Path | None, Path | None]:
    """Return certificate and key, or None twice and add a notice. Their contents are not checked."""
    pair = (table.CERTIFICATE_PATH, table.KEY_PATH)
    found, key = (_with_content(reader, setting, "STARTTLS is not offered") for setting in pair)
    for setting, other in (pair, pair[::-1]):
        if reader.is_set(setting) and not reader.is_set(other):
            reader.notice(f"{setting.name} is set but {other.name} is not: STARTTLS is not offered")
    if found and key:
        _notice_if_open(reader, table.KEY_PATH, [key])
    return (found, key) if found and key else (None, None)


def client_certificate(reader: SettingsReader) -> tuple[Path, Path] | None:
    """Return the certificate that the relay shows to the smarthost and its key, or None.

    One without the other, and a file that cannot be read, are mistakes. Their contents are not checked.
    """
    return _required_pair(reader, table.SMARTHOST_CERTIFICATE_PATH, table.SMARTHOST_KEY_PATH)


def page_certificate(reader: SettingsReader) -> tuple[Path, Path] | None:
    """Return the certificate and the key of the operator's page, or None; mistakes as in `client_certificate`."""
    return _required_pair(reader, table.ADMIN_CERTIFICATE_PATH, table.ADMIN_KEY_PATH)


def _required_pair(
    reader: SettingsReader, certificate: Setting[Path | None], key_setting: Setting[Path | None]
) -> tuple[Path, Path] | None:
    pair = (certificate, key_setting)
    found, key = map(reader.get, pair)
    for setting, other in (pair, pair[::-1]):
        path = reader.get(setting)
        if path is None and reader.is_set(other):
            reader.mistake(setting, f"it is not set although {other.name} is: a certificate needs its key")
        elif path is not None and (problem := _file_problem(path)):
            reader.mistake(setting, problem)
    if found is None or key is None:
        return None
    _notice_if_open(reader, key_setting, [key])
    return found, key


def authorities(reader: SettingsReader) -> Path | None:
    """Return the file of the authorities for the smarthost. A file without certificates is a mistake."""
    path = reader.get(table.SMARTHOST_CA_FILE)
    if path is not None and (problem := authorities_problem(path)):
        reader.mistake(table.SMARTHOST_CA_FILE, problem)
    return path


def authorities_problem(path: Path) -> str:
    """Return the reason why a file cannot be used as certificates of authorities, or ""."""
    if problem := _file_problem(path):
        return problem
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "the file contains no PEM certificates"
    except OSError as error:
        return cannot_read("file", error)
    return ""


def dkim_keys(reader: SettingsReader) -> Path | None:
    """Return the key or the directory of keys, or None.

    A missing key that the environment names is a mistake, because the operator expects signed mail. One that only the
    macros file names was optional in the Exim image, so it is a notice.
    """
    optional = reader.source(table.DKIM_KEY_PATH) is Source.MACROS
    keys = _with_content(reader, table.DKIM_KEY_PATH, "mail is not signed" if optional else "")
    if keys is None:
        for setting in (table.DKIM_SELECTOR, table.DKIM_CANON):
            if reader.is_non_default(setting):
                reader.notice(f"{setting.name} has no effect: mail is not signed without a key in DKIM_KEY_PATH")
    elif keys.is_dir():
        _notice_if_open(reader, table.DKIM_KEY_PATH, sorted(keys.glob("*.pem")))
    else:
        _notice_if_open(reader, table.DKIM_KEY_PATH, [keys])
    return keys


def aliases(reader: SettingsReader) -> Path | None:
    """Return the aliases file: the one that is set, which must exist, or the system's if that exists."""
    return _named_or(reader, table.ALIASES_FILE, _ALIASES)


def macros(reader: SettingsReader) -> Macros:
    """Return the macros of the file that is set, which must exist, or of the mounted one if that exists."""
    path = _named_or(reader, table.MACROS_FILE, _MACROS)
    if path is None:
        return Macros()
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_MACROS_OCTETS).decode(errors="replace")
    except OSError as error:
        reader.mistake(table.MACROS_FILE, f"the file {path} cannot be read: {error.strerror}")
        return Macros()
    return parse_macros(text, str(path))


def _named_or(reader: SettingsReader, setting: Setting[Path | None], default: Path) -> Path | None:
    path = reader.get(setting)
    problem = _file_problem(path or default)
    if not problem:
        return path or default
    if path is not None:
        reader.mistake(setting, problem)
    elif problem != _MISSING:
        reader.notice(f"{default} has no effect: {problem}")
    return None


def _file_problem(path: Path) -> str:
    """Return the reason why a file cannot be read, or ""."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError as error:
        return f"it cannot be accessed: {error.strerror}"
    if stat.S_ISREG(mode):
        return ""
    # Docker creates a directory if the source of a mount does not exist or is the name of a volume.
    return _DIRECTORY if stat.S_ISDIR(mode) else "it is not a regular file"


def _notice_if_open(reader: SettingsReader, setting: Setting[Path | None], keys: Iterable[Path]) -> None:
    """Add a notice about the first private key that all users of this host can read."""
    for key in keys:
        if _is_open(key):
            reader.notice(f"{setting.name}: all users of this host can read the private key {key}: chmod 600 it")
            return


def _is_open(path: Path) -> bool:
    try:
        way = path.resolve().parents
        return bool(path.stat().st_mode & stat.S_IROTH) and all(one.stat().st_mode & stat.S_IXOTH for one in way)
    except OSError:
        return False


def _with_content(reader: SettingsReader, setting: Setting[Path | None], without: str) -> Path | None:
    """Return the file or directory that a setting names, or None if it is missing or an empty file.

    That is a notice with the consequence `without`, or a mistake if that is "".
    """
    path = reader.get(setting)
    if path is None:
        return None
    try:
        found = path.stat()
        # The size of a directory depends on the file system; on btrfs an empty one has size 0.
        if found.st_size or stat.S_ISDIR(found.st_mode):
            return path
        problem = "the file is empty"
    except FileNotFoundError:
        problem = _MISSING
    except OSError as error:
        reader.mistake(setting, f"it cannot be accessed: {error.strerror}")
        return None
    if without:
        reader.notice(f"{setting.name}={path}: {problem}; {without}")
    else:
        reader.mistake(setting, problem)
    return None
