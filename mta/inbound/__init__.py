"""From socket to queue: listener, policy and intake."""
