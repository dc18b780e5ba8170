"""From connection to queue: listener, connection, session, policy and intake."""
