"""The systemd unit as a file: systemd's own checks of it, its settings, and the paths that its page names."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.waiting import PATIENCE
from mta.config.sources.env_file import read_env_file
from mta.config.table import SETTINGS
from tests.deploy.manifests import understood
from tests.deploy.pages import blocks

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "systemd"
PAGE = ROOT / "docs" / "systemd.md"
PREFIX = "/opt/smtprelay"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the unit as if the relay were installed below tmp_path."""
    program = tmp_path / "bin" / "smtprelay"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "smtprelay.service"
    unit.write_text((FOLDER / "smtprelay.service").read_text().replace(PREFIX, str(tmp_path)))
    return unit


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@needs_systemd
def test_systemd_finds_no_fault_in_the_unit(installed: Path) -> None:
    done = analyze("verify", str(installed))
    # It may complain about units of the host, but not about this one.
    assert [line for line in done.stderr.splitlines() if "smtprelay" in line] == []
    assert done.returncode == 0


@needs_systemd
def test_systemd_rates_the_unit_below_two(installed: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", str(installed))
    assert done.returncode == 0, done.stdout


@needs_systemd
@pytest.mark.parametrize("page", ["systemd.md", "submission.md"])
def test_systemd_finds_no_fault_in_the_drop_ins_of_a_page(installed: Path, page: str) -> None:
    drop_ins = [block.text for block in blocks(ROOT / "docs" / page) if block.text.startswith("[Service]\n")]
    assert drop_ins
    folder = installed.with_name("smtprelay.service.d")
    folder.mkdir()
    for number, text in enumerate(drop_ins):
        (folder / f"{number}.conf").write_text(text.replace("/usr/local/bin", str(installed.parent / "bin")))
    done = analyze("verify", str(installed))
    assert [line for line in done.stderr.splitlines() if "smtprelay" in line] == []
    assert done.returncode == 0


def test_the_settings_of_submission_under_systemd_make_a_relay_with_a_login(tmp_path: Path) -> None:
    texts = [block.text for block in blocks(ROOT / "docs" / "submission.md")]
    (text,) = [text for text in texts if text.startswith("CERTIFICATE_PATH=/etc/smtprelay/")]
    file = tmp_path / "default"
    file.write_text(text)
    settings = understood({"MAILNAME": "mail.example.org", **read_env_file(file, {}, lambda _: None)}, tmp_path)
    assert (settings.submission_port, settings.submission_tls_port, settings.auth_user_count) == (587, 465, 1)
    assert settings.notices == ()


def test_the_settings_in_the_shipped_file_exist_and_are_commented_out() -> None:
    lines = (FOLDER / "smtprelay.default").read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)
    shown = {found[1] for line in lines if (found := re.match(r"#([A-Z][A-Z0-9_]*)=", line))}
    assert shown
    assert shown <= {setting.name for setting in SETTINGS if not setting.secret}


def test_the_page_copies_files_that_exist_to_where_the_unit_looks() -> None:
    copies = re.findall(r"^install -D -m \d+ (\S+) (\S+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(Path(source).name for source, _ in copies) == sorted(path.name for path in FOLDER.iterdir())
    assert all((ROOT / source).is_file() for source, _ in copies)
    unit = (FOLDER / "smtprelay.service").read_text()
    assert "EnvironmentFile=-/etc/default/smtprelay\n" in unit
    assert "/etc/default/smtprelay" in {target for _, target in copies}
    assert f"ExecStart={PREFIX}/bin/smtprelay run\n" in unit
    assert f"python3 -m venv {PREFIX}\n" in PAGE.read_text()
