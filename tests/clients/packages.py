"""Foreign mail servers beside each other on one host: Debian's packages of them, unpacked and not installed.

Installed, each package would remove the others, because a host has one mail server. Unpacked into a folder of the cache
it needs a mount namespace that shows its files, its users and directories of its own where it expects them.
"""

from collections.abc import Sequence
from pathlib import Path

from harness.daemon import ROOT
from harness.debian_packages import locked, require_tools, unpack

CACHE = ROOT / ".cache" / "clients"
#: In the namespace: the unpacked package, and the home of the instance.
PACKAGE, HOME = Path("/opt"), Path("/mnt")

# Binds the paths that the program expects; $1 is the package, $2 the home. A host without a domain would
# cost Sendmail a minute.
_ENTER = """
set -e
mount --bind "$1" /opt
mount --bind "$2" /mnt
for folder in /run /var/spool /var/lib; do mount --bind "$2$folder" "$folder"; done
for file in passwd group hosts; do mount --bind "$2/$file" "/etc/$file"; done
mount -t proc proc /proc
hostname "{name}"
shift 2
"$@"
exit $?
"""
# The kernel ends all that was started in the namespaces when the tests are gone. The shell stays the first process
# there, because the kernel forgets that order for a process that changes its user.
_APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child")
#: The name of the host in the namespaces.
NAME = "server.example.test"


def unpacked(package: str) -> Path:
    """Return the folder that holds a package and all it needs beyond this host. Raises NoPackageError.

    The first call downloads the package of the host's own Debian, so that the host's libraries fit it.
    """
    require_tools()
    folder = CACHE / package
    with locked(CACHE / "lock"):
        if not folder.exists():
            unpack([package], folder, ["--reinstall"])
    return folder


def prepare(home: Path, users: Sequence[str]) -> None:
    """Make the folders of a home and the host's tables of users with some more, numbered from 64001 on."""
    for folder in ("run", "var/spool", "var/lib"):
        (home / folder).mkdir(parents=True)
    numbers = range(64001, 64001 + len(users))
    for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
        more = "".join(line.format(user, number) for user, number in zip(users, numbers, strict=True))
        (home / name).write_text(Path("/etc", name).read_text() + more)
    (home / "hosts").write_text(f"127.0.0.1 {NAME} localhost\n")


def command_in(package: Path, home: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command of a package, with that home, in namespaces of its own."""
    return [*_APART, "sh", "-c", _ENTER.format(name=NAME), "sh", str(package), str(home), *command]
