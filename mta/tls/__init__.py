"""TLS for both directions: contexts, certificates, and the layer between a connection and its protocol."""
