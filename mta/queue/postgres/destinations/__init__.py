"""Destinations that took no connection: relays that share a queue tell each other, and one of them probes."""
