"""Every log event by name with its fields; secrets are redacted here and only here."""
