"""Mount tables of containers and hosts, and the warnings about QUEUE_DIR."""

from pathlib import Path

import pytest

from mta.daemon.mounts import Mount, in_volume, mount_of, mount_warning, volatility_notice

QUEUE = Path("/var/spool/smtprelay")
NAMELESS = "/var/lib/docker/volumes/" + "0a" * 32 + "/_data"
MOUNTS = f"""\
22 1 0:40 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b
23 22 0:5 / /proc rw - proc proc rw
24 22 254:0 /volumes/mail/_data /var/spool/smtprelay rw,relatime - ext4 /dev/vda rw
25 22 254:0 {NAMELESS} /var/spool/other rw - ext4 /dev/vda rw
26 22 0:9 / /with\\040blank rw - tmpfs tmpfs rw
27 26 254:0 / /with\\040blank rw shared:3 - xfs /dev/vdb rw
a line that makes no sense
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/var/spool/smtprelay", "/var/spool/smtprelay", "ext4"),
        ("/var/spool/smtprelay/deep", "/var/spool/smtprelay", "ext4"),
        ("/var/spool/smtprelay2", "/", "overlay"),
        ("/", "/", "overlay"),
        ("/with blank/x", "/with blank", "xfs"),
    ],
)
def test_a_path_is_held_by_the_deepest_and_latest_mount_above_it(path, point, kind):
    mount = mount_of(Path(path), MOUNTS)
    assert (mount.point, mount.kind) == (point, kind)


@pytest.mark.parametrize(("path", "inside"), [("/var/spool/smtprelay/x", True), ("/var/spool", False)])
def test_a_mount_below_a_containers_root_is_a_volume(path, inside):
    assert in_volume(Path(path), MOUNTS, in_container=False) is inside
    on_a_host = MOUNTS.replace("overlay overlay", "ext4 /dev/vda")
    assert not in_volume(Path(path), on_a_host, in_container=False)
    assert in_volume(Path(path), on_a_host, in_container=True) is inside
    assert not in_volume(Path(path), "", in_container=True)


def test_without_mounts_a_path_has_no_mount():
    assert mount_of(QUEUE, "") is None


@pytest.mark.parametrize(
    ("mount", "in_container", "said"),
    [
        (Mount("/", "/", "overlay"), False, "in the container's own file system"),
        (Mount("/", "/", "btrfs"), True, "in the container's own file system"),
        (Mount("/var/spool", "/", "tmpfs"), True, "in memory"),
        (Mount("/var/spool/smtprelay", NAMELESS, "ext4"), True, "in a volume without a name"),
        (Mount("/var/spool/smtprelay", "/x/containers/1/volumes/" + "f" * 64, "ext4"), True, "without a name"),
    ],
)
def test_a_volatile_queue_directory_gives_a_warning(mount, in_container, said):
    line = mount_warning(mount, QUEUE, in_container=in_container)
    assert line.startswith("QUEUE_DIR=/var/spool/smtprelay lies ")
    assert said in line


@pytest.mark.parametrize(
    "mount",
    [
        Mount("/", "/", "ext4"),
        Mount("/var/spool/smtprelay", "/var/lib/docker/volumes/mail/_data", "ext4"),
        Mount("/var", "/", "overlay"),
    ],
)
def test_a_place_where_mail_lasts_is_not_worth_a_word(mount):
    assert mount_warning(mount, QUEUE, in_container=mount.point != "/") is None


def test_the_machines_own_memory_is_recognised():
    if mount_of(Path("/dev/shm"), Path("/proc/self/mountinfo").read_text()).kind != "tmpfs":  # noqa: S108
        pytest.skip("no tmpfs here")
    assert "in memory" in volatility_notice(Path("/dev/shm/queue"))  # noqa: S108
