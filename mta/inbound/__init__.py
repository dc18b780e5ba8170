"""From socket to queue: ports, listener, session, policy and intake."""
