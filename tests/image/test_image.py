"""The content of the image, its configuration, and its use of a machine."""

import os
import re
import subprocess
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mta
from harness.certificates import self_signed
from harness.processes import free_port, greets
from harness.waiting import until
from tests.image.buildah import disk_usage
from tests.image.container import QUEUE, USER, daemon_of, locked_up, resident

MEGABYTE = 1_000_000
ANYONE = 1234567890
SITE = "opt/smtprelay/lib/python3.13/site-packages"


def settings(port):
    return {
        "PATH": "/opt/smtprelay/bin:/usr/bin:/bin",
        "PORT": str(port),
        "BIND_IP": "0.0.0.0",
        "DISABLE_IPV6": "yes",
        "MAILNAME": "relay.example.test",
    }


@pytest.fixture
def start(image, tmp_path):
    """Return a starter of locked-up containers; waits for the greeting, and ends them with the test."""
    children = []

    def start(user=USER, port=None, **more):
        port = port or free_port()
        child = locked_up(image.root, tmp_path, *image.start, user=user, **more, **settings(port))
        children.append(child)
        child.start()
        until(lambda: greets(port) or not child.running, what="the greeting")
        assert child.running, child.text
        return child

    yield start
    for child in children:
        if child.running:
            child.kill()


def test_it_adds_less_than_105_megabytes_to_the_base(image, capsys):
    added = disk_usage(image.root) - disk_usage(image.base)
    with capsys.disabled():
        print(f"\nthe image adds {added / MEGABYTE:.1f} MB to a base of {disk_usage(image.base) / MEGABYTE:.1f} MB")
    assert added < 105 * MEGABYTE


def test_it_holds_no_compiler_and_no_installer(image):
    unwanted = ("gcc*", "cc", "ld", "make", "pip*", "easy_install*")
    programs = [path for name in unwanted for path in image.root.glob(f"**/bin/{name}")]
    packages = [
        path for name in ("pip", "setuptools", "wheel") for path in image.root.glob(f"**/*-packages/{name}/__init__.py")
    ]
    assert programs + packages == []


def test_it_runs_compiled_modules_if_they_were_asked_for(image, start):
    compiled = [path.name for path in image.root.glob(f"{SITE}/*__mypyc*.so")]
    assert len(compiled) == bool(image.arguments["COMPILE"])
    child = start()
    mapped = Path(f"/proc/{daemon_of(child.pid)}/maps").read_text().split()
    assert {Path(path).name for path in mapped if "__mypyc" in path} == set(compiled)


def test_debians_packages_are_new_enough(image):
    folder = image.root / "usr/lib/python3/dist-packages"
    installed = {name(one): one.version for one in distributions(path=[str(folder)])}
    (relay,) = distributions(path=[str(image.root / SITE)])
    wanted = [Requirement(line) for line in relay.requires or ()]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "postgres"})]
    assert {"twisted", "psycopg"} <= {name(one) for one in wanted}
    assert [str(one) for one in wanted if not one.specifier.contains(installed[name(one)])] == []


def name(thing):
    """Return the name of a package in the form that all its spellings have in common."""
    return re.sub(r"[-_.]+", "-", thing.name).lower()


def test_it_says_how_to_run_it(image):
    says = image.configuration
    assert says["User"] == f"{USER}:0"
    assert says["StopSignal"] == "SIGTERM"
    assert set(says["ExposedPorts"]) == {"25/tcp", "465/tcp", "587/tcp"}
    assert set(says["Volumes"]) == {"/var/spool/smtprelay"}
    assert says["Healthcheck"]["Test"] == ["CMD", "smtprelay", "health"]
    assert {"PORT=25", "BIND_IP=0.0.0.0", "BIND_IP6=::0"} <= set(says["Env"])
    assert says["Labels"]["org.opencontainers.image.version"] == mta.__version__


