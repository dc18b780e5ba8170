"""The package in clean environments of each Python of this host: it takes mail, delivers it, and starts again."""

import configparser
from pathlib import Path
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement

from harness.daemon import ROOT, Daemon
from harness.processes import find_program, free_port
from harness.sink import Sink
from mta import __version__
from tests.packages.python.interpreters import interpreters, run

PYTHONS = interpreters()
MAIL = b"Subject: hello\r\n\r\nhello\r\n"


def relays(command: Path, home: Path) -> None:
    """Start the relay by an installed command, send mail through it, and do so again after a restart."""
    page = free_port()
    with Sink() as sink:
        daemon = Daemon(
            home,
            PYTHONPATH="",
            ADMIN_LISTEN=f"127.0.0.1:{page}",
            SMARTHOST_ADDRESS=f"127.0.0.1::{sink.port}",
            SMARTHOST_TLS="none",
        )
        daemon.child.command = [str(command), "run"]
        for number in (1, 2):
            with daemon:
                daemon.submit(MAIL, "somebody@example.test")
                daemon.wait_until_empty()
                assert len(sink.messages) == number
                run(command, "health", **daemon.environment)
                # Templates and files of the page are parts of the package.
                with urlopen(f"http://127.0.0.1:{page}/") as answer:
                    assert answer.status == 200
                assert daemon.stop() == 0
    assert "2 messages finished" in run(command, "queue", "list", **daemon.environment)


@pytest.mark.parametrize("name", PYTHONS)
def test_the_wheel_works_in_a_clean_environment(built, tmp_path, name):
    run(PYTHONS[name], "-m", "venv", tmp_path / "venv")
    bin = tmp_path / "venv/bin"
    run(bin / "pip", "install", "--quiet", built.wheel)
    run(bin / "pip", "check")
    assert run(bin / "smtprelay", "--version") == f"smtprelay, version {__version__}\n"
    assert "A mail relay with a durable queue." in run(bin / "twistd", "--help")
    relays(bin / "smtprelay", tmp_path / "relay")
    run(bin / "pip", "uninstall", "--quiet", "--yes", "smtprelay")
    packages = tmp_path / "venv/lib" / name / "site-packages"
    left = [path for folder in ("mta", "queue_schema") for path in (packages / folder).rglob("*") if path.is_file()]
    assert [str(path) for path in left] == []


def test_the_lowest_versions_of_the_dependencies_that_are_allowed_work(built, tmp_path):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].strip().splitlines()
    required = [Requirement(line) for line in lines if not line.startswith("#")]
    lowest = [f"{one.name}=={specifier.version}\n" for one in required for specifier in one.specifier]
    (tmp_path / "lowest").write_text("".join(lowest))
    # The oldest Python, because old versions have no wheels for new ones.
    run(next(iter(PYTHONS.values())), "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/pip", "install", "--quiet", "--constraint", tmp_path / "lowest", built.wheel)
    relays(tmp_path / "venv/bin/smtprelay", tmp_path / "relay")


def test_the_archive_of_the_source_installs_too(built, tmp_path):
    run(list(PYTHONS.values())[-1], "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/pip", "install", "--quiet", built.archive)
    relays(tmp_path / "venv/bin/smtprelay", tmp_path / "relay")


def test_pipx_installs_the_command_and_nothing_else(built, tmp_path):
    pipx = find_program("pipx")
    if pipx is None:
        pytest.skip("needs Debian's package pipx")
    folders = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    run(pipx, "install", str(built.wheel), **folders)
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["smtprelay"]
    relays(tmp_path / "bin/smtprelay", tmp_path / "relay")
    run(pipx, "uninstall", "smtprelay", **folders)
    assert list((tmp_path / "bin").iterdir()) == []
    # The queue outlives the package.
    assert (tmp_path / "relay/queue").is_dir()
