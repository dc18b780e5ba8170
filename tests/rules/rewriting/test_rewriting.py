"""Rewriting of envelope and header: each action, their order, and the conditions between them."""

import pickle
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.inbound.networks import HostName, TrustItem, TrustList
from mta.message.envelope import Envelope, Notify, Origin, Recipient
from mta.message.headers import scan
from mta.rules.conditions import (
    ClientCondition,
    Condition,
    HeaderCondition,
    RecipientCondition,
    Rule,
    RulePlace,
    SenderCondition,
)
from mta.rules.facts import Facts, HostNotLookedUp
from mta.rules.pattern_lists import AddressPatterns, TextPatterns
from mta.rules.patterns import read_address_pattern, read_text_pattern
from mta.rules.rewriting.actions import (
    AddField,
    Hide,
    MapAddresses,
    MapPlace,
    RemoveFields,
    RewriteAction,
    SetRecipients,
    SetSender,
    read_add_field,
    read_bcc,
    read_set_from,
    read_set_reply_to,
)
from mta.rules.rewriting.address_map import AddressMap, read_map_line, read_replacement
from mta.rules.rewriting.draft import MAX_ORIGINALS
from mta.rules.rewriting.rewriting import MAX_REMEMBERED, RewriteRule, Rewriting, Rewritten
from mta.smtp.address import parse_address

FACTS = Facts("10.0.3.7", trusted=True, sender=None, login="shop")
BLOCK = b"From: The App <app@host1.lan>\r\nSender: daemon@host1.lan\r\nTo: bob@a.test\r\nSubject: hi\r\n"
NOREPLY = read_replacement("noreply@example.com")


def envelope(*recipients: str, sender: str = "app@host1.lan") -> Envelope:
    return Envelope(
        parse_address(sender) if sender else None,
        tuple(Recipient(parse_address(one)) for one in recipients or ("bob@a.test",)),
        Origin("10.0.3.7", "host1.lan", "ESMTP"),
    )


def rule(
    *actions: RewriteAction,
    when: tuple[Condition, ...] = (),
    unless: tuple[Condition, ...] = (),
    last: bool = False,
    line: int = 1,
) -> RewriteRule:
    return RewriteRule(Rule(RulePlace("10-x.toml", line), "", when, unless), actions, last)


def rewritten(*rules: RewriteRule, block: bytes = BLOCK, before: Envelope | None = None) -> Rewritten:
    return Rewriting(rules).apply(FACTS, before or envelope(), block)


def patterns(*texts: str) -> AddressPatterns:
    return AddressPatterns(map(read_address_pattern, texts))


def recipients(result: Rewritten) -> list[str]:
    return [str(one.address) for one in result.envelope.recipients]


def test_without_a_rule_that_applies_nothing_changes() -> None:
    before = envelope()
    result = rewritten(rule(SetSender(NOREPLY), when=(SenderCondition(patterns("other.test")),)), before=before)
    assert result.envelope is before
    assert result.block is BLOCK
    assert not result.notes


# Senders


def test_the_sender_is_set_but_never_the_null_sender() -> None:
    assert str(rewritten(rule(SetSender(NOREPLY))).envelope.sender) == "noreply@example.com"
    assert rewritten(rule(SetSender(NOREPLY)), before=envelope(sender="")).envelope.sender is None
    kept = rewritten(rule(SetSender(read_replacement("*@example.com"))))
    assert str(kept.envelope.sender) == "app@example.com"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        (b"From: The App <app@host1.lan>\r\n", b"From: The App <noreply@example.com>\r\n"),
        (b"From: app@host1.lan (The App)\r\n", b"From: noreply@example.com (The App)\r\n"),
        (b"From: root\r\n", b"From: root <noreply@example.com>\r\n"),
        (b"From: Cron Daemon <root>\r\n", b"From: Cron Daemon <noreply@example.com>\r\n"),
        (b"From: A <a@x.test>, B <b@x.test>\r\n", b"From: A <noreply@example.com>\r\n"),
        (b"From: a@x.test\r\nFrom: b@x.test\r\n", b"From: noreply@example.com\r\n"),
        (b'From: "open <a@x.test>\r\n', b"From: noreply@example.com\r\n"),
        (b"From:\r\n", b"From: noreply@example.com\r\n"),
        (b"From: team: A <a@x.test>;\r\n", b"From: A <noreply@example.com>\r\n"),
        (b"", b"From: noreply@example.com\r\n"),
    ],
)
def test_from_has_one_address_and_keeps_its_name(written: bytes, becomes: bytes) -> None:
    assert rewritten(rule(read_set_from("noreply@example.com")), block=written).block == becomes


