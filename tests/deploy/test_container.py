"""The scripts of the image, with programs that only say how they were called in place of its own."""

import re
import subprocess
from pathlib import Path

import pytest

from mta.cli.main import called_as, main
from tests.deploy.manifests import ROOT

FOLDER = ROOT / "deploy" / "container"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HOME = "/opt/smtprelay"
(LINKS,) = (names.split() for names in re.findall(r"for name in ([a-z0-9 ]+); do ln -s smtprelay ", DOCKERFILE))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the image with its scripts and links."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("smtprelay", "python", "python-port25"):
        (bin / name).write_text('#!/bin/sh\n[ "$*" = "-ISc " ] || echo "${0##*/} $*"\n')
    (bin / "entrypoint").write_text((FOLDER / "entrypoint").read_text().replace(HOME, str(tmp_path)))
    for path in bin.iterdir():
        path.chmod(0o755)
    for name in LINKS:
        (bin / name).symlink_to("smtprelay")
    return bin


def run(home: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": f"{home}:/usr/bin:/bin", **environ}
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", LINKS)
def test_each_command_of_the_exim_image_is_one_of_smtprelay(name: str) -> None:
    command, *rest = called_as([f"{HOME}/bin/{name}", "-x", "a b"])
    assert main.get_command(None, command) is not None  # type: ignore[arg-type]
    assert rest == ["-x", "a b"]


@pytest.mark.parametrize("words", [[], ["relay"], ["exim", "-bd", "-q15m", "-v"], ["exim4", "-bdf"], ["exim"]])
def test_the_image_starts_a_relay_in_place_of_exims_daemon(words: list[str], home: Path) -> None:
    done = run(home, str(home / "entrypoint"), *words)
    assert re.fullmatch(rf"python(-port25)? {home}/smtprelay run\n", done.stdout)
    said = f"smtprelay: there is no Exim here: the relay is started in place of '{' '.join(words)}'\n"
    assert done.stderr == (said if words[:1] in (["exim"], ["exim4"]) else "")


@pytest.mark.parametrize(
    "words", [["exim", "-bp"], ["exim4", "-qff"], ["exim", "-q15m"], ["mailq"], ["sendmail", "-t"]]
)
def test_any_other_command_is_run_as_it_is(words: list[str], home: Path) -> None:
    done = run(home, str(home / "entrypoint"), *words)
    # A program without arguments still prints the blank.
    assert (done.stdout.rstrip(), done.stderr) == (" ".join(words), "")


@pytest.mark.parametrize(
    ("ports", "program"),
    [
        ({"PORT": "1023"}, "python-port25"),
        ({"PORT": "2525"}, "python"),
        ({"PORT": "2525", "SUBMISSION_PORT": "587"}, "python-port25"),
        ({"PORT": "2525", "SUBMISSION_TLS_PORT": "465"}, "python-port25"),
        ({"PORT": "2525", "SUBMISSION_PORT": "2587", "SUBMISSION_TLS_PORT": ""}, "python"),
        ({"PORT": "x"}, "python"),
    ],
)
def test_the_python_with_the_capability_is_used_if_any_port_needs_it(
    home: Path, ports: dict[str, str], program: str
) -> None:
    (home / "id").write_text("#!/bin/sh\necho 10025\n")
    (home / "cat").write_text("#!/bin/sh\necho 1024\n")
    for name in ("id", "cat"):
        (home / name).chmod(0o755)
    done = run(home, str(home / "entrypoint"), **ports)
    assert (done.stdout, done.stderr) == (f"{program} {home}/smtprelay run\n", "")


def test_the_image_names_the_ports_of_relaying_and_submission() -> None:
    assert re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE) == ["25 465 587"]
