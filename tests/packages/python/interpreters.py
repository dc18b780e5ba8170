"""The Pythons of this host, and environments with the package in them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Of the versions that the package allows.
_NAMES = tuple(f"python3.{minor}" for minor in range(11, 20))


def interpreters() -> dict[str, str]:
    """Return a Python of each version that is on the path or installed by pyenv, and that can make environments."""
    found = {}
    for name in _NAMES:
        usable = next((path for path in _paths(name) if _makes_environments(path)), None)
        if usable is not None:
            found[name] = str(usable)
    return found


def _paths(name: str) -> Iterator[Path]:
    yield from (Path(folder, name) for folder in os.environ.get("PATH", "").split(":"))
    yield from sorted(Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}.*/bin/{name}"))


def _makes_environments(path: Path) -> bool:
    """Whether a Python is there and whole: pyenv's links to versions that are not chosen only say so and fail."""
    try:
        return subprocess.run([path, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(*command: str | Path, **environment: str) -> str:
    """Run a program to its end and return its output. It must end with status 0."""
    # Its packages are those of its own environment.
    environ = {name: text for name, text in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(word) for word in command],
        env=environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
