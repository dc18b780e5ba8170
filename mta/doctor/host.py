"""The host: its clock, and the disk, open files and memory that the relay needs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mta.daemon.mounts import Mount, mount_warning
from mta.doctor.findings import Finding, failure, ok, skipped, warning
from mta.queue.interface import Space

#: 2026-01-01: a clock before this is wrong.
EARLIEST = 1767225600.0
#: Seconds that the clock may be behind the last write to the queue.
_BACK = 60.0
_FEW_INODES = 1000
#: Seconds of the median sync of a slow disk, and of one that limits the relay to a few messages a second.
_SLOW, _VERY_SLOW = 0.05, 0.5
# File systems of other hosts, on which the locks and the shared memory of SQLite's WAL do not work safely.
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"})
#: Open files below which the relay accepts fewer connections than it could.
_FILES = 4096
_MEMORY = 128 << 20


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The state of the host. A fact that cannot be had is None."""

    #: Seconds since 1970 by this host's clock.
    now: float
    queue_dir: Path
    #: When the queue was last written.
    last_write: float | None = None
    #: Whether the kernel says that a time service keeps its clock.
    synchronized: bool | None = None
    space: Space | None = None
    #: Files that can be created; None also on a file system without a limit.
    inodes: int | None = None
    #: Seconds that each of some small synced writes took.
    syncs: tuple[float, ...] = ()
    #: Why the writes failed, or "".
    sync_error: str = ""
    mount: Mount | None = None
    in_container: bool = False
    #: The limit of open files of the running relay.
    open_files: int | None = None
    #: Octets of memory that programs can have.
    memory: int | None = None


def check_host(facts: HostFacts) -> Iterator[Finding]:
    """Yield findings about clock, disk, open files and memory."""
    yield _clock(facts)
    yield _space(facts)
    yield _sync(facts)
    yield _file_system(facts)
    yield _open_files(facts)
    yield _memory(facts)


def _clock(facts: HostFacts) -> Finding:
    check, remedy = "host/clock", "set the clock, and run a time service such as chrony or systemd-timesyncd"
    if facts.now < EARLIEST:
        return failure(check, "this host's clock is years behind, so that every certificate is refused", remedy)
    if facts.last_write is not None and facts.last_write > facts.now + _BACK:
        behind = facts.last_write - facts.now
        return failure(check, f"the clock is {behind:.0f} s behind the last write to the queue", remedy)
    if facts.synchronized is False:
        return warning(check, "no time service keeps this host's clock", "run one: chrony or systemd-timesyncd")
    return ok(check, "the clock is kept by a time service" if facts.synchronized else "the clock is plausible")


def _space(facts: HostFacts) -> Finding:
    check, space = "host/space", facts.space
    if space is None:
        return skipped(check, f"the free space of {facts.queue_dir} cannot be read", "run this as the relay's user")
    free = f"{space.total >> 20} MiB are free for the queue"
    remedy = f"free space on the disk of {facts.queue_dir}, or shorten HISTORY_DAYS"
    if space.full:
        return failure(check, f"{free}: mail is refused", remedy)
    if facts.inodes is not None and facts.inodes < _FEW_INODES:
        return warning(check, f"only {facts.inodes} files can be created on the queue's disk", remedy)
    if space.short:
        return warning(check, f"only {free}", remedy)
    return ok(check, free)


def _sync(facts: HostFacts) -> Finding:
    check = "host/sync"
    if facts.sync_error:
        remedy = "run this as the relay's user, or mend the disk"
        return skipped(check, f"no file can be written in {facts.queue_dir}: {facts.sync_error}", remedy)
    if not facts.syncs:
        return skipped(check, "the disk was not measured")
    middle, worst = median(facts.syncs), max(facts.syncs)
    seen = f"a synced write takes {middle * 1000:.1f} ms, at worst {worst * 1000:.1f} ms"
    remedy = "put QUEUE_DIR on a faster disk: each message is acknowledged after such a write"
    if middle >= _VERY_SLOW:
        return failure(check, seen, remedy)
    return warning(check, seen, remedy) if middle >= _SLOW else ok(check, seen)


def _file_system(facts: HostFacts) -> Finding:
    check, mount = "host/file-system", facts.mount
    if mount is None:
        return skipped(check, "the table of mounts cannot be read")
    if mount.kind in _REMOTE:
        seen = f"QUEUE_DIR={facts.queue_dir} is on {mount.kind}, whose locks do not protect the queue"
        return failure(check, seen, "put QUEUE_DIR on a disk of this host or a block device")
    danger = mount_warning(mount, facts.queue_dir, in_container=facts.in_container)
    if danger is not None:
        seen, _, remedy = danger.partition("; ")
        return warning(check, seen, remedy)
    return ok(check, f"{facts.queue_dir} is on {mount.kind}, mounted at {mount.point}")


def _open_files(facts: HostFacts) -> Finding:
    check, limit = "host/open-files", facts.open_files
    if limit is None:
        return skipped(check, "no relay runs here, or its limits cannot be read", "run this as the relay's user")
    if limit < _FILES:
        remedy = f"raise it to {_FILES} or more: LimitNOFILE of systemd, --ulimit nofile of a container"
        return warning(check, f"the relay may open only {limit} files, which limits its connections", remedy)
    return ok(check, f"the relay may open {limit} files")


def _memory(facts: HostFacts) -> Finding:
    check, memory = "host/memory", facts.memory
    if memory is None:
        return skipped(check, "the free memory cannot be read")
    free = f"{memory >> 20} MiB of memory are free"
    if memory < _MEMORY:
        return warning(check, f"only {free}", "give this host or container more memory, or stop other programs")
    return ok(check, free)
