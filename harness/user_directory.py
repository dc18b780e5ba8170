"""A directory of an ordinary user, in memory, in which programs run that refuse to run as root."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MEMORY = "/dev/shm"
_ROOM = 2 * 1024**3

# `cat` ends when the process that started it closes the pipe, or ends. A PostgreSQL server that is killed leaves a few
# octets of System V shared memory, whose number is in its file.
_WATCHER = r"""
cat > /dev/null
find /proc -mindepth 2 -maxdepth 2 -name cwd \( -lname "$1" -o -lname "$1/*" \) | while IFS=/ read -r _ _ process _; do
    kill -9 "$process"
done
find "$1" -name postmaster.pid -exec sed -n '7s/.* //p' {} + | xargs -r -n 1 ipcrm -m
rm -rf "$1"
"""


class UserDirectory:
    """The directory. `close`, or the end of this process, kills all that work in it and deletes it.

    The user is the present one, unless that is root.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """`parent` is a directory that any user may enter; None: in memory, or elsewhere if there is little room."""
        roomy = os.path.isdir(_MEMORY) and shutil.disk_usage(_MEMORY).free > _ROOM
        self.path = Path(tempfile.mkdtemp(prefix="smtprelay-", dir=parent or (_MEMORY if roomy else None)))
        self._user = _ordinary_user()
        self.own(self.path)
        watcher = ["sh", "-c", _WATCHER, "watcher", str(self.path)]
        self._watcher = subprocess.Popen(
            watcher, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def close(self) -> None:
        """Kill all that work in the directory, and delete it."""
        self._watcher.communicate()

    def own(self, path: Path) -> None:
        """Give a file to the user."""
        os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def give(self, name: str, content: bytes) -> Path:
        """Write a file that only the user can read, such as a key of TLS."""
        path = self.path / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        self.own(path)
        return path

    def command(self, program: Path | str, *arguments: str) -> list[str]:
        """Return the command that runs a program as the user, in the directory."""
        command = ["env", f"--chdir={self.path}", f"HOME={self.path}", str(program), *arguments]
        if self._user.pw_uid == os.geteuid():
            return command
        return ["setpriv", f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups", *command]

    def run(self, program: Path, *arguments: str) -> None:
        """Run a program as the user to its end. Raises RuntimeError with its words."""
        done = subprocess.run(
            self.command(program, *arguments), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program.name} fails: {done.stderr.decode(errors='replace')}")

    def processes(self, kind: str = "") -> Iterator[int]:
        """Yield the processes that work in the directory, or below it, and in whose titles the word is."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                inside = Path(os.readlink(process / "cwd")).is_relative_to(self.path)
                if inside and kind in (process / "cmdline").read_text():
                    yield int(process.name)


def _ordinary_user() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")
