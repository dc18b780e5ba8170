"""Routing: from a recipient's domain to an ordered list of hosts."""
