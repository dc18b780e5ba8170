"""Reads the rules in force: at the start, and again while the relay runs.

A relay without rules does not import the grammar of rules, which takes 2 MiB (measured).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mta.config.rules.table import RULES_DIR, USUAL_DIRECTORY, VARIABLES
from mta.config.setting import SettingsReader
from mta.file_states import FileStates
from mta.rules.book import RuleBook


@dataclass(frozen=True, slots=True)
class RulesReading:
    """All rules, as they were on disk at one moment."""

    #: None if there are no rules or mistakes.
    book: RuleBook | None
    #: The files that they were read from, or that would have rules if they existed.
    files: FileStates
    #: A line each, for the operator.
    mistakes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def used_directory(reader: SettingsReader, root: Path = Path("/")) -> Path | None:
    """Return the directory of rules: the one that is set, or the usual one if it is there."""
    usual = root / USUAL_DIRECTORY
    try:
        return reader.get(RULES_DIR) or (usual if usual.is_dir() else None)
    except OSError:
        return None


def read_current(reader: SettingsReader, root: Path = Path("/")) -> tuple[RuleBook | None, FileStates]:
    """Return all rules, None if there are none, and their files. Mistakes and notices are added to those of `reader`.

    The usual directory of rules is looked for below `root`.
    """
    # Looked at first, so that a directory that appears now is found later.
    usual = FileStates.of([root / USUAL_DIRECTORY])
    if usual.all_absent and not any(map(reader.is_set, (RULES_DIR, *VARIABLES))):
        return None, usual
    from mta.config.rules.shorthands import read_rules  # noqa: PLC0415  not for a relay without rules

    return read_rules(reader, root)


def read_again(environ: Mapping[str, str], root: Path = Path("/")) -> RulesReading:
    """Return the present rules of a relay that was started with an environment. May block for seconds."""
    reader = SettingsReader(environ)
    book, files = read_current(reader, root)
    return RulesReading(book, files, tuple(reader.mistakes), tuple(reader.notices))
