"""The settings that a running relay tells to the operator's commands, in its runtime directory.

Under systemd the settings are in the unit, and a shell beside it has none of them. The file stays when the relay stops,
so that its queue is found then, too. It holds no secret.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mta.config.setting import FILE_SUFFIX, MASK, SettingsError
from mta.config.table import QUEUE_DIR, SETTINGS

#: Where systemd makes the runtime directory of the unit that is shipped.
USUAL_DIRECTORY = Path("/run/smtprelay")
FILE_NAME = "settings.json"

_PLAIN = frozenset(setting.name for setting in SETTINGS if not setting.secret)
_SECRETS = frozenset(setting.name for setting in SETTINGS if setting.secret)
#: The variables of all settings.
NAMES = _PLAIN | _SECRETS | {name + FILE_SUFFIX for name in _SECRETS}
# Root reads the file, and the relay's user can put a link or a pipe in its place.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_OCTETS = 1 << 20


def path_of(environ: Mapping[str, str]) -> Path:
    """Return where the settings are told: in systemd's RUNTIME_DIRECTORY, or in the usual place."""
    return Path(environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or USUAL_DIRECTORY) / FILE_NAME


def tell_commands(environ: Mapping[str, str], queue_dir: Path) -> None:
    """Write the settings of an environment into the runtime directory, if there is one that this process may write.

    A secret is told as set, and the file of a secret by its path. Raises OSError.
    """
    path = path_of(environ)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        return
    told = {name: _told(name, text) for name, text in environ.items() if name in NAMES and text}
    told[QUEUE_DIR.name] = str(queue_dir.absolute())
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(told, file)
    new.rename(path)


def _told(name: str, text: str) -> str:
    """Return a value without its secret: one may stand where the path of its file belongs."""
    return text if name in _PLAIN or (name not in _SECRETS and text.startswith("/")) else MASK


def what_was_told(path: Path) -> dict[str, str]:
    """Return the settings that a relay has told, none if no relay has. Raises SettingsError."""
    try:
        with os.fdopen(os.open(path, _LOOK), "rb") as file:
            told = json.loads(file.read(_MAX_OCTETS))
    except FileNotFoundError:
        return {}
    except OSError as error:
        advice = "run this as root or as the relay's own user, or set QUEUE_DIR"
        raise SettingsError([f"{path}, which has the settings, cannot be read: {error.strerror}: {advice}"]) from None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not all(isinstance(text, str) for text in told.values()):
        raise SettingsError([f"{path} is not a file of settings: restart the relay, or set QUEUE_DIR"])
    return {name: text for name, text in told.items() if name in NAMES}
