"""DNS answers as values: messages, transport, cache, and the system's name servers and hosts file."""
