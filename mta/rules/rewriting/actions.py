"""The actions of `[[rewrite]]` rules, as values."""

import enum
import re
from dataclasses import dataclass, field
from typing import ClassVar

from mta.rules.rewriting.address_map import AddressMap, Replacement, read_replacement
from mta.smtp.address import Address, is_deceptive

#: The fields that rules neither add nor remove, in lower case: loops are counted and signatures checked by them.
FIXED_FIELDS = frozenset({"received", "return-path", "dkim-signature"})

_MAX_FIELD_NAME = 76
# RFC 5322 section 2.1.1 allows lines of 998 octets; the values that are filled in need room.
_MAX_FIELD_TEXT = 600
_MAX_FIELD_VALUE = 900
_MAX_NAME = 200
_FIELD_NAME = re.compile(r"[!-9;-~]+")
_UNPRINTABLE = re.compile(r"[^ -~]")
_BLANK = re.compile(r"\{([a-z_]+)\}")
_FILLED = ("client", "login", "sender")
_NAME_AND_ADDRESS = re.compile(r"(.*?)[ ]*<([^<>]+)>")
_UNQUOTED_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]+")


class MapPlace(enum.Enum):
    """The places of addresses that a map may change."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    FROM = "from"
    REPLY_TO = "reply_to"
    TO = "to"
    CC = "cc"


_FIELDS_OF = {
    MapPlace.FROM: (b"from", b"sender"),
    MapPlace.REPLY_TO: (b"reply-to",),
    MapPlace.TO: (b"to",),
    MapPlace.CC: (b"cc",),
}
#: The places without `in`.
USUAL_PLACES = (MapPlace.SENDER, MapPlace.FROM, MapPlace.REPLY_TO)


@dataclass(frozen=True, slots=True)
class SetSender:
    """`set.sender`: the sender of the envelope, unless it is the null sender."""

    replacement: Replacement
    key: ClassVar[str] = "set.sender"
    fields: ClassVar[tuple[bytes, ...]] = ()


@dataclass(frozen=True, slots=True)
class SetFrom:
    """`set.from`: the only author, with a display name or, if `name` is b"", with the one that was there."""

    replacement: Replacement
    name: bytes = b""
    #: The whole author, or b"" if it depends on the one that was there.
    mailbox: bytes = field(init=False, repr=False, compare=False)
    key: ClassVar[str] = "set.from"
    fields: ClassVar[tuple[bytes, ...]] = (b"from", b"sender")

    def __post_init__(self) -> None:
        """Write the author once, because a rule has it in every message."""
        object.__setattr__(self, "mailbox", named(self.name, str(self.replacement)) if self.name else b"")


@dataclass(frozen=True, slots=True)
class SetReplyTo:
    """`set.reply_to`: the value of Reply-To. None is that of From before the rule, unless there is a Reply-To."""

    value: bytes | None
    key: ClassVar[str] = "set.reply_to"
    fields: ClassVar[tuple[bytes, ...]] = (b"reply-to", b"from")


@dataclass(frozen=True, slots=True)
class SetRecipients:
    """`set.recipient`: the addresses in the place of each recipient that the rule matches."""

    replacements: tuple[Replacement, ...]
    key: ClassVar[str] = "set.recipient"
    fields: ClassVar[tuple[bytes, ...]] = ()


@dataclass(frozen=True, slots=True)
class MapAddresses:
    """`map` and `in`: addresses in these places are replaced by a map."""

    map: AddressMap
    places: tuple[MapPlace, ...] = USUAL_PLACES
    #: Whether the sender and the recipients of the envelope are among the places, and the fields that are.
    of_sender: bool = field(init=False, repr=False, compare=False)
    of_recipients: bool = field(init=False, repr=False, compare=False)
    fields: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    key: ClassVar[str] = "map"

    def __post_init__(self) -> None:
        """Look at the places once."""
        object.__setattr__(self, "of_sender", MapPlace.SENDER in self.places)
        object.__setattr__(self, "of_recipients", MapPlace.RECIPIENT in self.places)
        object.__setattr__(self, "fields", tuple(name for place in self.places for name in _FIELDS_OF.get(place, ())))


@dataclass(frozen=True, slots=True)
class AddField:
    """`add.NAME`: one more field on top. `text` may name `{client}`, `{login}` and `{sender}`."""

    name: str
    text: str
    fields: ClassVar[tuple[bytes, ...]] = ()
    #: The name in lower case.
    lower_name: bytes = field(init=False, repr=False, compare=False)
    # The line without values that are filled in; None if there are some.
    _line: bytes | None = field(init=False, repr=False, compare=False)
    # The text between the values that are filled in, and at the odd places their names.
    _pieces: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Write the line once if it is the same in every message."""
        object.__setattr__(self, "lower_name", self.name.lower().encode())
        object.__setattr__(self, "_pieces", tuple(_BLANK.split(self.text)))
        object.__setattr__(self, "_line", self._line_of(self.text) if len(self._pieces) == 1 else None)

    @property
    def key(self) -> str:
        """The key with the name of the field."""
        return f"add.{self.name}"

    def line(self, client: str, login: str, sender: Address | None) -> bytes:
        """Return the field with its line end. Characters that a field cannot have become `?`."""
        if self._line is not None:
            return self._line
        filled = {"client": client, "login": login, "sender": "<>" if sender is None else str(sender)}
        pieces = list(self._pieces)
        pieces[1::2] = [filled[name] for name in pieces[1::2]]
        text = "".join(pieces)
        if not (text.isascii() and text.isprintable()):
            text = _UNPRINTABLE.sub("?", text)
        return self._line_of(text[:_MAX_FIELD_VALUE])

    def _line_of(self, text: str) -> bytes:
        return f"{self.name}: {text}\r\n".encode()


