"""A Dovecot that serves LMTP only: private configuration, users and mail, started and stopped as a whole.

It needs Debian's `dovecot-lmtpd` package and root (Dovecot changes to its own users); `why_not` names the
missing part.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from harness.processes import Child, find_program, free_port, greets
from harness.waiting import until

_LMTP = Path("/usr/lib/dovecot/lmtp")
_NOBODY = 65534

_CONFIGURATION = """\
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols = lmtp
ssl = no
auth_username_format = %n
mail_location = maildir:{home}/mail/%n
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {home}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {home}/socket {{
    mode = 0666
  }}
}}
"""


def why_not() -> str | None:
    """Return why no Dovecot can be started here, or None if one can."""
    program = find_program("dovecot")
    if program is None or not _LMTP.exists():
        return "dovecot-lmtpd is not installed"
    if os.geteuid() != 0:
        return "dovecot starts as root only"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return None if version.startswith("2.3.") else f"the configuration is one for Dovecot 2.3, not {version.strip()}"


class Dovecot:
    """A private instance on a port of 127.0.0.1 and on a socket, with these users. Use as a context manager."""

    def __init__(self, *users: str, port: int = 0) -> None:
        self.port = port or free_port()
        # Its daemons run as users of their own and must get through to their directories.
        self.home = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/var/tmp"))
        self.home.chmod(0o755)
        self.socket = self.home / "socket"
        self._users = users
        configuration = self.home / "dovecot.conf"
        configuration.write_text(_CONFIGURATION.format(home=self.home, port=self.port))
        command = [find_program("dovecot") or "dovecot", "-F", "-c", str(configuration)]
        self._child = Child(command, self.home / "output")

    def start(self) -> None:
        """Start and wait for the greeting. Raises RuntimeError with Dovecot's words; then it has ended."""
        entries = [f"{user}::{_NOBODY}:{_NOBODY}::{self.home}/mail/{user}\n" for user in self._users]
        (self.home / "users").write_text("".join(entries))
        mail = self.home / "mail"
        mail.mkdir(exist_ok=True)
        os.chown(mail, _NOBODY, _NOBODY)
        self._child.start()
        try:
            until(lambda: greets(self.port) or not self._child.running, what="dovecot's greeting")
        except TimeoutError:
            self._child.kill()
        if not self._child.running:
            raise RuntimeError(f"dovecot does not start: {self._child.text} {self.log}")

    def stop(self) -> None:
        """Stop all its processes."""
        if self._child.running:
            self._child.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def log(self) -> str:
        """Its log so far."""
        log = self.home / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def mail(self, user: str) -> Sequence[bytes]:
        """Return the messages in a user's mailbox."""
        new = self.home / "mail" / user / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []
