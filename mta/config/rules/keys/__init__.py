"""The keys of rules: one table that the reader, its suggestions and the reference in docs/rules.md are made from."""