@dataclass(frozen=True, slots=True)
class RemoveFields:
    """`remove`: the fields with these names, in lower case, go."""

    names: tuple[str, ...]
    #: The same names as octets.
    fields: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    key: ClassVar[str] = "remove"

    def __post_init__(self) -> None:
        """Encode the names once."""
        object.__setattr__(self, "fields", tuple(name.encode() for name in self.names))


@dataclass(frozen=True, slots=True)
class Hide:
    """`hide`: the relay's own Received field names no client, or those of earlier hosts keep only their dates."""

    client: bool = False
    trace: bool = False
    key: ClassVar[str] = "hide"

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The names of the fields that the action changes."""
        return (b"received",) if self.trace else ()


@dataclass(frozen=True, slots=True)
class Bcc:
    """`bcc`: one more recipient, about which the sender hears nothing."""

    address: Address
    key: ClassVar[str] = "bcc"
    fields: ClassVar[tuple[bytes, ...]] = ()


#: Each has the names, in lower case, of the `fields` that it reads, changes or removes.
RewriteAction = SetSender | SetFrom | SetReplyTo | SetRecipients | MapAddresses | AddField | RemoveFields | Hide | Bcc


def read_set_from(text: str) -> SetFrom:
    """Read `noreply@example.com`, `*@example.com` or `Name <a@b.test>`. Raises ValueError with words."""
    found = _NAME_AND_ADDRESS.fullmatch(text)
    if found is None:
        return SetFrom(read_replacement(text))
    replacement = read_replacement(found[2])
    if replacement.local is None:
        raise ValueError(f"{text!r}: a name stands before one address; *@ keeps the name that was there")
    return SetFrom(replacement, _read_name(found[1]))


def read_set_reply_to(text: str) -> SetReplyTo:
    """Read `from`, `x@y.test` or `Name <x@y.test>`. Raises ValueError with words."""
    if text == "from":
        return SetReplyTo(None)
    found = read_set_from(text)
    if found.replacement.local is None:
        raise ValueError(f"{text!r}: Reply-To is one address, or from")
    return SetReplyTo(named(found.name, str(found.replacement)))


def read_add_field(name: str, text: str) -> AddField:
    """Read `add.NAME = "text"`. Raises ValueError with words."""
    read_field_name(name)
    if not text.strip() or len(text) > _MAX_FIELD_TEXT or not text.isascii() or is_deceptive(text):
        raise ValueError(f"the text of a field is 1 to {_MAX_FIELD_TEXT} printable ASCII characters")
    for word in _BLANK.findall(text):
        if word not in _FILLED:
            raise ValueError(f"{{{word}}} is not known; {{client}}, {{login}} and {{sender}} are filled in")
    return AddField(name, text)


def read_field_name(name: str) -> str:
    """Return the name of a field that may be added or removed, in lower case. Raises ValueError with words."""
    if len(name) > _MAX_FIELD_NAME or not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"{name[:_MAX_FIELD_NAME]!r} is not the name of a header field, X-Mailer")
    if name.lower() in FIXED_FIELDS:
        raise ValueError(f"{name} is neither added nor removed by a rule")
    return name.lower()


def read_bcc(text: str) -> Bcc:
    """Read the address of a copy. Raises ValueError with words."""
    found = read_replacement(text)
    if found.local is None:
        raise ValueError(f"{text!r} is a pattern; a copy goes to one address")
    return Bcc(Address(found.local, found.domain))


def _read_name(text: str) -> bytes:
    """Return a display name, quoted if RFC 5322 section 3.2.5 needs that. Raises ValueError."""
    name = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not name or len(name) > _MAX_NAME or not name.isascii() or is_deceptive(name) or set(name) & set('"\\'):
        raise ValueError(
            f"{text!r} is no display name of 1 to {_MAX_NAME} printable ASCII characters; other letters are encoded"
            " words, =?utf-8?q?J=C3=BCrgen?="
        )
    return (name if _UNQUOTED_NAME.fullmatch(name) else f'"{name}"').encode()


def named(name: bytes, address: str) -> bytes:
    """Return a mailbox for a field, with the display name before it unless that is b""."""
    return b"%b <%b>" % (name, address.encode()) if name else address.encode()
