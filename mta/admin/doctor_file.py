"""The findings of the last `smtprelay doctor`, in a file in QUEUE_DIR that the relay and its operators may read."""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from mta.admin.state import DoctorRun
from mta.admin.wire.fields import WireError
from mta.admin.wire.findings import read_run, run_object

#: The names of the file, and of its next content.
FILE_NAME, NEW_NAME = "doctor.json", "doctor.json.new"
#: Octets of the file that are read. A run has some hundred findings.
MAX_OCTETS = 1024 * 1024
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC


def keep_run(directory: Path, run: DoctorRun) -> bool:
    """Replace the file; return whether that was possible. A directory that does not exist is not made.

    A file that root writes belongs to the owner of the directory, so that the relay can read it.
    """
    data = json.dumps(run_object(run), indent=1).encode("ascii")
    if len(data) > MAX_OCTETS:
        return False
    new = directory / NEW_NAME
    try:
        owner = directory.stat()
        # A file that a process left behind when it was killed.
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(data)
        new.rename(directory / FILE_NAME)
    except OSError:
        with suppress(OSError):
            new.unlink()
        return False
    return True


def last_run(directory: Path) -> DoctorRun | None:
    """Return the last run; None if there was none, or if the file cannot be read or is damaged. Blocks briefly."""
    try:
        descriptor = os.open(directory / FILE_NAME, os.O_RDONLY | os.O_NONBLOCK | _SAFELY)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return read_run(json.loads(file.read(MAX_OCTETS)))
        except (OSError, ValueError, RecursionError, WireError):
            return None
