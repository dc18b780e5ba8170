"""The explanation of a destination: a domain, a host, or a smarthost by its name."""
