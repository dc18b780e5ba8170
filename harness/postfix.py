"""A Postfix that tests start: private configuration, queue and data directories, started and stopped as a whole.

It needs Debian's `postfix` package and root (Postfix changes to its own users); `why_not` names the missing part.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from harness.processes import find_program, free_port, greets
from harness.waiting import until

# One line a daemon: name, type, private, unprivileged, chroot, wakeup, most processes, command.
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str | None:
    """Return why no Postfix can be started here, or None if one can."""
    if find_program("postfix") is None or find_program("postconf") is None:
        return "postfix is not installed"
    if os.geteuid() != 0:
        return "postfix starts as root only"
    return None


def write_configuration(home: Path, port: int, settings: Mapping[str, str], owner: tuple[int, int]) -> None:
    """Make the directories of an instance and its configuration in `etc`; `owner` is the user of its daemons."""
    configuration, log = home / "etc", home / "maillog"
    for folder in (configuration, home / "queue", home / "data"):
        folder.mkdir()
    os.chown(home / "data", *owner)
    lines = [f"{name} = {value}\n" for name, value in {**_defaults(home, log), **settings}.items()]
    (configuration / "main.cf").write_text("".join(lines))
    (configuration / "master.cf").write_text(_MASTER.format(port=port))
    log.touch()


def _defaults(home: Path, log: Path) -> dict[str, str]:
    return {
        "compatibility_level": "3.6",
        "queue_directory": str(home / "queue"),
        "data_directory": str(home / "data"),
        "maillog_file": str(log),
        "maillog_file_prefixes": str(home),
        "myhostname": "postfix.example.test",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "loopback-only",
        "inet_protocols": "ipv4",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "smtpd_peername_lookup": "no",
        "message_size_limit": "0",
        "mailbox_size_limit": "0",
        "virtual_mailbox_limit": "0",
    }


def waiting(home: Path) -> int:
    """Return how many messages are anywhere in the queue of the instance that lives here."""
    folders = ("maildrop", "incoming", "active", "deferred", "hold")
    return sum(len(files) for name in folders for _, _, files in os.walk(home / "queue" / name))


class Postfix:
    """A private instance on a port of 127.0.0.1. Use as a context manager; `settings` go into main.cf.

    `prefix` is a command that runs its command line, in other namespaces for example.
    """

    def __init__(
        self, parent: Path | None = None, settings: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self._prefix = list(prefix)
        self._home = Path(tempfile.mkdtemp(prefix="postfix-", dir=parent or "/var/tmp"))
        # Its daemons run as user postfix and must get through to their directories.
        self._home.chmod(0o755)
        self._settings = dict(settings or {})

    @property
    def log(self) -> Path:
        """The file with its log lines."""
        return self._home / "maillog"

    @property
    def home(self) -> Path:
        """The directory that holds everything of this instance."""
        return self._home

    def start(self) -> None:
        """Write the configuration, start, and wait for the greeting. Raises RuntimeError with Postfix's words."""
        owner = pwd.getpwnam("postfix")
        write_configuration(self._home, self.port, self._settings, (owner.pw_uid, owner.pw_gid))
        done = self._control("start")
        if done.returncode:
            self.stop()
            raise RuntimeError(f"postfix start failed: {done.stdout}")
        try:
            until(lambda: greets(self.port), what="postfix's greeting")
        except TimeoutError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all its processes and remove its directories."""
        self._control("stop")
        self._control("abort")
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def waiting(self) -> int:
        """Return how many messages are anywhere in the queue."""
        return waiting(self._home)

    def _control(self, verb: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._prefix, find_program("postfix") or "postfix", "-c", str(self._home / "etc"), verb],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
