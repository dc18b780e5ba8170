"""The parts of a relay by which MX hosts must prove themselves, built from its settings."""