def test_from_gets_a_name_if_the_rule_has_one() -> None:
    block = rewritten(rule(read_set_from("Our Shop, Inc. <noreply@example.com>"))).block
    assert block.startswith(b'From: "Our Shop, Inc." <noreply@example.com>\r\nTo: ')
    assert b"Sender:" not in block


def test_from_may_keep_its_local_parts() -> None:
    block = b"From: A <a@x.lan>, b@y.lan\r\n"
    result = rewritten(rule(read_set_from("*@example.com")), block=block)
    assert result.block == b"From: A <a@example.com>, b@example.com\r\n"


def test_reply_to_gets_what_from_was() -> None:
    actions = (read_set_from("noreply@example.com"), read_set_reply_to("from"))
    assert rewritten(rule(*actions)).block.startswith(b"Reply-To: The App <app@host1.lan>\r\nFrom: ")
    # A Reply-To of the client's, a From without an address, and one that does not change stand.
    for block in (b"Reply-To: x@y.test\r\n" + BLOCK, b"From: root\r\n", b"From: noreply@example.com\r\n"):
        assert rewritten(rule(*actions), block=block).block.count(b"Reply-To") == block.count(b"Reply-To")
    # A message without From would have got the sender.
    assert rewritten(rule(*actions), block=b"").block.startswith(b"Reply-To: app@host1.lan\r\n")


def test_reply_to_is_set() -> None:
    result = rewritten(rule(read_set_reply_to("Help <help@example.com>")), block=b"Reply-To: x@y.test\r\n")
    assert result.block == b"Reply-To: Help <help@example.com>\r\n"


# Recipients


def test_matching_recipients_are_replaced_and_named() -> None:
    inner = RecipientCondition(patterns("example.com"))
    redirect = rule(SetRecipients((read_replacement("dev@example.com"),)), unless=(inner,))
    result = rewritten(redirect, before=envelope("a@x.test", "tester@example.com", "b@y.test"))
    assert recipients(result) == ["dev@example.com", "tester@example.com"]
    assert result.block == b"X-Original-To: a@x.test\r\nX-Original-To: b@y.test\r\n" + BLOCK


def test_the_original_recipient_is_the_first_one() -> None:
    first = rule(SetRecipients((read_replacement("one@example.com"), read_replacement("two@example.com"))))
    second = rule(
        MapAddresses(AddressMap([read_map_line("one@* -> three@*".replace("*", "example.com"))]), (MapPlace.RECIPIENT,))
    )
    result = rewritten(first, second)
    assert recipients(result) == ["three@example.com", "two@example.com"]
    assert result.block.startswith(b"X-Original-To: bob@a.test\r\nFrom:")


def test_parameters_of_replaced_recipients_stay() -> None:
    before = replace(
        envelope(),
        recipients=(
            Recipient(parse_address("a@x.test"), Notify.NEVER, "rfc822;a@x.test"),
            Recipient(parse_address("b@x.test"), Notify.SUCCESS),
        ),
    )
    result = rewritten(rule(SetRecipients((read_replacement("dev@example.com"),))), before=before)
    assert result.envelope.recipients == (
        Recipient(parse_address("dev@example.com"), Notify.SUCCESS, "rfc822;a@x.test"),
    )


def test_the_fields_of_original_recipients_are_bounded() -> None:
    before = envelope(*(f"u{number}@x.test" for number in range(MAX_ORIGINALS + 50)))
    result = rewritten(rule(SetRecipients((read_replacement("dev@example.com"),))), before=before)
    assert result.block.count(b"X-Original-To: ") == MAX_ORIGINALS


