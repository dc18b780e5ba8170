"""Reads the secrets that rules name: each stands in a file or a variable of its own, and never in a file of rules.

No mistake shows a secret, also if it stands where the path of its file belongs.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from mta.config.rules.rule_files import read_regular_file
from mta.config.value_types import read_secret
from mta.file_states import FileRecord

_MAX_OCTETS = 1 << 16
# Other white space may belong to a password.
_BLANKS = " \t\r\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
# About 20 ms and 4 MiB (measured), so that the digest in the log is no quick test of guessed passwords.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 12, 8, 1


class RuleSecrets:
    """The secrets of one rule book, and the places that they come from."""

    def __init__(self, variable: Callable[[str], str], record: FileRecord) -> None:
        """`variable` returns the text of an environment variable, "" if it is unset."""
        self._variable = variable
        self._texts: list[str] = []
        #: Notes each file before it is read.
        self.record = record
        #: The variables that rules name.
        self.variables: dict[str, None] = {}

    def from_file(self, path: str) -> str:
        """Return the content of a file without trailing blanks and line ends. Raises ValueError."""
        if not path.startswith("/") or "\0" in path:
            raise ValueError("this is not the path of a file; a path begins with /")
        self.record.note(path)
        try:
            text = read_regular_file(Path(path), _MAX_OCTETS).decode("utf-8-sig").rstrip(_BLANKS)
        except UnicodeDecodeError:
            raise ValueError(f"{path}: the file is not UTF-8 text") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if not text:
            raise ValueError(f"{path}: the file is empty")
        return self._checked(text, path)

    def from_variable(self, name: str) -> str:
        """Return the text of a variable. Raises ValueError."""
        if not _NAME.fullmatch(name):
            raise ValueError("this is not the name of a variable")
        self.variables[name] = None
        text = self._variable(name).rstrip(_BLANKS)
        if not text:
            raise ValueError("the variable that it names is not set")
        return self._checked(text, "the variable that it names")

    def add(self, text: str) -> None:
        """Let the digest depend on a text."""
        self._texts.append(text)

    def digest(self, salt: bytes) -> bytes:
        """Return a digest of all secrets, whose computation is costly; empty without secrets."""
        if not self._texts:
            return b""
        texts = "\0".join(self._texts).encode("utf-8", "surrogateescape")
        return hashlib.scrypt(texts, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)

    def _checked(self, text: str, origin: str) -> str:
        try:
            read_secret(text)
        except ValueError as error:
            raise ValueError(f"{origin}: {error}") from None
        self.add(text)
        return text
