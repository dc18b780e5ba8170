"""A message while rules rewrite it: envelope and header fields that they see, and one method for each action."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mta.message.address_fields import mailboxes, replace_addresses
from mta.message.encoded_words import decoded_text
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.header_fields import HeaderFields, unfolded
from mta.rules.conditions import Rule
from mta.rules.facts import Facts
from mta.rules.rewriting.actions import (
    AddField,
    Bcc,
    Hide,
    MapAddresses,
    RemoveFields,
    RewriteAction,
    SetFrom,
    SetRecipients,
    SetReplyTo,
    SetSender,
    named,
)
from mta.rules.rewriting.address_map import Replacement
from mta.rules.rewriting.change import Change, Words
from mta.smtp.address import Address, printable

#: The X-Original-To fields that a message gets.
MAX_ORIGINALS = 100

_SHOWN = 120
_EVENTS = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
# RFC 5322 section 3.3, without the comments of its obsolete form.
_DATE = re.compile(
    rb";[ \t]*((?:[A-Za-z]{3},?[ \t]+)?[0-9]{1,2}[ \t]+[A-Za-z]{3}[ \t]+[0-9]{2,4}[ \t]+[0-9:]{4,8})"
    rb"[ \t]+([+\-][0-9]{4}|[A-Z]{1,4})(?:[ \t]*\([A-Za-z]{1,5}\))?\Z"
)


#: An action, and the method that carries it out.
Step = tuple[Callable[["_RuleRun", Any], None], RewriteAction]


class Draft:
    """The message as the rules so far left it. `fields` are pieces of its header block (`SelectedFields`)."""

    __slots__ = (
        "_block",
        "_count",
        "_envelope",
        "_fields",
        "_originals",
        "_replaced",
        "_run",
        "hide_client",
        "recipients",
        "sender",
    )

    def __init__(self, envelope: Envelope, fields: Sequence[bytes]) -> None:
        self._envelope = envelope
        self._count = len(fields)
        # The fields as a block of their own.
        self._block = b"".join(fields)[1:] + b"\n" if fields else b""
        # Made for the first rule that applies.
        self._fields: HeaderFields | None = None
        self._run: _RuleRun | None = None
        self.sender = envelope.sender
        #: The recipients, each address once.
        self.recipients = envelope.recipients
        # The recipients that were replaced, and those in their places.
        self._originals: dict[Address, None] = {}
        self._replaced: set[Address] = set()
        #: Whether the relay's own Received field names no client.
        self.hide_client = False

    @property
    def header_changed(self) -> bool:
        """Whether a field was changed since the last call of `take_block`."""
        return self._fields is not None and self._fields.changed

    def take_block(self) -> bytes:
        """Return the fields that the rules see, as a header block."""
        if self._fields is not None and self._fields.changed:
            self._block, self._fields.changed = self._fields.block, False
        return self._block

    def finish(self, rules: Sequence[Rule], words: Sequence[Sequence[Words]]) -> Change:
        """Return the whole change, with the rules that made it and its words."""
        top, names, author = b"", frozenset[bytes](), None
        pieces: list[bytes] | None = None
        if self._fields is not None and self._fields.changed_names:
            top, pieces = self._fields.pieces(self._count)
            names = frozenset(self._fields.changed_names)
            author = next(map(unfolded, self._fields.values(b"from")), None) if b"from" in names else None
        if self._originals:
            # The addresses of recipients that were replaced.
            originals = list(self._originals)[:MAX_ORIGINALS]
            top = b"".join(f"\nX-Original-To: {one}\r".encode() for one in originals) + top
        recipients = None if self.recipients == self._envelope.recipients else self.recipients
        places = dict.fromkeys([rule.place for rule in rules])
        new_sender = self.sender != self._envelope.sender
        return Change(
            self.sender, new_sender, recipients, top, pieces, names, author, self.hide_client, rules, places, words
        )

    def change(self, steps: tuple[Step, ...], facts: Facts, matched: tuple[Recipient, ...]) -> list[Words]:
        """Carry out the actions of a rule that applies to these recipients. Return the changes."""
        if self._run is None:
            self._fields = HeaderFields(self._block)
            self._run = _RuleRun(self, self._fields, facts)
        run = self._run
        run.begin(matched)
        for carry_out, action in steps:
            carry_out(run, action)
        return run.changes

    def replace_recipient(self, old: Recipient, new: list[Address]) -> None:
        """Put addresses in the place of a recipient. The same address is one recipient only."""
        found: dict[Address, Recipient] = {}
        for one in self.recipients:
            for each in [one] if one.address != old.address else [replace(old, address=address) for address in new]:
                earlier = found.get(each.address)
                found[each.address] = each if earlier is None else _merged(earlier, each)
        self.recipients = tuple(found.values())
        if old.address not in self._replaced:
            self._originals[old.address] = None
        self._replaced.update(new)

    def add_recipient(self, recipient: Recipient) -> bool:
        """Add a recipient. Return whether it was not there."""
        if any(one.address == recipient.address for one in self.recipients):
            return False
        self.recipients = (*self.recipients, recipient)
        return True


class _RuleRun:
    """The actions of one rule after another on a draft."""

    __slots__ = ("_authors", "_draft", "_facts", "_fields", "_matched", "_sender", "changes")

    def __init__(self, draft: Draft, fields: HeaderFields, facts: Facts) -> None:
        self._draft = draft
        self._fields = fields
        self._facts = facts
        self.begin(())

    def begin(self, matched: tuple[Recipient, ...]) -> None:
        """Go on to the next rule, which applies to these recipients."""
        self._matched = matched
        #: The authors and the sender before the rule; the authors are None until they are needed.
        self._authors: list[bytes] | None = None
        self._sender = self._draft.sender
        self.changes: list[Words] = []

    def set_sender(self, action: SetSender) -> None:
        if self._draft.sender is not None:
            self._put_sender(self._draft.sender, action.replacement.of(self._draft.sender))

    def _put_sender(self, old: Address, new: Address) -> None:
        if new != old:
            self._draft.sender = new
            self.changes.append(lambda: f"sender {old} -> {new}")

    def set_from(self, action: SetFrom) -> None:
        values, fields, replacement = self._keep_authors(), self._fields, action.replacement
        if replacement.local is None:
            new = fields.change(b"from", lambda value: replace_addresses(value, replacement.of))
            if new is not None:
                self._tell(b"From", new)
        else:
            value = action.mailbox or _author(values, replacement)
            if values != [value]:
                fields.put(b"from" if values else b"From", value)
                self._tell(b"From", value)
        if fields.remove(b"sender"):
            self.changes.append(lambda: "Sender removed")

    def set_reply_to(self, action: SetReplyTo) -> None:
        before = self._fields.values(b"reply-to")
        value = action.value
        if value is None:
            value = b"" if before else self._author_before()
            if not value:
                return
        if before != [value]:
            self._fields.put(b"reply-to" if before else b"Reply-To", value)
            self._tell(b"Reply-To", value)

    def _keep_authors(self) -> list[bytes]:
        """Return the values of From, and keep those that it had before the rule."""
        values = self._fields.values(b"from")
        if self._authors is None:
            self._authors = values
        return values

    def _author_before(self) -> bytes:
        """Return From as it was before the rule, if the rule changed it and it was a list of addresses, else b""."""
        if self._authors is None or self._fields.values(b"from") == self._authors:
            return b""
        author = b", ".join(self._authors)
        if not author:
            return b"" if self._sender is None else str(self._sender).encode()
        found = mailboxes(author)
        return author if found and all(one.address is not None for one in found) else b""

    def set_recipients(self, action: SetRecipients) -> None:
        for one in self._matched:
            new = list(dict.fromkeys(each.of(one.address) for each in action.replacements))
            self._replace_recipient(one, new)

    def _replace_recipient(self, old: Recipient, new: list[Address]) -> None:
        # A message always has a recipient.
        if new and new != [old.address]:
            self._draft.replace_recipient(old, new)
            self.changes.append(lambda: f"recipient {old.address} -> {', '.join(map(str, new))}")

    def map_addresses(self, action: MapAddresses) -> None:
        change, draft = action.map, self._draft
        if action.of_sender and draft.sender is not None:
            self._put_sender(draft.sender, change.replace(draft.sender))
        if action.of_recipients:
            for one in self._matched:
                self._replace_recipient(one, [change.replace(one.address)])
        for name in action.fields:
            if name == b"from":
                self._keep_authors()
            if (value := self._fields.change(name, change.replace_in)) is not None:
                self._tell(name.title(), value)

    def add_field(self, action: AddField) -> None:
        line = action.line(self._facts.client, self._facts.login, self._draft.sender)
        self._fields.add_line(action.lower_name, line)
        self.changes.append(partial(_shown_line, line))

    def remove_fields(self, action: RemoveFields) -> None:
        removed = [name for name in action.fields if self._fields.remove(name)]
        if removed:
            self.changes.append(lambda: f"{b', '.join(removed).decode().title()} removed")

    def hide(self, action: Hide) -> None:
        if action.client and not self._draft.hide_client:
            self._draft.hide_client = True
            self.changes.append(lambda: "the client is hidden")
        if action.trace and self._fields.change(b"received", _hidden_trace) is not None:
            self.changes.append(lambda: "earlier hosts are hidden")

    def bcc(self, action: Bcc) -> None:
        if self._draft.add_recipient(Recipient(action.address, Notify.NEVER)):
            self.changes.append(lambda: f"a copy to {action.address}")

    def _tell(self, name: bytes, value: bytes) -> None:
        """Note the new value of a field."""
        self.changes.append(partial(_shown_field, name, value))


_METHODS: dict[type, Callable[[_RuleRun, Any], None]] = {
    SetSender: _RuleRun.set_sender,
    SetFrom: _RuleRun.set_from,
    SetReplyTo: _RuleRun.set_reply_to,
    SetRecipients: _RuleRun.set_recipients,
    MapAddresses: _RuleRun.map_addresses,
    AddField: _RuleRun.add_field,
    RemoveFields: _RuleRun.remove_fields,
    Hide: _RuleRun.hide,
    Bcc: _RuleRun.bcc,
}


def steps_of(actions: tuple[RewriteAction, ...]) -> tuple[Step, ...]:
    """Return the actions of a rule with the methods that carry them out."""
    return tuple((_METHODS[type(action)], action) for action in actions)


def _shown_line(line: bytes) -> str:
    """Return a field in words."""
    name, _, value = line.partition(b":")
    return _shown_field(name, value)


def _shown_field(name: bytes, value: bytes) -> str:
    return f"{name.decode()}: {printable(decoded_text(unfolded(value.strip()), _SHOWN))}"


def _author(values: list[bytes], replacement: Replacement) -> bytes:
    """Return the value of a From field with one author in place of these values, with the display name of the first."""
    address = str(replacement)
    found = mailboxes(values[0]) if values else ()
    # A colon may begin a group, which is no place for a single author.
    if found and len(found) == len(values) == 1 and found[0].address is not None and b":" not in values[0]:
        return replace_addresses(values[0], replacement.of)
    return named(next((one.phrase for one in found or () if one.phrase), b""), address)


def _hidden_trace(value: bytes) -> bytes:
    """Return the value of a Received field that keeps its date only."""
    date = _DATE.search(unfolded(value).rstrip())
    return b" (hidden); %b %b" % (date[1], date[2]) if date else b" (hidden)"


def _merged(first: Recipient, second: Recipient) -> Recipient:
    """Return one recipient in place of two with the same address. It is reported if one of them would be."""
    if first.notify == second.notify:
        return first
    notify = Notify.NEVER
    for event in _EVENTS:
        if first.wants(event) or second.wants(event):
            notify |= event
    return replace(first, notify=notify)
