"""The reactor in which a relay runs."""
