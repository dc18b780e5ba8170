"""A disk whose power can be cut and which can fail: a FUSE file system in memory, a program of its own.

    python -m tests.programs.power_disk_server MOUNT CONTROL

One command a connection to the Unix socket CONTROL, one line each way; the answer is "ok", or the requested value:

    cut                   from now on every operation fails
    on [SEED]             the power comes back without the unsynced octets; with SEED a random part of them is there
    lie                   syncs succeed without making any octet durable
    fail VERB N ERROR HOW NAME   the N-th VERB (or `any`) from now on fails with ERROR (EIO); HOW is `once` or `on`,
                          NAME a pattern (`*.sqlite-wal`) of the file's name
    heal                  no more of that
    seen                  how often each of the faults' verbs came since the last `fail` or `heal`, as JSON
"""

import errno
import functools
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any

import mfusepy

from tests.programs.small_disk import unmounting
from tests.programs.volatile_tree import PAGE, Directory, File, Node, Tree

#: The capacity that the disk reports, in octets.
CAPACITY = 1 << 30


class Faults:
    """Which operation fails, counted from when that was said."""

    def __init__(self) -> None:
        self.heal()
        self.dead = False

    def heal(self) -> None:
        """End all ordered failures, and count from 0."""
        self.seen: Counter[str] = Counter()
        self._verb, self._number, self._error, self._lasting, self._name = "", 0, 0, False, "*"

    def fail(self, verb: str, number: str, error: str, how: str, name: str) -> None:
        """Have the `number`-th fail from now on."""
        self.heal()
        self._verb, self._number, self._lasting, self._name = verb, int(number), how == "on", name
        self._error = getattr(errno, error)

    def meet(self, verb: str, name: str) -> None:
        """Raise OSError if it is this one's turn."""
        if self.dead:
            raise OSError(errno.EIO, "no power")
        if not fnmatchcase(name, self._name):
            return
        self.seen.update((verb, "any"))
        count = self.seen[self._verb]
        hit = count == self._number or (self._lasting and count > self._number)
        if hit and self._verb in {verb, "any"}:
            raise OSError(self._error, os.strerror(self._error))


