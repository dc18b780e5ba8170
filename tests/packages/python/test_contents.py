"""The wheel and the archive of the source: their files, their description, and that they can be built again."""

import configparser
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

from harness.daemon import ROOT
from mta import __version__
from tests.packages.python.building import build, copy_of, found_in, kept_files

# Files for the host of the repository and for git.
OF_THE_HOST = (".github/", ".gitignore")
# The archive has these besides.
MADE = {"PKG-INFO", *(f"smtprelay.egg-info/{name}" for name in ("PKG-INFO", "SOURCES.txt", "dependency_links.txt"))}
MADE |= {f"smtprelay.egg-info/{name}.txt" for name in ("entry_points", "requires", "top_level")}
# Folders that the wheel has, and files in them that only developers read.
INSTALLED = ("mta/", "queue_schema/", "twisted/plugins/")
FOR_DEVELOPERS = ("queue_schema/postgres/README.md", "queue_schema/postgres/model/")


def test_the_package_has_all_files_and_its_description_and_can_be_built_again(tmp_path: Path) -> None:
    files = kept_files()
    source = copy_of(files, tmp_path / "source")
    build(source, tmp_path / "dist")
    built = found_in(tmp_path / "dist")
    # The first wheel was made from the archive, this one from the files.
    build(source, tmp_path / "again", "--wheel")
    (again,) = (tmp_path / "again").iterdir()
    assert again.read_bytes() == built.wheel.read_bytes()

    top = f"smtprelay-{__version__}/"
    with tarfile.open(built.archive) as archive:
        archived = {member.name.removeprefix(top) for member in archive if member.isfile()}
    assert archived - MADE == {path for path in files if not path.startswith(OF_THE_HOST)}

    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        metadata = message_from_string(wheel.read(f"smtprelay-{__version__}.dist-info/METADATA").decode())
        entries = configparser.ConfigParser()
        entries.read_string(wheel.read(f"smtprelay-{__version__}.dist-info/entry_points.txt").decode())
    installed = {name for name in names if ".dist-info/" not in name}
    assert installed == {path for path in files if path.startswith(INSTALLED) and not path.startswith(FOR_DEVELOPERS)}
    assert built.wheel.name == f"smtprelay-{__version__}-py3-none-any.whl"
    assert (metadata["Name"], metadata["Version"]) == ("smtprelay", __version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert "postgres" in metadata.get_all("Provides-Extra", [])
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    assert dict(entries["console_scripts"]) == {"smtprelay": "mta.cli.main:main"}

    command = [sys.executable, "-m", "twine", "check", "--strict", str(built.wheel), str(built.archive)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
