"""The persistent queue: its interface, SQLite, and a queue in memory that the same tests check."""
