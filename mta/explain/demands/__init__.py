"""The demands on MX hosts in explanations: what a host must prove, and what its domain publishes."""
