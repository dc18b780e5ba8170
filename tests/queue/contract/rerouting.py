"""`apply` of REROUTE: the next attempt goes another way, once."""

from typing import Any

from mta.queue.interface import Action, DeferralFilter, Verdict
from tests.queue.contract.case import QueueCase
from tests.queue.messages import LATER, NOW, TOOK

A, B = "a@example.test", "b@example.test"


class RerouteContract(QueueCase):
    """REROUTE, claims after it, and the settlement that ends it."""

    def rerouted(self, *ids: Any, to: str = "mx", **limits: Any) -> list[Any]:
        return self.applied(Action.REROUTE, *ids, to=to, **limits)

    def ways(self, claim: Any) -> list[str | None]:
        return [pending.way for pending in claim.pending]

    def test_the_next_attempt_goes_another_way_and_no_further_one(self):
        new = self.added(A, due=NOW + 60)
        self.assertEqual(self.rerouted(new.id, to="mail.b.test:25"), [new.id])
        self.assertEqual(self.entry(new.id).recipients[0].way, "mail.b.test:25")
        (claim,) = self.claims()
        self.assertEqual(self.ways(claim), ["mail.b.test:25"])
        self.settled(claim, Verdict(0, LATER, NOW + 5, way="mail.b.test:25"))
        self.assertEqual(self.entry(new.id).recipients[0].way, "")
        (claim,) = self.claims(NOW + 5)
        self.assertEqual(self.ways(claim), [None])

    def test_a_recipient_that_was_not_tried_still_goes_another_way(self):
        new = self.added(A, B)
        self.rerouted(new.id)
        (claim,) = self.claims()
        self.settled(claim, Verdict(0, TOOK, way="mx"))
        (claim,) = self.claims()
        self.assertEqual(self.ways(claim), ["mx"])
        self.released(claim)
        (claim,) = self.claims()
        self.assertEqual(self.ways(claim), ["mx"])

    def test_an_attempt_that_runs_already_does_not_use_it_up(self):
        claim = self.claimed(A)
        self.assertEqual(self.rerouted(claim.id), [claim.id])
        self.settled(claim, Verdict(0, LATER, NOW + 5))
        (claim,) = self.claims(NOW + 5)
        self.assertEqual(self.ways(claim), ["mx"])
        self.rerouted(claim.id, to="smarthost")
        self.settled(claim, Verdict(0, LATER, NOW + 9, way="mx"))
        (claim,) = self.claims(NOW + 9)
        self.assertEqual(self.ways(claim), ["smarthost"])

    def test_one_recipient_alone_goes_another_way(self):
        new, other = self.added(A, B), self.added(B)
        self.assertEqual(self.rerouted(recipient=A), [new.id])
        self.assertEqual([one.way for one in self.entry(new.id).recipients], ["mx", ""])
        self.assertEqual([self.ways(claim) for claim in self.claims()], [["mx", None], [None]])
        self.assertEqual(self.entry(other.id).recipients[0].way, "")

    def test_a_held_message_stays_held(self):
        new = self.added(A)
        self.applied(Action.HOLD, new.id)
        self.rerouted(new.id)
        self.assertEqual(self.claims(), [])
        self.applied(Action.RELEASE, new.id)
        self.assertEqual([self.ways(claim) for claim in self.claims()], [["mx"]])

    def test_a_filter_that_knows_the_usual_way_does_not_defer_it(self):
        new, usual = self.added(A), self.added(A)
        self.rerouted(new.id)
        for with_envelopes in (False, True):
            deferral_filter = DeferralFilter(lambda _: NOW + 60, with_envelopes)
            claims = self.now(self.queue.claim(NOW, 10, 600.0, deferral_filter))
            self.assertEqual([claim.id for claim in claims], [new.id])
            self.released(claims[0])
        self.assertEqual(self.entry(usual.id).recipients[0].due, NOW + 60)

    def test_a_final_recipient_has_no_other_way(self):
        claim = self.claimed(A, B)
        self.settled(claim, Verdict(0, TOOK), Verdict(1, LATER, NOW + 5))
        self.rerouted(claim.id)
        self.applied(Action.REMOVE, claim.id)
        self.assertEqual([one.way for one in self.entry(claim.id).recipients], ["", ""])
        self.assertEqual(self.rerouted(claim.id), [])
