"""Checks of all that makes mail arrive: pure functions of facts to findings."""
