"""Publishes the settings of a running relay to the commands on its host, in files in its runtime directory.

Under systemd the settings are in the unit, so a shell does not have them. The files stay when the relay stops, so that
the commands still find the queue. They hold no secrets. Every user can read the address at which the relay takes mail,
because every user may run `sendmail`.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from mta.config.setting import FILE_SUFFIX, MASK, SettingsError
from mta.config.table import BIND_IP, PORT, PROXY_NETWORKS, QUEUE_DIR, SETTINGS

#: The runtime directory that systemd creates for the shipped unit.
USUAL_DIRECTORY = Path("/run/smtprelay")
FILE_NAME = "settings.json"
ADDRESS_FILE_NAME = "address.json"

_PLAIN = {setting.name: setting.value_type.mask or str for setting in SETTINGS if not setting.secret}
_ADDRESS = (BIND_IP.name, PORT.name, PROXY_NETWORKS.name)
_SECRETS = frozenset(setting.name for setting in SETTINGS if setting.secret)
#: All variables that set a setting.
NAMES = _PLAIN.keys() | _SECRETS | {name + FILE_SUFFIX for name in _SECRETS}
# Root reads the file, and the relay's user could put a link or a pipe in its place.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_OCTETS = 1 << 20


def settings_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the file: in systemd's RUNTIME_DIRECTORY, otherwise in the usual place."""
    return Path(environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or USUAL_DIRECTORY) / FILE_NAME


def address_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the file with the relay's address, in the same directory."""
    return settings_path(environ).with_name(ADDRESS_FILE_NAME)


def publish_settings(environ: Mapping[str, str], queue_dir: Path, secret_variables: Collection[str] = ()) -> None:
    """Write the settings of an environment into the runtime directory, if this process may write there.

    A secret is masked; the path of a secret's file is written. `secret_variables` are those that rules name. Raises
    OSError.
    """
    path = settings_path(environ)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        return
    settings = {name: _without_secret(name, text) for name, text in environ.items() if name in NAMES and text}
    settings |= {name: MASK for name in secret_variables if environ.get(name)}
    settings[QUEUE_DIR.name] = str(queue_dir.absolute())
    _write(path, settings, 0o600)
    _write(address_path(environ), {name: environ.get(name, "") for name in _ADDRESS}, 0o644)


def _write(path: Path, settings: Mapping[str, str], mode: int) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(settings, file)
        # The unit's umask would take it from other users.
        os.fchmod(file.fileno(), mode)
    new.rename(path)


def _without_secret(name: str, text: str) -> str:
    """Return a value, masked if it is a secret or if a secret may stand in place of the path of its file."""
    if name in _PLAIN:
        return _PLAIN[name](text)
    return text if name not in _SECRETS and text.startswith("/") else MASK


def published_settings(path: Path) -> dict[str, str]:
    """Return the settings that a relay has published, or an empty dict. Raises SettingsError."""
    try:
        with os.fdopen(os.open(path, _LOOK), "rb") as file:
            settings = json.loads(file.read(_MAX_OCTETS))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        words = f"only root and the relay's own user may do this: {path} cannot be read: {error.strerror}"
        raise SettingsError([words]) from None
    except OSError as error:
        words = f"{path}, which has the settings, cannot be read: {error.strerror}: restart the relay, or set QUEUE_DIR"
        raise SettingsError([words]) from None
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or not all(isinstance(text, str) for text in settings.values()):
        raise SettingsError([f"{path} is not a file of settings: restart the relay, or set QUEUE_DIR"])
    return {name: text for name, text in settings.items() if name in NAMES or text == MASK}