@pytest.mark.parametrize("python", ["python3", "python-port25"])
def test_it_has_the_library_that_validates_dns_answers_and_the_keys_of_the_root(image, python):
    code = (
        "from mta.dns.dnssec.library import UnboundContext, libunbound\n"
        "from mta.dns.dnssec.trust_anchors import ANCHOR_FILES, root_anchors\n"
        "from mta.dns.dnssec.unbound import OPTIONS\n"
        "context = UnboundContext(libunbound(), [('127.0.0.1', 9)], root_anchors(), OPTIONS)\n"
        "context.ask(1, b'example.', 1)\n"
        "context.close()\n"
        "print(ANCHOR_FILES[0].exists())\n"
    )
    inside = ["chroot", "--userspec", f"{USER}:0", str(image.root), f"/opt/smtprelay/bin/{python}", "-c", code]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("user", [USER, ANYONE])
def test_it_runs_without_any_right_as_any_user_of_group_0_on_a_read_only_root(image, start, tmp_path, user):
    queue = tmp_path / "queue"
    queue.mkdir()
    os.chown(queue, 0, 0)
    child = start(user, DNSSEC="libunbound")
    assert (queue / "queue.sqlite").stat().st_uid == user
    assert "Read-only" not in child.text
    assert "Traceback" not in child.text


def test_as_process_1_it_ends_by_itself_when_it_is_asked_to(start):
    child = start()
    assert child.stop() == 0
    assert " stopped" in child.text


def test_it_idles_in_70_megabytes_and_tells_when_it_was_ready(start, capsys):
    times = []
    for _ in range(3):
        begun = time.monotonic()
        child = start()
        times.append(time.monotonic() - begun)
        memory = resident(daemon_of(child.pid))
        child.kill()
    with capsys.disabled():
        print(f"\nready after {sorted(times)[1]:.2f} s, {memory / MEGABYTE:.1f} MB of memory when idle")
    assert memory < 70 * MEGABYTE


def test_an_ordinary_user_may_open_port_25_where_the_container_may(image, tmp_path):
    rights = ("--bounding-set=-all,+net_bind_service",)
    with locked_up(
        image.root, tmp_path, *image.start, user=USER, rights=rights, network=False, **settings(25)
    ) as child:
        until(lambda: "port=25" in child.text or not child.running, what="port 25")
        assert child.running, child.text


def test_an_ordinary_user_may_open_the_ports_of_submission_where_the_container_may(image, tmp_path):
    volume = tmp_path / "queue"
    volume.mkdir()
    pair = self_signed(["mail.example.org"]).write(volume)
    for path in pair:
        os.chown(path, USER, 0)
    certificate, key = (f"{QUEUE}/{path.name}" for path in pair)
    more = {"QUEUE_DIR": f"{QUEUE}/queue", "CERTIFICATE_PATH": certificate, "KEY_PATH": key}
    more |= {"SUBMISSION_PORT": "587", "SUBMISSION_TLS_PORT": "465", "AUTH_USERS": "app:{PLAIN}correct-horse"}
    rights = ("--bounding-set=-all,+net_bind_service",)
    with locked_up(
        image.root, tmp_path, *image.start, user=USER, rights=rights, network=False, **settings(2525), **more
    ) as child:
        until(lambda: " started " in child.text or not child.running, what="the start")
        assert child.running, child.text
        assert {"port=2525", "port=587", "port=465"} <= set(child.text.split())


def test_started_as_root_it_takes_the_volume_over_and_gives_root_up(image, tmp_path):
    queue = tmp_path / "queue"
    queue.mkdir()
    rights = ("--bounding-set=-all,+net_bind_service,+setuid,+setgid,+chown,+dac_override",)
    with locked_up(image.root, tmp_path, *image.start, user=0, rights=rights, network=False, **settings(25)) as child:
        until(lambda: " started " in child.text or not child.running, what="the start")
        assert child.running, child.text
        assert Path(f"/proc/{daemon_of(child.pid)}").stat().st_uid == USER
        assert (queue.stat().st_uid, (queue / "queue.sqlite").stat().st_uid) == (USER, USER)
