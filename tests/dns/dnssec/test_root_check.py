"""The check of the root's keys: when it is made, its one notice, and the answers before and after it."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.dns.answers import Found, LookupFailed, NoData
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.dnssec.root_check import CHECK_INTERVAL, NO_ANSWER_INTERVAL, RootCheck
from mta.dns.message import RecordType

SECURE = ValidatedAnswer(NoData(60.0), Security.SECURE)
STRIPPED = ValidatedAnswer(LookupFailed("no signatures"), Security.BOGUS, "no signatures")
FOUND = ValidatedAnswer(Found(("192.0.2.1",), 60.0, "a.test"), Security.SECURE)
PLAIN = ValidatedAnswer(Found(("192.0.2.2",), 60.0, "a.test"), Security.INSECURE, "not validated")
SILENCE = ValidatedAnswer(LookupFailed("silence"), Security.INSECURE, "silence")


class FixedAuthenticity:
    """Gives one answer to questions about the root, when the test lets it, and another one to all others."""

    def __init__(self, root: ValidatedAnswer, other: ValidatedAnswer) -> None:
        self.usable = True
        self.root, self.other = root, other
        self.asked: list[RecordType] = []
        self.held: list[Deferred[None]] | None = None
        self.started = self.stopped = 0

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        if name:
            return self.other
        self.asked.append(rdtype)
        if self.held is not None:
            self.held.append(Deferred())
            await self.held[-1]
        return self.root

    def start(self) -> None:
        self.started += 1

    def stop(self) -> None:
        self.stopped += 1


class RootCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.validator = FixedAuthenticity(SECURE, FOUND)
        self.plain = FixedAuthenticity(ValidatedAnswer(NoData(60.0), Security.INSECURE, "not validated"), PLAIN)
        self.servers = ["192.0.2.53"]
        self.notices: list[str] = []
        self.check = RootCheck(self.clock, self.validator, self.plain, lambda: tuple(self.servers), self.notices.append)

    def ask(self) -> "Deferred[ValidatedAnswer]":
        return Deferred.fromCoroutine(self.check.look_up("a.test", RecordType.A))

    def test_with_secure_keys_the_answers_are_validated_and_nothing_is_said(self) -> None:
        self.check.start()
        assert self.successResultOf(self.ask()) is FOUND
        assert self.check.usable
        assert self.validator.asked == [RecordType.DNSKEY]
        assert (self.notices, self.clock.getDelayedCalls()) == ([], [])

    def test_without_a_start_the_first_look_up_begins_the_check(self) -> None:
        assert self.successResultOf(self.ask()) is FOUND
        assert self.validator.asked == [RecordType.DNSKEY]

    def test_look_ups_wait_for_the_first_check(self) -> None:
        self.validator.held = []
        self.check.start()
        asking = [self.ask(), self.ask()]
        assert self.check.usable
        for each in asking:
            self.assertNoResult(each)
        self.validator.held[0].callback(None)
        assert [self.successResultOf(each) for each in asking] == [FOUND, FOUND]

    def test_stripped_signatures_turn_validation_off_with_one_notice_until_a_check_succeeds(self) -> None:
        self.validator.root = STRIPPED
        self.check.start()
        for _ in range(3):
            assert not self.check.usable
            assert self.successResultOf(self.ask()) is PLAIN
            self.clock.advance(CHECK_INTERVAL)
        assert len(self.validator.asked) == 4
        assert "\n".join(self.notices) == (
            "DANE is off, because the answers of the DNS servers cannot be validated: no signatures. The relay tries"
            " again every 5 minutes; DNS_SERVERS can name a resolver with DNSSEC"
        )
        self.validator.root = SECURE
        self.clock.advance(CHECK_INTERVAL)
        assert self.check.usable
        assert self.successResultOf(self.ask()) is FOUND
        assert self.notices[1:] == ["DNS answers can be validated now: DANE is on"]
        assert self.clock.getDelayedCalls() == []

    def test_an_answer_that_is_only_insecure_is_no_proof_either(self) -> None:
        self.validator.root = ValidatedAnswer(NoData(60.0), Security.INSECURE, "no AD bit")
        self.check.start()
        assert not self.check.usable
        assert "no AD bit" in self.notices[0]

    def test_after_it_worked_once_bogus_answers_are_given_as_they_are(self) -> None:
        self.check.start()
        self.validator.root = self.validator.other = STRIPPED
        assert self.successResultOf(self.ask()) is STRIPPED
        assert self.check.usable
        assert len(self.validator.asked) == 1

    def test_without_any_answer_nothing_is_decided_and_look_ups_fail(self) -> None:
        self.validator.root = self.validator.other = STRIPPED
        self.plain.root = SILENCE
        self.check.start()
        assert self.check.usable
        assert self.successResultOf(self.ask()) is STRIPPED
        assert self.notices == []
        self.validator.root, self.validator.other = SECURE, FOUND
        self.clock.advance(NO_ANSWER_INTERVAL)
        assert self.successResultOf(self.ask()) is FOUND
        assert len(self.validator.asked) == 2

    def test_other_name_servers_are_checked_anew(self) -> None:
        self.check.start()
        self.validator.root = STRIPPED
        self.servers[0] = "192.0.2.54"
        assert self.successResultOf(self.ask()) is PLAIN
        assert not self.check.usable
        self.validator.root = SECURE
        self.servers[0] = "192.0.2.55"
        assert self.successResultOf(self.ask()) is FOUND

    def test_the_result_of_a_check_does_not_count_for_servers_configured_since(self) -> None:
        self.validator.held = []
        self.check.start()
        self.servers[0] = "192.0.2.54"
        asking = self.ask()
        self.validator.held[0].callback(None)
        self.assertNoResult(asking)
        self.validator.root = STRIPPED
        self.validator.held[1].callback(None)
        assert self.successResultOf(asking) is PLAIN

    def test_a_validator_that_cannot_be_used_is_not_asked(self) -> None:
        self.validator.usable = False
        self.check.start()
        assert not self.check.usable
        assert self.successResultOf(self.ask()) is PLAIN
        assert (self.validator.asked, self.notices) == ([], [])
        self.validator.usable = True
        assert self.successResultOf(self.ask()) is FOUND

    def test_a_fault_of_a_check_lets_go_of_the_look_ups(self) -> None:
        self.validator.held = []
        asking = self.ask()
        self.validator.held[0].errback(MemoryError())
        assert self.successResultOf(asking) is FOUND
        assert len(self.flushLoggedErrors(MemoryError)) == 1
        self.validator.held = None
        self.clock.advance(CHECK_INTERVAL)
        assert len(self.validator.asked) == 2
        assert self.clock.getDelayedCalls() == []

    def test_its_end_ends_the_checks_and_the_parts(self) -> None:
        self.validator.root = STRIPPED
        self.check.start()
        self.check.stop()
        assert self.clock.getDelayedCalls() == []
        assert (self.validator.started, self.validator.stopped) == (1, 1)
        assert (self.plain.started, self.plain.stopped) == (1, 1)

    def test_an_end_during_the_first_check_lets_go_of_the_look_ups(self) -> None:
        self.validator.held = []
        self.check.start()
        asking = self.ask()
        self.check.stop()
        self.validator.held[0].callback(None)
        assert self.successResultOf(asking) is FOUND
        assert self.clock.getDelayedCalls() == []
