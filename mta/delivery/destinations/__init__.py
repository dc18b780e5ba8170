"""Destinations: how many connections each may have, at which pace it gets messages, and the groups that wait."""
