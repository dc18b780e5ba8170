"""Defines a setting, and reads settings from an environment, where it collects all mistakes."""

import enum
import errno
import os
import re
import select
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mta.smtp.address import printable

T = TypeVar("T")

FILE_SUFFIX = "_FILE"
#: What is shown in place of a secret.
MASK = "****"
_MAX_SHOWN = 200
_MAX_SECRET_OCTETS = 1 << 16
# Seconds to wait for the writer of a secret's pipe.
_PIPE_PATIENCE = 10.0
# Other white space may belong to a password.
_BLANKS = " \t\r\n"
# A password in a URL, where no setting takes one.
_PASSWORD = re.compile(r":([^\s/:@]++)@")
_QUOTES = ('""', "''", "\u201c\u201d")


class SettingsError(Exception):
    """The settings cannot be used. Each mistake is a line with the variable and a correct example."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class Source(enum.Enum):
    """The origin of a setting's value."""

    DEFAULT = "the default"
    ENVIRONMENT = "the environment"
    #: For secrets only.
    FILE = "a file"
    MACROS = "the macros file"


@dataclass(frozen=True, slots=True)
class ValueType(Generic[T]):
    """How a value is written. `read` parses the text of `show`, and raises ValueError with words for the operator.

    The words have no part of a text that `mask` hides. `show` hides it too.
    """

    read: Callable[[str], T]
    show: Callable[[T], str] = str
    #: Returns a text, which may be wrong, without the secrets in it; None if only a mistake may have some.
    mask: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One environment variable. A secret may also be in a file whose path is in `<name>_FILE`."""

    name: str
    value_type: ValueType[T]
    #: Used if the variable is unset or empty.
    default: str
    #: One line of Markdown.
    help: str
    #: A correct value.
    example: str
    secret: bool = False
    #: The meaning of the default, if `default` does not tell it.
    default_meaning: str = ""
    #: Whether several lines are usual, as in a list of users or a JSON key.
    multiline: bool = False
    #: The largest file of a secret.
    max_octets: int = _MAX_SECRET_OCTETS


class SettingsReader:
    """Reads settings from one environment, and from a macros file if the environment does not set them.

    A setting that is wrong counts as unset, and is listed in `mistakes`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._texts: dict[str, str] = {}
        self._mistakes: dict[str, str] = {}
        self.notices: list[str] = []

    @property
    def mistakes(self) -> list[str]:
        """The mistakes so far, one line each."""
        return list(self._mistakes.values())

    def check(self) -> None:
        """Raise SettingsError if there were mistakes."""
        if self._mistakes:
            raise SettingsError(self.mistakes)

    def get(self, setting: Setting[T]) -> T:
        """Return the value of a setting, or its default if it is unset or wrong."""
        text = self.text(setting)
        try:
            return setting.value_type.read(text or setting.default)
        except ValueError as error:
            quotes = "; the quotation marks are part of the value, remove them" if is_quoted(text) else ""
            self.mistake(setting, f"{error}{quotes}")
            return setting.value_type.read(setting.default)

    def text(self, setting: Setting[Any]) -> str:
        """Return the text of a setting, "" if it is unset, without blanks around it, but with those before a secret."""
        # A secret's file is read only once, because it may be a pipe.
        if setting.name not in self._texts:
            self._texts[setting.name] = (
                self._secret(setting) if setting.secret else self._environ.get(setting.name, "").strip()
            )
        return self._texts[setting.name]

    def add_macros(self, texts: Mapping[str, str]) -> None:
        """Use the settings of a macros file, by name, that the environment leaves unset. They must not be secrets."""
        for name, text in texts.items():
            if self._environ.get(name, "").strip():
                self.notice(f"{name} in the macros file has no effect: it is set in the environment")
            else:
                self._texts[name] = text

    def source(self, setting: Setting[Any]) -> Source:
        """Return the origin of the value."""
        if not self.is_set(setting):
            return Source.DEFAULT
        if self._environ.get(setting.name, "").strip():
            return Source.ENVIRONMENT
        return Source.FILE if setting.secret else Source.MACROS

    def file_of(self, setting: Setting[Any]) -> Path | None:
        """Return the regular file that a secret comes from, or None: also for a pipe, which can be read only once."""
        path = Path(self._environ.get(setting.name + FILE_SUFFIX, "").strip(_BLANKS))
        try:
            return path.absolute() if path.is_file() else None
        except OSError:
            return None

    def is_set(self, setting: Setting[Any]) -> bool:
        """Whether a setting has a value that is not empty."""
        return bool(self.text(setting))

    def is_non_default(self, setting: Setting[Any]) -> bool:
        """Whether the value differs from the default. A default that is set explicitly does not."""
        return self.is_set(setting) and bool(self.get(setting) != setting.value_type.read(setting.default))

    def mistake(self, setting: Setting[Any], words: str) -> None:
        """Add a mistake in a setting whose value could be parsed, such as the path of a missing file."""
        text = self.text(setting)
        mask = setting.value_type.mask or without_password
        shown = "" if setting.secret else f"={shorten(repr(mask(text)))}"
        for password in _PASSWORD.findall(text):
            words = words.replace(f"{password}@", f"{MASK}@")
        line = f"{setting.name}{shown}: {shorten(words)}"
        if text == setting.example:
            # The mistake is about another setting.
            self._mistakes.setdefault(setting.name, line)
        else:
            self._mistake(setting.name, line, setting.example)

    def file_mistake(self, line: str) -> None:
        """Add a mistake in a file, as a whole line that begins with the place."""
        self._mistakes.setdefault(line, line)

    def is_mistaken(self, setting: Setting[Any]) -> bool:
        """Whether there is a mistake in a setting, or in the file of a secret."""
        return not self._mistakes.keys().isdisjoint((setting.name, setting.name + FILE_SUFFIX))

    def names(self) -> list[str]:
        """Return all variables that are set, also those of other programs."""
        return sorted(name for name, text in self._environ.items() if text)

    def variable(self, name: str) -> str:
        """Return the text of any variable, "" if it is unset."""
        return self._environ.get(name, "")

    def notice(self, words: str) -> None:
        """Add a line for the log."""
        self.notices.append(shorten(words, 2 * _MAX_SHOWN))

    def _secret(self, setting: Setting[Any]) -> str:
        text = self._environ.get(setting.name, "").rstrip(_BLANKS)
        name = setting.name + FILE_SUFFIX
        path = self._environ.get(name, "").strip(_BLANKS)
        if text and path:
            self._mistake(setting.name, f"{setting.name} and {name} are both set; keep one of them", setting.example)
            return ""
        try:
            return read_secret_file(path, setting.max_octets) if path else text
        except ValueError as error:
            # A secret may have been put here by mistake and must not be shown; a path is recognized by its beginning.
            shown = repr(path) if path.startswith(("/", "./", "../")) else MASK
            self._mistake(name, f"{name}={shorten(shown)}: {error}", f"/run/secrets/{setting.name.lower()}")
            return ""

    def _mistake(self, name: str, words: str, example: str) -> None:
        self._mistakes.setdefault(name, f"{words}; a correct example is {name}={shlex.quote(example)}")


