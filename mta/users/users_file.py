"""The grammar of the users' file: a user a line, `name:secret` or `name|secret`, then the senders the user may use.

    alice:$2y$10$...
    printer@example.org|{SHA512-CRYPT}$6$... printer@example.org @scans.example.org

Further fields behind the secret, as in Dovecot's passwd-file, are passed over. `#` begins a line that is a comment. No
message about a line shows a part of it, because a part in the wrong place may be a password.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mta.smtp.address import Address, AddressError, is_deceptive, parse_address, parse_domain
from mta.users.crypt_strings import SecretError
from mta.users.secrets import PasswordSecret, PlainSecret, Support, missing_support, read_secret

#: The largest file that is read, in octets, the users that it may have, and the characters of a line.
MAX_OCTETS = 32 << 20
MAX_USERS = 100_000
MAX_LINE = 8192

# Bad lines beyond this number are not listed.
_MAX_BAD_LINES = 1000
_MAX_NAME_OCTETS = 255
_SEPARATOR = re.compile(r"[:|]")
# What follows a password in clear is a further field if it can be Dovecot's user id: digits, or empty.
_IN_PASSWORD = re.compile(r"([:|])(?![0-9]*+(?:\1|\s|$))")
_BETWEEN_SENDERS = re.compile(r"[\s,]+")
# The numbers of lines that one message lists.
_LISTED = 5


class UserLineError(ValueError):
    """A line of the file cannot be used. The message has no part of the line."""


@dataclass(frozen=True, slots=True)
class SenderList:
    """The senders that a user may use: addresses, and domains with all their addresses.

    The case of ASCII letters does not matter; that of others does, because some of them have an ASCII letter, such as
    the k of the Kelvin sign, as their lower case.
    """

    addresses: frozenset[str]
    domains: frozenset[str]

    def allows(self, address: Address) -> bool:
        """Whether the user may send as this address."""
        return address.domain in self.domains or _comparable(address) in self.addresses

    def __str__(self) -> str:
        """Return the list as it is written in the file."""
        return " ".join([*sorted(self.addresses), *(f"@{domain}" for domain in sorted(self.domains))])


@dataclass(frozen=True, slots=True)
class User:
    """A user who may log in. The user may send as any address if `senders` is None."""

    name: str
    secret: PasswordSecret
    senders: SenderList | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be used, by its number from 1, and the reason."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class UserLine:
    """A line of the file, cut into its parts. `rest` is what follows the secret: fields, and senders behind a blank."""

    name: str
    separator: str
    secret: str
    rest: str

    def __repr__(self) -> str:
        """Return no part of the line."""
        return "UserLine(...)"

    def __str__(self) -> str:
        """Return the line as it is written in the file."""
        return f"{self.name}{self.separator}{self.secret}{self.rest}"


def read_users(text: str, missing: Support = missing_support) -> tuple[tuple[User, ...], tuple[BadLine, ...]]:
    """Return the users of a text in its order, and the lines that cannot be used. Never raises.

    `missing` tells why this system cannot check a secret, or "".
    """
    users: dict[str, User] = {}
    bad: list[BadLine] = []
    for number, line in user_lines(text):
        if len(users) == MAX_USERS:
            bad.append(BadLine(number, f"there are more than {MAX_USERS} users; the rest is not read"))
            break
        try:
            user = read_user(line, missing)
            if user.name in users:
                raise UserLineError("its user has a line above")  # noqa: TRY301  handled as the others
            users[user.name] = user
        except UserLineError as error:
            if len(bad) < _MAX_BAD_LINES:
                bad.append(BadLine(number, str(error)))
    return tuple(users.values()), tuple(bad)


def user_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither blank nor a comment, without blanks around them, with their numbers from 1."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def read_user(line: str, missing: Support = missing_support) -> User:
    """Return the user of a line without blanks around it. Raises UserLineError."""
    parts = split_line(line)
    check_name(parts.name)
    try:
        secret = read_secret(parts.secret)
    except SecretError as error:
        raise UserLineError(str(error)) from None
    if lack := missing(secret):
        raise UserLineError(lack)
    if isinstance(secret, PlainSecret) and _IN_PASSWORD.match(parts.rest):
        # Otherwise a part of the password would be taken for the whole.
        raise UserLineError("its password in clear contains the : or | that separates the parts of the line")
    return User(parts.name, secret, read_senders(split_rest(parts.rest)[1]) if parts.rest else None)


def split_line(line: str) -> UserLine:
    """Cut a line into its parts. Raises UserLineError if it has no separator or no secret, or is too long."""
    if len(line) > MAX_LINE:
        raise UserLineError(f"it is longer than {MAX_LINE} characters")
    separator = _SEPARATOR.search(line)
    if separator is None:
        raise UserLineError("it has no : between a name and a secret")
    start = separator.start()
    mark = line[start]
    end = re.compile(r"[\s" + mark + "]").search(line, start + 1)
    stop = len(line) if end is None else end.start()
    if stop == start + 1:
        raise UserLineError("it has no secret directly behind the first : or |")
    return UserLine(line[:start], mark, line[start + 1 : stop], line[stop:])


def check_name(name: str) -> None:
    """Raise UserLineError if a user cannot have this name."""
    if not name or len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_OCTETS:
        raise UserLineError(f"the name of a user has 1 to {_MAX_NAME_OCTETS} octets")
    if name.startswith("#") or _SEPARATOR.search(name) or any(map(str.isspace, name)) or is_deceptive(name):
        raise UserLineError(
            "the name of a user has no blank, :, | or character that cannot be seen, and does not begin with #"
        )


def split_rest(rest: str) -> tuple[str, list[str]]:
    """Return the further fields of a line, and the words of its senders. Raises UserLineError.

    Senders stand behind the first blank, of the last field if there are further ones. Dovecot's extra fields, such as
    `userdb_quota=1G`, are no senders.
    """
    last = 0 if not rest or rest[0].isspace() else rest.rfind(rest[0])
    if re.search(r"\s[^@\s]*@", rest[:last]):
        # Without this rule, a list that contains a separator would be passed over, and the user could send as anyone.
        raise UserLineError("a sender stands before a further field: write the senders at the end of the line")
    head, *words = _BETWEEN_SENDERS.split(rest[last:])
    extra = [word for word in words if "=" in word and "@" not in word]
    return " ".join([rest[:last] + head, *extra]), [word for word in words if word and word not in extra]


def read_senders(words: Sequence[str]) -> SenderList | None:
    """Return the list of senders from its words: addresses, `@domain`, `*`. None means any. Raises UserLineError."""
    addresses: set[str] = set()
    domains: set[str] = set()
    for word in words:
        try:
            if word.startswith(("@", "*@")):
                domains.add(parse_domain(word.partition("@")[2]))
            elif word != "*":
                addresses.add(_comparable(parse_address(word)))
        except AddressError:
            raise UserLineError("one of its senders is not an address, @domain or *") from None
    if not words or "*" in words:
        return None
    return SenderList(frozenset(addresses), frozenset(domains))


def _comparable(address: Address) -> str:
    return str(address).encode().lower().decode()


def describe_bad_lines(bad: Iterable[BadLine]) -> list[str]:
    """Return a line for each reason, with the numbers of the first lines that have it."""
    numbers: dict[str, list[int]] = {}
    for line in bad:
        numbers.setdefault(line.reason, []).append(line.number)
    return [f"{_numbered(each)}: {reason}" for reason, each in numbers.items()]


def _numbered(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:_LISTED]))
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return f"line{'s' * (len(numbers) > 1)} {listed}{more}"
