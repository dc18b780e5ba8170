"""`[[rewrite]]`: changes of envelope and header before a message is stored. All rules that apply do, in their order.

A condition sees the message as the rules before left it. A rule with a condition on the recipient applies to a message
if it matches one of its recipients.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mta.message.envelope import Envelope, Recipient
from mta.message.header_fields import SelectedFields
from mta.rules.conditions import (
    ClientCondition,
    Condition,
    HeaderCondition,
    LoginCondition,
    Question,
    RecipientCondition,
    Rule,
    SenderCondition,
    always,
)
from mta.rules.facts import Facts
from mta.rules.rewriting.actions import Bcc, MapAddresses, RewriteAction, SetRecipients
from mta.rules.rewriting.change import Change, Rewritten, Words
from mta.rules.rewriting.draft import Draft, Step, steps_of
from mta.smtp.address import Address

#: The changes that are remembered; those to messages with more octets of fields are not.
MAX_REMEMBERED, _MAX_REMEMBERED_OCTETS = 256, 1000
# The conditions whose answers follow from `Seen`.
_SEEN = (ClientCondition, LoginCondition, SenderCondition, RecipientCondition, HeaderCondition)

#: All that rules see of a message: its sender, the address of its client and whether that may send anywhere, the login,
#: the answers of the conditions on recipients, and the fields.
Seen = tuple[Address | None, str, bool, str, tuple[bool, ...], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """A rule with its actions in their order. After a rule with `last` that applies, no further one is asked."""

    rule: Rule
    actions: tuple[RewriteAction, ...]
    last: bool = False
    #: Whether the rule applies by its conditions on the message.
    of_message: Question = field(init=False, repr=False, compare=False)
    #: Whether it applies by those on a recipient; None if it has none.
    of_recipient: Question | None = field(init=False, repr=False, compare=False)
    #: Whether a condition asks for a header field.
    asks_header: bool = field(init=False, repr=False, compare=False)
    #: The names, in lower case, of the fields that its conditions and actions see.
    field_names: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    #: Whether its changes follow from `Seen`.
    sees_little: bool = field(init=False, repr=False, compare=False)
    #: The actions with the methods that carry them out.
    steps: tuple[Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Separate the conditions on recipients, because only they are asked for each of them."""
        of_recipient, of_message = self.rule.questions(_is_of_recipient)
        object.__setattr__(self, "of_message", of_message)
        object.__setattr__(self, "of_recipient", None if of_recipient is always else of_recipient)
        asked = tuple(one.name.lower().encode() for one in self.rule.all_conditions if isinstance(one, HeaderCondition))
        object.__setattr__(self, "asks_header", bool(asked))
        object.__setattr__(self, "field_names", asked + tuple(name for one in self.actions for name in one.fields))
        sees_little = not (self.rule.host_names or any(map(_changes_recipients, self.actions)))
        sees_little = sees_little and all(isinstance(one, _SEEN) for one in self.rule.all_conditions)
        object.__setattr__(self, "sees_little", sees_little)
        object.__setattr__(self, "steps", steps_of(self.actions))


def _chosen(applies: Question, facts: Facts, recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    """Return the recipients for which a rule applies. `facts` goes on to each of them."""
    found = []
    for one in recipients:
        facts.recipient = one.address
        if applies(facts):
            found.append(one)
    facts.recipient = None
    return tuple(found)


class Rewriting:
    """The rules in their order.

    Most programs on a host send with the same few senders and authors, so changes that were made twice are remembered
    by all that the rules see of a message. Rules that change recipients, or ask for the addresses of a host name, are
    carried out on each message.
    """

    __slots__ = ("_of_recipients", "_remembered", "_selected", "rules")

    def __init__(self, rules: Iterable[RewriteRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)
        # The fields that the rules see: all others travel as they came.
        self._selected = SelectedFields(frozenset(name for rule in self.rules for name in rule.field_names))
        # The conditions on recipients, whose answers the rules see instead of the recipients.
        self._of_recipients = tuple(rule.of_recipient for rule in self.rules if rule.of_recipient is not None)
        # The changes by what the rules saw, from the second time on; None instead of all if the rules see too much.
        self._remembered: dict[Seen, Change | None] | None = (
            {} if all(each.sees_little for each in self.rules) else None
        )

    def __reduce__(self) -> "tuple[type[Rewriting], tuple[tuple[RewriteRule, ...]]]":
        """Pickle the rules without the changes that they remember, for another process."""
        return Rewriting, (self.rules,)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in `client` conditions, each once, whose addresses `Facts.host_addresses` must tell."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.rule.host_names))

    @property
    def remembered(self) -> int:
        """The number of changes that are remembered."""
        return len([change for change in (self._remembered or {}).values() if change is not None])

    def apply(self, facts: Facts, envelope: Envelope, block: bytes) -> Rewritten:
        """Return the message after all rules. `facts` are those of its client; sender and header are not read from it.

        `facts` goes on with the message as the rules change it, and is as before at the end. Raises HostNotLookedUp if
        a rule depends on the addresses of a host name that are not known yet.
        """
        pieces = self._selected.cut(block)
        remembered = self._remembered
        if remembered is None:
            return self._change(facts, envelope, pieces[1::2]).made(envelope, block, pieces)
        fields = tuple(pieces[1::2])
        answers = tuple([_reaches(asks, facts, envelope.recipients) for asks in self._of_recipients])
        seen = (envelope.sender, facts.client, facts.trusted, facts.login, answers, fields)
        change = remembered.get(seen)
        if change is None:
            change = self._change(facts, envelope, fields)
            if seen in remembered:
                remembered[seen] = change
            elif sum(map(len, fields)) <= _MAX_REMEMBERED_OCTETS:
                # To keep the changes to mail of ever new authors would cost time, and be of no use.
                if len(remembered) >= MAX_REMEMBERED:
                    remembered.clear()
                remembered[seen] = None
        return change.made(envelope, block, pieces)

    def _change(self, facts: Facts, envelope: Envelope, fields: Sequence[bytes]) -> Change:
        """Return the change that the rules make to a message with these fields."""
        sender, header = facts.sender, facts.header
        try:
            return self._carried_out(facts, Draft(envelope, fields))
        finally:
            facts.sender = sender
            facts.put_header(header)

    def _carried_out(self, facts: Facts, draft: Draft) -> Change:
        rules: list[Rule] = []
        words: list[list[Words]] = []
        facts.sender = draft.sender
        facts.put_header(draft.take_block())
        for rule in self.rules:
            if rule.asks_header and draft.header_changed:
                facts.put_header(draft.take_block())
            if not rule.of_message(facts):
                continue
            matched = draft.recipients
            # Most rules ask for no recipient, and so need not look at each.
            if rule.of_recipient is not None and not (matched := _chosen(rule.of_recipient, facts, matched)):
                continue
            changes = draft.change(rule.steps, facts, matched)
            if changes:
                rules.append(rule.rule)
                words.append(changes)
                facts.sender = draft.sender
            if rule.last:
                break
        return draft.finish(rules, words)


def _reaches(applies: Question, facts: Facts, recipients: tuple[Recipient, ...]) -> bool:
    """Return whether a rule applies for one of the recipients. `facts` goes on to each of them."""
    try:
        for one in recipients:
            facts.recipient = one.address
            if applies(facts):
                return True
        return False
    finally:
        facts.recipient = None


def _is_of_recipient(condition: Condition) -> bool:
    return isinstance(condition, RecipientCondition)


def _changes_recipients(action: RewriteAction) -> bool:
    return isinstance(action, SetRecipients | Bcc) or (isinstance(action, MapAddresses) and action.of_recipients)
