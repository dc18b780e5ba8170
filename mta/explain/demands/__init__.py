"""The demands on MX hosts in explanations: the proof that a host must give, and the records of its domain."""
