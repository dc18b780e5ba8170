"""The files of rules that the bench measures hold what its page says."""

from bench.rule_files import BY_RECIPIENT, TWENTY, many
from bench.rules_bench import BLOCK, ENVELOPE, MANY_RULES, RECIPIENT, SENDER, facts, read_text


def test_twenty_rules_are_asked_and_those_that_rewrite_apply():
    book = read_text(TWENTY)
    assert len(book.rules) == 20
    assert book.acl
    assert book.rewrite
    assert book.acl.at_recipient(facts(recipient=RECIPIENT)) is None
    assert book.acl.at_data(facts(header=BLOCK, size=4096), [RECIPIENT]) is None
    found = book.rewrite.apply(facts(), ENVELOPE, BLOCK)
    assert found.envelope.sender != SENDER
    assert found.envelope.recipients == ENVELOPE.recipients
    # The message has no field that the rule about X-Mailer could remove.
    assert len(found.change.rules) == len(book.rewrite.rules) - 1


def test_rules_by_recipient_leave_every_recipient_to_the_last_one():
    book = read_text(BY_RECIPIENT)
    assert len(book.rules) == 20
    assert book.acl
    assert book.acl.at_data(facts(header=BLOCK, size=1 << 26), [RECIPIENT] * 3) is not None


def test_very_many_rules_have_no_mistake():
    assert len(read_text(many(MANY_RULES)).rules) == MANY_RULES
