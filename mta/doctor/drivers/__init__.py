"""Gathers the facts for the checks: from the DNS, the host and remote servers."""
