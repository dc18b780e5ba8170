"""Parts of a relay that are built from its settings, and the context that they are built from."""
