"""The program as its next release would be, whose schema of the shared queue has two more steps."""

import shutil
from pathlib import Path

from harness.daemon import BUILD

#: The first step only adds to the tables. The second one waits until no relay of this release runs.
EXPANDED, CONTRACTED = 2, 3
_MIGRATIONS = {
    f"000{EXPANDED}_expand_note.sql": "ALTER TABLE smtprelay.message ADD COLUMN note text NOT NULL DEFAULT '';",
    f"000{CONTRACTED}_contract_note.sql": "ALTER TABLE smtprelay.message DROP COLUMN note;",
}


def next_release(home: Path) -> Path:
    """Make a folder with the program; a relay runs it if PYTHONPATH names the folder."""
    home.mkdir()
    for package in ("mta", "queue_schema", "twisted"):
        shutil.copytree(BUILD / package, home / package, ignore=shutil.ignore_patterns("__pycache__"))
    # The library of the compiled modules, in a compiled build.
    for library in BUILD.glob("*.so"):
        shutil.copy(library, home)
    steps = home / "queue_schema" / "postgres" / "migrations"
    steps.mkdir()
    for name, script in _MIGRATIONS.items():
        (steps / name).write_text(script)
    return home
