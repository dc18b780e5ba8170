"""The file of the current tokens in QUEUE_DIR, which the workers of a relay share and which outlives it.

It holds the access token, the refresh token by which the provider has replaced the configured one, and the last
refusal. It is for the relay's user alone, and changes as a whole: a new file is written, synced and renamed, then the
directory is synced. After a crash at any step the old or the new content is there.

The lock is a file of its own. The kernel releases it when its process ends, however that happens.
"""

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mta.blocking import fsync_path
from mta.oauth.answers import AccessToken, json_object

#: The names in QUEUE_DIR: of the file, of its new content before that is durable, and of the lock.
FILE_NAME, NEW_NAME, LOCK_NAME = "oauth.json", "oauth.json.new", "oauth.lock"

_MAX_OCTETS = 256 * 1024
# Does not follow links or block on a pipe.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal that the workers share, so that one of them asks. Times are in seconds since 1970."""

    text: str
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class SavedTokens:
    """The content of the file. `digest` and `lineage` are those of the grant with which it was made."""

    digest: str
    lineage: str
    #: The latest refresh token that descends from the configured one; "" for that one itself.
    refresh_token: str = field(default="", repr=False)
    access: AccessToken | None = None
    refusal: Refusal | None = None


class TokenFile:
    """Reads and writes the file. All methods block, for as long as a sync takes."""

    def __init__(self, directory: Path) -> None:
        """Prepare; the directory, which is the relay's alone, need not exist yet."""
        self._directory = directory

    def try_lock(self) -> int | None:
        """Return a descriptor that holds the lock until it is closed; None if another process holds it.

        Raises OSError.
        """
        descriptor = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def read(self) -> SavedTokens | None:
        """Return the content, or None if there is none that the relay wrote. Raises OSError."""
        try:
            descriptor = os.open(self._directory / FILE_NAME, os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return _parse(json_object(file.read(_MAX_OCTETS)))

    def write(self, saved: SavedTokens) -> None:
        """Replace the content durably. The lock must be held. Raises OSError."""
        new = self._directory / NEW_NAME
        # A file that a process left behind when it was killed.
        with suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(asdict(saved)).encode("ascii"))
            file.flush()
            os.fsync(descriptor)
        new.rename(self._directory / FILE_NAME)
        fsync_path(self._directory)


def _parse(fields: Mapping[str, Any]) -> SavedTokens | None:
    """Return the content of a file, or None if it is damaged: then the configured token counts."""
    try:
        access, refusal = fields["access"], fields["refusal"]
        saved = SavedTokens(
            fields["digest"],
            fields["lineage"],
            fields["refresh_token"],
            None if access is None else AccessToken(**access),
            None if refusal is None else Refusal(**refusal),
        )
    except (KeyError, TypeError):
        return None
    return saved if _is_sound(saved) else None


def _is_sound(saved: SavedTokens) -> bool:
    """Whether all values are of their types."""
    texts: list[object] = [saved.digest, saved.lineage, saved.refresh_token]
    times: list[object] = []
    if saved.access is not None:
        texts += [saved.access.token, saved.access.refresh_token]
        times += [saved.access.fetched, saved.access.expires]
    if saved.refusal is not None:
        texts.append(saved.refusal.text)
        times += [saved.refusal.at, saved.refusal.until]
    return all(isinstance(text, str) for text in texts) and all(type(time) in {int, float} for time in times)