def test_a_copy_is_never_reported() -> None:
    result = rewritten(rule(read_bcc("archive@example.com")))
    assert result.envelope.recipients[1] == Recipient(parse_address("archive@example.com"), Notify.NEVER)
    assert result.block is BLOCK
    # A recipient that has the message anyway keeps its reports.
    assert rewritten(rule(read_bcc("bob@a.test"))).envelope.recipients == envelope().recipients


def test_a_rule_for_a_recipient_applies_if_it_matches_one() -> None:
    copy = rule(read_bcc("archive@example.com"), when=(RecipientCondition(patterns("a.test")),))
    assert len(rewritten(copy, before=envelope("x@y.test", "bob@a.test")).envelope.recipients) == 3
    assert len(rewritten(copy, before=envelope("x@y.test")).envelope.recipients) == 1


# Maps and fields


def test_a_map_changes_the_usual_places() -> None:
    masquerade = rule(MapAddresses(AddressMap([read_map_line("*@*.lan -> *@example.com")])))
    before = envelope("c@x.lan", sender="app@a.lan")
    block = b"From: A <a@a.lan>\r\nSender: d@a.lan\r\nReply-To: r@a.lan, s@b.test\r\nTo: c@x.lan\r\nCc: e@x.lan\r\n"
    result = rewritten(masquerade, before=before, block=block)
    assert str(result.envelope.sender) == "app@example.com"
    assert recipients(result) == ["c@x.lan"]
    assert result.block == block.replace(b"@a.lan", b"@example.com")


def test_a_map_changes_the_places_that_are_named() -> None:
    places = (MapPlace.RECIPIENT, MapPlace.TO, MapPlace.CC)
    line = read_map_line("*@*.lan -> *@example.com")
    block = b"From: a@a.lan\r\nTo: c@x.lan\r\nCC: team: e@x.lan;\r\n"
    result = rewritten(rule(MapAddresses(AddressMap([line]), places)), before=envelope("c@x.lan"), block=block)
    assert recipients(result) == ["c@example.com"]
    assert result.block == b"X-Original-To: c@x.lan\r\n" + block.replace(b"@x.lan", b"@example.com")


def test_fields_are_removed_and_added() -> None:
    actions = (RemoveFields(("subject", "x-absent")), read_add_field("X-Tag", 'by {login} at {client} {"k": 1}'))
    result = rewritten(rule(*actions))
    assert result.block.startswith(b'X-Tag: by shop at 10.0.3.7 {"k": 1}\r\nFrom: ')
    assert b"Subject" not in result.block
    assert result.notes[0].changes == ("Subject removed", 'X-Tag: by shop at 10.0.3.7 {"k": 1}')


def test_a_value_that_is_filled_in_cannot_end_the_line() -> None:
    assert AddField("X-A", "{client}{login}").line("a\r\nB: c", "jür\0", None) == b"X-A: a??B: cj?r?\r\n"
    assert AddField("X-A", "{sender}").line("", "", None) == b"X-A: <>\r\n"
    long = AddField("X-A", "{login}" * 80).line("", "x" * 250, None)
    assert len(long) == len("X-A: \r\n") + 900


def test_hidden_hosts_keep_their_number_and_dates() -> None:
    block = (
        b"Received: from secret.lan ([10.0.0.9])\r\n\tby mail.lan with ESMTP id 1 for <a@b.lan>;\r\n"
        b"\tSun, 22 Nov 2026 12:58:42 +0000 (UTC)\r\n"
        b"Received: from x.lan by y.lan; not a date of x.lan\r\nFrom: a@b.test\r\n"
    )
    result = rewritten(rule(Hide(client=True, trace=True)), block=block)
    assert result.change.hide_client
    assert result.block == (
        b"Received: (hidden); Sun, 22 Nov 2026 12:58:42 +0000\r\nReceived: (hidden)\r\nFrom: a@b.test\r\n"
    )


# Rules together