def _operation(verb: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a method one thing that the disk does at a time, and that can fail."""

    def of(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def guarded(disk: "Disk", path: str | None, *arguments: Any) -> Any:
            with disk.mutex:
                name = Path(path).name if path is not None else disk.opened[arguments[-1]].name
                disk.faults.meet(verb, name)
                return method(disk, path, *arguments)

        return guarded

    return of


class Disk(mfusepy.Operations):
    """Answers the kernel. Open files are known by their handles alone, because they may have lost their names."""

    use_ns = True
    flag_nopath = flag_nullpath_ok = True

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.faults = Faults()
        self.lying = False
        #: Seconds that each sync takes longer.
        self.slow = 0.0
        self.mounted = threading.Event()
        self.opened: dict[int, Node] = {}
        self._last = 0
        self._tree = Tree()

    def cut(self) -> None:
        """Let every operation fail from now on."""
        with self.mutex:
            self.faults.dead = True

    def restore(self, seed: int | None) -> None:
        """Forget the unsynced octets, or with a seed a random part of them."""
        self._tree.cut(None if seed is None else Random(seed))
        self.opened.clear()
        self.faults.dead = False
        self.faults.heal()

    def init(self, path: str) -> None:
        """The kernel says that it is mounted."""
        self.mounted.set()

    # Names

    @_operation("mkdir")
    def mkdir(self, path: str, mode: int) -> int:
        self._tree.add(path, _owned(Directory(stat.S_IFDIR | mode, time.time_ns())))
        return 0

    @_operation("create")
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        file = _owned(File(stat.S_IFREG | mode, time.time_ns()))
        self._tree.add(path, file)
        return self._open(file)

    @_operation("create")
    def mknod(self, path: str, mode: int, dev: int) -> int:
        self._tree.add(path, _owned(File(mode, time.time_ns()) if stat.S_ISREG(mode) else Node(mode, time.time_ns())))
        return 0

    @_operation("rename")
    def rename(self, old: str, new: str) -> int:
        self._tree.rename(old, new)
        return 0

    @_operation("unlink")
    def unlink(self, path: str) -> int:
        self._tree.remove(path)
        return 0

    @_operation("unlink")
    def rmdir(self, path: str) -> int:
        self._tree.remove(path)
        return 0

    @_operation("open")
    def opendir(self, path: str) -> int:
        return self._open(self._tree.find(path))

    @_operation("readdir")
    def readdir(self, path: str | None, fh: int) -> Iterable[str]:
        folder = self.opened[fh]
        assert isinstance(folder, Directory)
        return [".", "..", *folder.entries]

    # Octets

    @_operation("open")
    def open(self, path: str, flags: int) -> int:
        node = self._tree.find(path)
        if flags & os.O_TRUNC and isinstance(node, File):
            node.truncate(0)
        return self._open(node)

    @_operation("read")
    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        return self._file(fh).read(offset, size)

    @_operation("write")
    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        file = self._file(fh)
        file.write(offset, data)
        file.changed = time.time_ns()
        return len(data)

    @_operation("truncate")
    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        node = self._tree.find(path) if fh is None and path is not None else self.opened[fh or 0]
        assert isinstance(node, File)
        node.truncate(length)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        return self._sync("fsync", fh)

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        return self._sync("fsyncdir", fh)

    def _sync(self, verb: str, fh: int) -> int:
        threading.Event().wait(self.slow)
        with self.mutex:
            node = self.opened[fh]
            try:
                self.faults.meet(verb, node.name)
            except OSError:
                node.lose()
                raise
            if not self.lying:
                node.sync()
            return 0

    def release(self, path: str | None, fh: int) -> int:
        with self.mutex:
            self.opened.pop(fh, None)
        return 0

    releasedir = release

    # Attributes

    @_operation("getattr")
    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        node = self._tree.find(path) if fh is None and path is not None else self.opened[fh or 0]
        return {
            "st_mode": node.mode,
            "st_nlink": 1,
            "st_uid": node.uid,
            "st_gid": node.gid,
            "st_size": node.size,
            "st_blocks": (node.size + 511) // 512,
            "st_atime": node.accessed,
            "st_mtime": node.changed,
            "st_ctime": node.changed,
        }

    @_operation("chmod")
    def chmod(self, path: str, mode: int) -> int:
        node = self._tree.find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    @_operation("chmod")
    def chown(self, path: str, uid: int, gid: int) -> int:
        node = self._tree.find(path)
        node.uid = uid if uid != -1 else node.uid
        node.gid = gid if gid != -1 else node.gid
        return 0

    @_operation("utimens")
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        node = self._tree.find(path)
        node.accessed, node.changed = times or (time.time_ns(),) * 2
        return 0

    @_operation("statfs")
    def statfs(self, path: str) -> dict[str, int]:
        free = (CAPACITY - self._tree.octets()) // PAGE
        return {
            "f_bsize": PAGE,
            "f_frsize": PAGE,
            "f_blocks": CAPACITY // PAGE,
            "f_bfree": free,
            "f_bavail": free,
            "f_files": 1 << 20,
            "f_ffree": 1 << 20,
            "f_namemax": 255,
        }

    def _open(self, node: Node) -> int:
        self._last += 1
        self.opened[self._last] = node
        return self._last

    def _file(self, fh: int) -> File:
        node = self.opened[fh]
        assert isinstance(node, File)
        return node


def _owned(node: Node) -> Node:
    node.uid, node.gid, _ = mfusepy.fuse_get_context()
    return node


class Mount(mfusepy.FUSE):  # type: ignore[misc]
    """Passes on the handle that is all there is to know of an open file."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        handle = fip.contents.fh if fip else None
        return int(self.operations.truncate(None if path is None else os.fsdecode(path), length, handle))


class Control:
    """Follows the commands of the socket. `again` is true if the file system is to be mounted once more."""

    def __init__(self, disk: Disk, mount: str, path: str) -> None:
        self._disk = disk
        self._mount = mount
        self.again = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rw") as lines:
                lines.write(f"{self._do(*lines.readline().split())}\n")

    def _do(self, command: str, *words: str) -> str:
        disk = self._disk
        if command == "cut":
            disk.cut()
        elif command == "on":
            self._on(int(words[0]) if words else None)
        elif command == "seen":
            return json.dumps(disk.faults.seen)
        else:
            with disk.mutex:
                if command == "lie":
                    disk.lying = True
                elif command == "slow":
                    disk.slow = float(words[0])
                elif command == "heal":
                    disk.faults.heal()
                else:
                    disk.faults.fail(*words)
        return "ok"

    def _on(self, seed: int | None) -> None:
        """Unmount, so that the kernel drops its caches, and mount the rest."""
        self._disk.cut()
        self._seed = seed
        self._disk.mounted.clear()
        self.again = True
        subprocess.run(unmounting(self._mount), check=True)
        self._disk.mounted.wait()

    def ended(self) -> bool:
        """Whether it is over; otherwise the power is back."""
        if not self.again:
            return True
        self.again = False
        self._disk.restore(self._seed)
        return False


def main(mount: str, path: str) -> None:
    """Serve until unmounted from outside, or asked to end."""
    disk = Disk()
    control = Control(disk, mount, path)
    while True:
        others = {"allow_other": True} if os.geteuid() == 0 else {}
        Mount(
            disk, mount, foreground=True, nothreads=True, fsname="powerdisk", hard_remove=True, use_ino=False, **others
        )
        if control.ended():
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
