"""A router follows the `[[transport]]` rules in force."""

from mta.daemon.parts.deciding import follow_transport_rules
from mta.routing.carriage import Carriage
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.transport import TransportRule, TransportRules
from tests.routing.test_choices import DEFAULT, ChoiceCase
from tests.rules.made_rules import recipient, rule

SLOWLY = Carriage(connections=1)


def book(*rules: TransportRule) -> RuleBook:
    return RuleBook(transport=TransportRules(rules))


class TestTransportRules(ChoiceCase):
    def test_a_plan_has_the_carriage_of_the_rules_in_force(self) -> None:
        router, current = self.make(), CurrentRules(book(TransportRule(rule(recipient("nomx.test")), SLOWLY)))
        follow_transport_rules(router, current)
        plan = self.plan_of(router, "nomx.test", None)
        assert plan.carriage == Carriage(places=("a.toml:1",), apart=("a.toml:1",), connections=1)
        assert plan.destination == "nomx.test (a.toml:1)"
        assert self.plan_of(router, "example.test", None).carriage is None

    def test_a_change_of_the_rules_counts_for_the_next_message(self) -> None:
        router, current = self.make(), CurrentRules()
        follow_transport_rules(router, current)
        assert self.plan_of(router, "nomx.test", None).carriage is None
        for rules in (book(TransportRule(rule(), SLOWLY)), RuleBook(), book(TransportRule(rule(), SLOWLY)), None):
            current.replace(rules)
            assert router.cached("nomx.test") is None
            plan = self.plan_of(router, "nomx.test", None)
            assert plan.destination == "nomx.test"
            assert (plan.carriage is not None) == bool(rules and rules.transport)

    def test_domains_of_a_smarthost_share_a_plan_unless_a_rule_asks_for_the_domain(self) -> None:
        router, current = self.make(smarthost=DEFAULT), CurrentRules(book(TransportRule(rule(), SLOWLY)))
        follow_transport_rules(router, current)
        assert router.cached("a.test") is None
        plan = self.plan_of(router, "a.test", None)
        assert router.cached("b.test") is plan
        current.replace(book(TransportRule(rule(recipient("b.test")), SLOWLY)))
        assert self.plan_of(router, "a.test", None).carriage is None
        assert router.cached("b.test") is None