def read_secret_file(path: str, limit: int = _MAX_SECRET_OCTETS) -> str:
    """Return the content of a file without trailing blanks and line ends, and without a byte order mark.

    Raises ValueError with words for the operator, also for a file of more than `limit` octets.
    """
    try:
        content = _read_file(path, limit)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(cannot_read("file", error)) from None
    except ValueError:
        raise ValueError("the file is not UTF-8 text, or its name is not a path") from None
    if len(content) > limit:
        raise ValueError(f"the file is longer than {limit} octets")
    return text.rstrip(_BLANKS)


def _read_file(path: str, limit: int) -> bytes:
    """Return the first octets of a file or pipe. A pipe without a writer must not block the start of the relay."""
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            return _read_pipe(file.fileno(), limit)
        return file.read(limit + 1)


def _read_pipe(descriptor: int, limit: int) -> bytes:
    content = b""
    while len(content) <= limit:
        if not select.select([descriptor], [], [], _PIPE_PATIENCE)[0]:
            raise OSError(errno.ETIMEDOUT, f"it is a pipe, and no program wrote to it for {_PIPE_PATIENCE:.0f} s")
        piece = os.read(descriptor, limit + 1)
        if not piece:
            break
        content += piece
    return content


def cannot_read(kind: str, error: OSError) -> str:
    """Return words for the operator about a file or directory that cannot be read, and by which user."""
    remedy = f"; let user id {os.geteuid()} read it" if error.errno == errno.EACCES else ""
    return f"the {kind} cannot be read: {error.strerror}{remedy}"


def without_password(text: str) -> str:
    """Return a text with a mask in place of each password in a URL, `smtp://user:****@host`."""
    return _PASSWORD.sub(f":{MASK}@", text)


def is_quoted(text: str) -> bool:
    """Whether quotation marks enclose the whole value, as in an env file that was written for a shell."""
    return len(text) > 1 and text[0] + text[-1] in _QUOTES


def shorten(text: str, limit: int = _MAX_SHOWN) -> str:
    """Return the text as one printable line of at most `limit` characters."""
    line = printable(text[: limit + 1])
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
