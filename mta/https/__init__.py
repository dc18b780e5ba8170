"""HTTPS requests of the relay: URLs, the interface, and a client with bounds on time and octets."""
