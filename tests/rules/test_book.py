"""The cell of the rules in force."""

from mta.rules.book import CurrentRules, RuleBook


def test_those_that_asked_for_it_are_told_of_each_change_once_the_new_rules_are_in_force() -> None:
    rules = CurrentRules()
    seen: list[RuleBook | None] = []
    rules.when_changed(lambda: seen.append(rules.book))
    rules.when_changed(lambda: seen.append(rules.book))
    book = RuleBook(digest="1a2b3c4d")
    rules.replace(book)
    assert seen == [book, book]
    rules.replace(None)
    assert seen[2:] == [None, None]
