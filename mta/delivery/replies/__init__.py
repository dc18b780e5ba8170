"""The meaning of the replies of remote hosts: throttling, a smarthost's own limits, advice, known replies explained."""