def test_a_condition_sees_what_the_rules_before_left() -> None:
    by_sender = rule(read_bcc("one@x.test"), when=(SenderCondition(patterns("noreply@example.com")),), line=2)
    tag = HeaderCondition("X-Tag", TextPatterns([read_text_pattern("main")]))
    by_header = rule(read_bcc("two@x.test"), when=(tag,), line=3)
    first = rule(SetSender(NOREPLY), AddField("X-Tag", "main"))
    result = rewritten(first, by_sender, by_header)
    assert recipients(result) == ["bob@a.test", "one@x.test", "two@x.test"]
    assert [note.rule.where.line for note in result.notes] == [1, 2, 3]
    assert recipients(rewritten(by_sender, by_header, first)) == ["bob@a.test"]


_SENDERS = ("app@host1.lan", "web@host1.lan", "x@a.test", "")
_RECIPIENTS = (("bob@a.test",), ("eve@b.test",), ("bob@a.test", "eve@b.test"))
_FIELDS = (b"From: app@host1.lan\r\n", b"FROM:\r\n\t<web@host1.lan>\r\n", b"Subject: hi\r\n", b"X-Tag: main\r\n")
_FIELDS += (b"Sender: x@a.test\r\n", b"x-mailer:\r\n y\r\n", b"Reply-To: <app@host1.lan>, y@z.test\n")
_ACTIONS = (
    SetSender(NOREPLY),
    read_set_from("*@example.com"),
    read_set_reply_to("from"),
    MapAddresses(AddressMap([read_map_line("*@host1.lan -> *@example.com")])),
    AddField("X-Client", "{client} {login} {sender}"),
    AddField("Subject", "added"),
    RemoveFields(("x-mailer", "subject")),
    Hide(client=True),
    read_bcc("archive@example.com"),
)
_CONDITIONS = (
    ClientCondition(trusted=True),
    SenderCondition(patterns("*@example.com")),
    RecipientCondition(patterns("*@b.test")),
    HeaderCondition("X-Tag", TextPatterns([read_text_pattern("main")])),
)
_RULES = st.builds(
    lambda actions, when, unless, last: rule(*actions, when=tuple(when), unless=tuple(unless), last=last),
    st.lists(st.sampled_from(_ACTIONS), max_size=2),
    st.lists(st.sampled_from(_CONDITIONS), max_size=1),
    st.lists(st.sampled_from(_CONDITIONS), max_size=1),
    st.sampled_from((False, False, False, True)),
)
_DIFFERENCES = st.one_of(
    st.tuples(st.just("client"), st.sampled_from(("10.0.3.7", "10.0.3.8"))),
    st.tuples(st.just("trusted"), st.booleans()),
    st.tuples(st.just("login"), st.sampled_from(("shop", ""))),
    st.tuples(st.just("sender"), st.sampled_from(_SENDERS)),
    st.tuples(st.just("to"), st.sampled_from(_RECIPIENTS)),
    st.tuples(st.just("block"), st.lists(st.sampled_from(_FIELDS), max_size=4).map(b"".join)),
)


@given(st.lists(_RULES, max_size=4), st.lists(_DIFFERENCES, min_size=1, max_size=6))
def test_a_message_is_changed_alike_whatever_came_before_it(rules, differences) -> None:
    shared = Rewriting(rules)
    known = {"client": "10.0.3.7", "trusted": True, "login": "shop"}
    known |= {"sender": "app@host1.lan", "to": ["bob@a.test"], "block": BLOCK}
    # Each message differs from the one before it in one thing.
    for name, value in [("trusted", True), *differences]:
        known[name] = value
        facts = Facts(known["client"], known["trusted"], None, login=known["login"])
        before, block = envelope(*known["to"], sender=known["sender"]), known["block"]
        shared.apply(facts, before, block)
        found, alone = shared.apply(facts, before, block), Rewriting(rules).apply(facts, before, block)
        assert found == alone
        assert [note.changes for note in found.notes] == [note.changes for note in alone.notes]
        assert found.scan(scan(block)) == scan(found.block)


