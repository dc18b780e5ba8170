"""Collects the mistakes in rules: each a line with the file, the line, and the words."""

from mta.config.setting import shorten

_MAX_WORDS = 300
# Mistakes that are listed.
_MAX_LISTED = 100


class RuleMistakes:
    """The mistakes in all files of rules, and those in variables that stand for rules."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, str], None] = {}
        #: The words of the first mistake in each variable, by its name.
        self.of_variables: dict[str, str] = {}
        #: Lines about rules that are no mistakes.
        self.notices: list[str] = []

    def add(self, path: str, line: int, words: str) -> None:
        """Add a mistake in a line of a file; line 0 is the file as a whole."""
        self._found.setdefault((shorten(path, _MAX_WORDS), line, shorten(words, _MAX_WORDS)))

    def add_variable(self, name: str, words: str) -> None:
        """Add a mistake in a variable. Further ones of the same variable are not told."""
        self.of_variables.setdefault(name, words)

    def __bool__(self) -> bool:
        """Whether there are mistakes."""
        return bool(self._found or self.of_variables)

    @property
    def lines(self) -> list[str]:
        """The mistakes in files in the order of path and line, `FILE:LINE: words`."""
        ordered = sorted(self._found)
        told = [f"{path}:{line}: {words}" if line else f"{path}: {words}" for path, line, words in ordered]
        more = len(told) - _MAX_LISTED
        return [*told[:_MAX_LISTED], f"the rules have {more} more mistakes"] if more > 0 else told
