"""Checks of all parts on which the arrival of mail depends: pure functions of facts to findings."""
