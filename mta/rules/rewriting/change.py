"""The change that all rules together make to a message, apart from what they leave as it is."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field

from mta.fast_value import fast_value
from mta.message.envelope import Envelope, Recipient
from mta.message.header_fields import joined
from mta.message.headers import HeaderScan, scan_changed
from mta.rules.conditions import Rule
from mta.smtp.address import Address

#: Makes the words of a change.
Words = Callable[[], str]


@fast_value(frozen=True, slots=True)
class Change:
    """The change to a message of which the rules see the sender, some fields, and perhaps the recipients.

    All messages of which they see the same are changed alike.
    """

    sender: Address | None
    #: Whether it is another one than before.
    new_sender: bool
    #: The recipients, or None if they stay.
    recipients: tuple[Recipient, ...] | None
    #: The fields that come on top, as one piece (`mta.message.header_fields.SelectedFields`).
    top: bytes
    #: The pieces in the places of the fields that the rules see, or None if all of them stay.
    fields: Sequence[bytes] | None
    #: The names of the fields that change, in lower case.
    names: AbstractSet[bytes]
    #: The value of the topmost From after the change, unfolded; None if there is none, or if it stays.
    author: bytes | None
    #: Whether the relay's own Received field names no client.
    hide_client: bool
    #: The rules that change something, and their places.
    rules: Sequence[Rule]
    places: dict[str, None]
    #: The words of their changes, in the same order.
    words: Sequence[Sequence[Words]] = field(repr=False, compare=False)

    def made(self, envelope: Envelope, block: bytes, pieces: list[bytes]) -> "Rewritten":
        """Return a message with the change. `pieces` are those of its header block, and are used up."""
        if self.new_sender or self.recipients is not None:
            recipients = envelope.recipients if self.recipients is None else self.recipients
            envelope = envelope.with_addresses(self.sender, recipients)
        if self.fields is not None:
            pieces[1::2] = self.fields
        if self.top or self.fields is not None:
            block = joined((self.top, *pieces))
        return Rewritten(envelope, block, self)


@fast_value(frozen=True, slots=True)
class RewriteNote:
    """The changes that one rule made. Their words are made when they are read, because only `explain` does that."""

    rule: Rule
    words: Sequence[Words] = field(repr=False, compare=False)

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes in words."""
        return tuple(words() for words in self.words)


@fast_value(frozen=True, slots=True)
class Rewritten:
    """A message after the rules, and the change that they made."""

    envelope: Envelope
    block: bytes
    change: Change

    @property
    def notes(self) -> tuple[RewriteNote, ...]:
        """The rules that changed something, with their changes."""
        return tuple(map(RewriteNote, self.change.rules, self.change.words))

    def scan(self, found: HeaderScan) -> HeaderScan:
        """Return the properties of the header block; `found` are those before the rules."""
        return scan_changed(found, self.block, self.change.names, self.change.author)