@pytest.mark.parametrize(
    "other",
    [{"client": "10.0.3.8"}, {"trusted": False}, {"login": ""}, {"sender": ""}, {"to": "b@b.test"}, {"block": b""}],
)
def test_all_that_rules_see_of_a_message_tells_it_from_others(other: dict[str, object]) -> None:
    rules = [
        rule(AddField("X-Seen", "{client} {login} {sender}")),
        rule(Hide(client=True), unless=(_CONDITIONS[0],)),
        rule(AddField("X-To", "b"), when=(_CONDITIONS[2],)),
        rule(RemoveFields(("subject",))),
    ]
    shared, usual = Rewriting(rules), {"client": "10.0.3.7", "trusted": True, "login": "shop"}
    usual |= {"sender": "app@host1.lan", "to": "bob@a.test", "block": BLOCK}
    found = []
    for known in (usual, usual | other):
        facts = Facts(known["client"], known["trusted"], None, login=known["login"])
        before = envelope(known["to"], sender=known["sender"])
        shared.apply(facts, before, known["block"])
        found.append(shared.apply(facts, before, known["block"]))
        assert found[-1] == Rewriting(rules).apply(facts, before, known["block"])
    assert found[0].change != found[1].change
    assert shared.remembered == 2


def test_what_is_remembered_is_bounded() -> None:
    rules = Rewriting([rule(read_set_from("*@example.com"))])
    for number in range(2 * MAX_REMEMBERED):
        block = b"From: u%d@host1.lan\r\n" % number
        rules.apply(FACTS, envelope(), block)
        assert rules.apply(FACTS, envelope(), block).block == b"From: u%d@example.com\r\n" % number
    assert 0 < rules.remembered <= MAX_REMEMBERED
    short = rules.remembered
    for _ in range(2):
        rules.apply(FACTS, envelope(), b"From: a@host1.lan\r\n" * 100)
    assert rules.remembered == short
    # Nothing is remembered for mail that comes only once.
    rules = Rewriting([rule(read_set_from("*@example.com"))])
    for number in range(MAX_REMEMBERED):
        rules.apply(FACTS, envelope(), b"From: u%d@host1.lan\r\n" % number)
    assert not rules.remembered


@pytest.mark.parametrize("action", [read_bcc("one@x.test"), SetRecipients((NOREPLY,))])
def test_changes_of_recipients_are_not_remembered(action: RewriteAction) -> None:
    rules = Rewriting([rule(action)])
    for _ in range(2):
        rules.apply(FACTS, envelope(), BLOCK)
    assert not rules.remembered


def test_no_rule_is_asked_after_the_last_one() -> None:
    other = rule(read_bcc("one@x.test"))
    assert recipients(rewritten(rule(last=True), other)) == ["bob@a.test"]
    skipped = rule(last=True, when=(SenderCondition(patterns("other.test")),))
    assert recipients(rewritten(skipped, other)) == ["bob@a.test", "one@x.test"]


def test_an_unknown_host_name_leaves_the_decision_open() -> None:
    by_name = ClientCondition(TrustList((TrustItem(HostName("web.lan")),)))
    rules = Rewriting([rule(SetSender(NOREPLY), when=(by_name,))])
    assert rules.host_names == ("web.lan",)
    with pytest.raises(HostNotLookedUp):
        rules.apply(FACTS, envelope(), BLOCK)
    # The addresses of a name may change from one message to the next.
    for address, applies in (("10.0.3.7", True), ("10.0.3.8", False)):
        facts = replace(FACTS, trusted=False, host_addresses=lambda _, each=address: frozenset({ip_address(each)}))
        assert bool(rules.apply(facts, envelope(), BLOCK).notes) is applies


def test_rules_can_be_handed_to_another_process() -> None:
    rules = [rule(SetSender(NOREPLY), MapAddresses(AddressMap([read_map_line("a*@x.lan -> b@x.test")])))]
    copied = pickle.loads(pickle.dumps(Rewriting(rules)))  # noqa: S301  our own octets
    assert copied.rules == tuple(rules)


@pytest.mark.parametrize(
    "text", ["Jürgen <a@b.test>", "<a@b.test>", "A <*@b.test>", 'A "B" <a@b.test>', "A\t<a@b.test>"]
)
def test_a_wrong_author_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="name"):
        read_set_from(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [("Received", "x"), ("DKIM-Signature", "x"), ("X Y", "x"), ("X:", "x"), ("X", ""), ("X", "a\nb"), ("X", "{host}")],
)
def test_a_wrong_field_is_told(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"field|filled in|neither"):
        read_add_field(name, text)
