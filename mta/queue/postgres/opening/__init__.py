"""A database at the start of a relay: what its server can do, and the upgrades of its tables."""
