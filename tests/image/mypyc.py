"""mypyc for the build of an image, from this machine's package index, so that the build needs none."""

import subprocess
import sys
from pathlib import Path

#: The folder of the build in which pip looks for its settings.
FOLDER = "/etc/xdg/pip"
_SETTINGS = f"""\
[global]
no-index = true
find-links = {FOLDER}
"""


def mypyc(folder: Path) -> Path:
    """Return a folder with mypyc for the image's Python, its plugin, and settings of pip. It is made once."""
    settings = folder / "pip.conf"
    if not settings.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version=3.13"]
        subprocess.run([*download, f"--dest={folder}", "mypy", "mypy-zope"], check=True, timeout=600)
        settings.write_text(_SETTINGS)
    return folder
