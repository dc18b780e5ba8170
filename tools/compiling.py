"""The compiled build: the modules that mypyc compiles, and the form of their source that it takes.

Pure Python is the source of truth, and runs everywhere. In a build with SMTPRELAY_COMPILE=1 setup.py has some modules
compiled, which then stand beside their source; Python prefers them. Modules are left out if mypyc cannot compile them,
or if they take no part in the way of a message.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Where `make compiled` puts the whole relay with the compiled modules.
FOLDER = ROOT / ".cache" / "compiled"

#: The modules and packages that are compiled, without those in subpackages.
COMPILED = (
    "mta/smtp",
    "mta/smtp/client",
    "mta/smtp/server",
    "mta/message",
)
#: Modules of these packages that stay interpreted, each with the reason.
INTERPRETED = {
    "mta/message/body.py": "has an error that is an OSError, which mypyc does not know as a base",
}

# A compiled dataclass cannot be unpickled if it is frozen, which WORKERS needs. mypy has rejected all assignments.
_FROZEN = re.compile(r"(@dataclass\()frozen=True(, slots=True(?!, eq=False))")
# mypyc compiles a dataclass without slots; the attributes of a compiled class take no dictionary anyway.
_SLOTS = re.compile(r"(@(?:dataclass|fast_value)\([^)]*\bslots=)True")


def modules() -> Iterator[str]:
    """Yield the paths of the modules that are compiled."""
    for package in COMPILED:
        for path in sorted((ROOT / package).glob("*.py")):
            name = str(path.relative_to(ROOT))
            if path.name != "__init__.py" and name not in INTERPRETED:
                yield name


def prepared(source: str) -> str:
    """Return the source of a module as mypyc takes it. Lines keep their numbers."""
    return _SLOTS.sub(r"\g<1>False", _FROZEN.sub(r"\1unsafe_hash=True\2", source))


def prepare(folder: Path) -> list[str]:
    """Copy the package into a folder, in which the modules to compile are prepared; return their paths there."""
    shutil.rmtree(folder / "mta", ignore_errors=True)
    shutil.copytree(ROOT / "mta", folder / "mta", ignore=shutil.ignore_patterns("__pycache__"))
    names = list(modules())
    for name in names:
        path = folder / name
        path.write_text(prepared(path.read_text()))
    return names


def extensions(folder: Path) -> list[Any]:
    """Translate the modules into C below a folder; return the extensions for setuptools. Needs mypy and mypy-zope."""
    from mypyc.build import mypycify  # noqa: PLC0415  only this build needs it

    folder.mkdir(parents=True, exist_ok=True)
    names = prepare(folder)
    before = Path.cwd()
    # mypyc names the modules by their paths, and compiled tracebacks have these paths.
    os.chdir(folder)
    try:
        return mypycify(
            ["--config-file", str(ROOT / "setup.cfg"), *names],
            # One C file a module, because gcc's time grows faster than the length of a file.
            multi_file=True,
            opt_level="2",
            debug_level="0",
            target_dir=str(folder / "c"),
            group_name="smtprelay",
        )
    finally:
        os.chdir(before)
