"""`[[rewrite]]`: changes of envelope and header before a message is stored. All rules that apply do, in their order.

A condition sees the message as the rules before left it. A rule with a condition on the recipient applies to a message
if it matches one of its recipients.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mta.message.envelope import Envelope, Recipient
from mta.rules.conditions import Condition, HeaderCondition, RecipientCondition, Rule
from mta.rules.facts import Facts
from mta.rules.rewriting.actions import RewriteAction
from mta.rules.rewriting.draft import Draft, Words
from mta.smtp.address import Address


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """A rule with its actions in their order. After a rule with `last` that applies, no further one is asked."""

    rule: Rule
    actions: tuple[RewriteAction, ...]
    last: bool = False
    _of_message: Rule = field(init=False, repr=False, compare=False)
    _of_recipient: Rule = field(init=False, repr=False, compare=False)
    #: Whether a condition asks for a header field.
    asks_header: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Separate the conditions on recipients, because only they are asked for each of them."""
        object.__setattr__(self, "_of_message", self.rule.only(lambda one: not _is_of_recipient(one)))
        object.__setattr__(self, "_of_recipient", self.rule.only(_is_of_recipient))
        asks_header = any(isinstance(one, HeaderCondition) for one in self.rule.all_conditions)
        object.__setattr__(self, "asks_header", asks_header)

    def matched(
        self, facts: Facts, recipients: tuple[Recipient, ...], asked: dict[Address, Facts]
    ) -> tuple[Recipient, ...]:
        """Return the recipients for which the rule applies. Raises HostNotLookedUp.

        `asked` keeps the facts of each recipient for further rules.
        """
        if not self._of_message.applies(facts):
            return ()
        if self._of_recipient.always_applies:
            return recipients
        for one in recipients:
            if one.address not in asked:
                asked[one.address] = replace(facts, recipient=one.address)
        applies = self._of_recipient.applies
        return tuple(one for one in recipients if applies(asked[one.address]))


@dataclass(frozen=True, slots=True)
class RewriteNote:
    """The changes that one rule made. Their words are made when they are read, because only `explain` does that."""

    rule: Rule
    words: tuple[Words, ...] = field(repr=False, compare=False)

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes in words."""
        return tuple(words() for words in self.words)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A message after the rules. `hide_client` tells that the relay's own Received field names no client."""

    envelope: Envelope
    block: bytes
    hide_client: bool = False
    #: The rules that changed something.
    notes: tuple[RewriteNote, ...] = ()


class Rewriting:
    """The rules in their order."""

    __slots__ = ("rules",)

    def __init__(self, rules: Iterable[RewriteRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in `client` conditions, each once, whose addresses `Facts.host_addresses` must tell."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.rule.host_names))

    def apply(self, facts: Facts, envelope: Envelope, block: bytes) -> Rewritten:
        """Return the message after all rules. `facts` are those of its client; sender and header are not read from it.

        Raises HostNotLookedUp if a rule depends on the addresses of a host name that are not known yet.
        """
        draft = Draft(envelope, block)
        notes = []
        asked: dict[Address, Facts] = {}
        facts = replace(facts, sender=draft.sender, header=block)
        for rule in self.rules:
            if rule.asks_header and draft.header_changed:
                facts = replace(facts, header=draft.take_block())
            matched = rule.matched(facts, draft.recipients, asked)
            if not matched:
                continue
            changes = draft.change(rule.actions, facts, matched)
            if changes:
                notes.append(RewriteNote(rule.rule, changes))
                if facts.sender != draft.sender:
                    facts = replace(facts, sender=draft.sender)
            if rule.last:
                break
        return Rewritten(draft.envelope, draft.finished_block(), draft.hide_client, tuple(notes))


def _is_of_recipient(condition: Condition) -> bool:
    return isinstance(condition, RecipientCondition)
