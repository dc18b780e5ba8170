"""The files that settings name: one that is missing is told where mail can flow without it, else it is a mistake."""

import ssl
import stat
from collections.abc import Iterable
from pathlib import Path

from mta.config import table
from mta.config.setting import Setting, SettingsReader, Source
from mta.config.sources.macros import Macros, parse_macros

_ALIASES = Path("/etc/aliases")
_MACROS = Path("/etc/exim4/_docker_additional_macros")
_MAX_MACROS_OCTETS = 1 << 20
_MISSING = "there is no such file"
_DIRECTORY = "it is a directory, not a file"


def certificate(reader: SettingsReader) -> tuple[Path | None, Path | None]:
    """Return certificate and key, or twice None with a notice of what is missing. What is in them is not looked at."""
    pair = (table.CERTIFICATE_PATH, table.KEY_PATH)
    found, key = (_with_content(reader, setting, "STARTTLS is not offered") for setting in pair)
    for setting, other in (pair, pair[::-1]):
        if reader.is_set(setting) and not reader.is_set(other):
            reader.notice(f"{setting.name} is set but {other.name} is not: STARTTLS is not offered")
    if found and key:
        _tell_if_open(reader, table.KEY_PATH, [key])
    return (found, key) if found and key else (None, None)


def authorities(reader: SettingsReader) -> Path | None:
    """Return the file of the smarthost's authorities; one without certificates is a mistake."""
    path = reader.get(table.SMARTHOST_CA_FILE)
    if path is not None and (wrong := _why_no_authorities(path)):
        reader.mistake(table.SMARTHOST_CA_FILE, wrong)
    return path


def _why_no_authorities(path: Path) -> str:
    if wrong := _why_no_file(path):
        return wrong
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "the file holds no certificates as PEM"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return ""


def dkim_keys(reader: SettingsReader) -> Path | None:
    """Return the key or the directory of keys, or None.

    Whoever names a key in the environment wants signed mail, so one that is not there is a mistake; one that only the
    macros file names was optional in the image and is told.
    """
    optional = reader.source(table.DKIM_KEY_PATH) is Source.MACROS
    keys = _with_content(reader, table.DKIM_KEY_PATH, "mail is not signed" if optional else "")
    if keys is None:
        for setting in (table.DKIM_SELECTOR, table.DKIM_CANON):
            if reader.is_non_default(setting):
                reader.notice(f"{setting.name} has no effect: mail is not signed without a key in DKIM_KEY_PATH")
    elif keys.is_dir():
        _tell_if_open(reader, table.DKIM_KEY_PATH, sorted(keys.glob("*.pem")))
    else:
        _tell_if_open(reader, table.DKIM_KEY_PATH, [keys])
    return keys


def aliases(reader: SettingsReader) -> Path | None:
    """Return the aliases file: the one that is set, which must be there, or the system's if there is one."""
    return _named_or(reader, table.ALIASES_FILE, _ALIASES)


def macros(reader: SettingsReader) -> Macros:
    """Return what the macros file asks for: the one that is set, which must be there, or the mounted one."""
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
    wrong = _why_no_file(path or default)
    if not wrong:
        return path or default
    if path is not None:
        reader.mistake(setting, wrong)
    elif wrong != _MISSING:
        reader.notice(f"{default} has no effect: {wrong}")
    return None


def _why_no_file(path: Path) -> str:
    """Return why nothing can be read there, or ""."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"
    if stat.S_ISREG(mode):
        return ""
    # Docker makes a directory where what is to be mounted is not there, or is the name of a volume.
    return _DIRECTORY if stat.S_ISDIR(mode) else "it is not a regular file"


def _tell_if_open(reader: SettingsReader, setting: Setting[Path | None], keys: Iterable[Path]) -> None:
    """Tell of the first private key that every user of this host may read."""
    for key in keys:
        if _is_open(key):
            reader.notice(f"{setting.name}: everyone on this host may read the private key {key}: chmod 600 it")
            return


def _is_open(path: Path) -> bool:
    try:
        way = path.resolve().parents
        return bool(path.stat().st_mode & stat.S_IROTH) and all(one.stat().st_mode & stat.S_IXOTH for one in way)
    except OSError:
        return False


def _with_content(reader: SettingsReader, setting: Setting[Path | None], without: str) -> Path | None:
    """Return the path that a setting names, of a directory too; None if nothing is there or an empty file.

    That is a notice which says what goes on without it, or a mistake if nothing may.
    """
    path = reader.get(setting)
    if path is None:
        return None
    try:
        found = path.stat()
        # What size a directory has is up to its file system: an empty one has none on btrfs.
        if found.st_size or stat.S_ISDIR(found.st_mode):
            return path
        wrong = "the file is empty"
    except FileNotFoundError:
        wrong = _MISSING
    except OSError as error:
        reader.mistake(setting, f"it cannot be looked at: {error.strerror}")
        return None
    if without:
        reader.notice(f"{setting.name}={path}: {wrong}; {without}")
    else:
        reader.mistake(setting, wrong)
    return None
