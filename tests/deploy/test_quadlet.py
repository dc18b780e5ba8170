"""The files for Podman under systemd, as Podman's own generator makes units of them."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from harness.waiting import PATIENCE
from mta.config.table import PORT, QUEUE_DIR
from mta.delivery.limits import DeliveryLimits
from mta.routing.route import TlsRule
from tests.deploy.manifests import ROOT, understood
from tests.deploy.pages import blocks
from tests.programs.quadlet import NoQuadletError, quadlet

FOLDER = ROOT / "deploy" / "quadlet"
PAGE = ROOT / "docs" / "podman.md"
DROP_INS = [block.text for block in blocks(PAGE) if block.text.startswith("[Container]\n")]


def generated(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the generator on the files of a folder: it prints the units."""
    try:
        program = quadlet()
    except NoQuadletError as error:
        pytest.skip(str(error))
    return subprocess.run(
        [str(program), "-dryrun"],
        env={"QUADLET_UNIT_DIRS": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def units(text: str) -> dict[str, str]:
    """Return the units that the generator printed, by their names."""
    parts = re.split(r"^---(.*)---$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def command_of(text: str) -> list[str]:
    """Return the command line by which a unit starts its container."""
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return shlex.split(line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like /etc/containers/systemd with the files."""
    target = tmp_path / "systemd"
    shutil.copytree(FOLDER, target)
    return target


@pytest.fixture
def unit(folder: Path) -> str:
    return units(generated(folder).stdout)["smtprelay.service"]


def option(command: list[str], name: str) -> list[str]:
    return [after for word, after in pairwise(command) if word == name]


def test_the_generator_makes_a_service_of_each_file(folder: Path) -> None:
    done = generated(folder)
    assert done.returncode == 0, done.stderr
    assert set(units(done.stdout)) == {"smtprelay.service", "smtprelay-queue-volume.service"}


def test_a_mistyped_key_is_a_mistake(folder: Path) -> None:
    (folder / "smtprelay.container").write_text((FOLDER / "smtprelay.container").read_text().replace("Tmpfs", "Tmpf"))
    assert "unsupported key 'Tmpf'" in generated(folder).stderr


def test_the_queue_is_on_a_volume_with_a_name_which_outlives_the_container(folder: Path, unit: str) -> None:
    command = command_of(unit)
    assert option(command, "-v") == [f"smtprelay-queue:{QUEUE_DIR.default}"]
    assert "--rm" in command, "podman rm -v removes volumes without a name"
    made = units(generated(folder).stdout)["smtprelay-queue-volume.service"]
    assert command_of(made)[-1] == "smtprelay-queue"


def test_the_container_has_only_the_rights_that_a_relay_needs(unit: str) -> None:
    command = command_of(unit)
    assert {"--read-only", "--security-opt=no-new-privileges"} <= set(command)
    assert option(command, "--cap-drop") == ["all"]
    assert option(command, "--sysctl") == [f"net.ipv4.ip_unprivileged_port_start={PORT.default}"]
    assert option(command, "--publish") == [f"127.0.0.1:25:{PORT.default}"], "no port is open to the world"
    assert option(command, "--tmpfs") == ["/tmp"]


def test_the_service_starts_and_stops_with_the_relay(unit: str) -> None:
    command = command_of(unit)
    assert "--sdnotify=container" in command
    assert option(command, "--health-cmd") == ["smtprelay health"]
    (seconds,) = option(command, "--stop-timeout")
    assert int(seconds) >= 3 * DeliveryLimits().grace
    assert f"TimeoutStopSec={int(seconds) + 15}\n" in unit
    plain = (ROOT / "deploy" / "systemd" / "smtprelay.service").read_text()
    for name in ("Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStartSec", "StartLimitIntervalSec"):
        pattern = rf"^{name}=.*$"
        assert re.findall(pattern, unit, re.MULTILINE) == re.findall(pattern, plain, re.MULTILINE)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_units(folder: Path, tmp_path: Path) -> None:
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\n")
    podman.chmod(0o755)
    paths = []
    for name, text in units(generated(folder).stdout).items():
        paths.append(tmp_path / name)
        paths[-1].write_text(text.replace("/usr/bin/podman", str(podman)))
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "verify", *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert [line for line in done.stderr.splitlines() if "smtprelay" in line] == []
    assert done.returncode == 0


@pytest.mark.parametrize("number", range(len(DROP_INS)))
def test_the_generator_takes_the_drop_ins_of_the_page(folder: Path, number: int) -> None:
    drop_ins = folder / "smtprelay.container.d"
    drop_ins.mkdir()
    (drop_ins / "10.conf").write_text(DROP_INS[number])
    done = generated(folder)
    assert done.returncode == 0, done.stderr
    assert "smtprelay.service" in units(done.stdout)


def test_all_drop_ins_together_make_a_relay_with_a_smarthost(folder: Path, tmp_path: Path) -> None:
    drop_ins = folder / "smtprelay.container.d"
    drop_ins.mkdir()
    for number, text in enumerate(DROP_INS):
        (drop_ins / f"{number}.conf").write_text(text)
    command = command_of(units(generated(folder).stdout)["smtprelay.service"])
    environment = dict(each.split("=", 1) for each in option(command, "--env"))
    settings = understood(environment, tmp_path)
    assert settings.notices == ()
    assert settings.smarthost is not None
    assert settings.smarthost.tls is TlsRule.VERIFY
    assert option(command, "--publish") == ["25:25"], "the drop-in takes back the port of this host alone"
    secrets = {f"/run/secrets/{each.partition(',')[0]}" for each in option(command, "--secret")}
    assert secrets == {value for name, value in environment.items() if name.endswith("_FILE")}


def test_the_page_copies_the_files_to_where_the_generator_looks() -> None:
    text = PAGE.read_text()
    assert "install -D -m 644 -t /etc/containers/systemd deploy/quadlet/*" in text
    assert {path.suffix for path in FOLDER.iterdir()} == {".container", ".volume"}
