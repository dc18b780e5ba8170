"""The persistent queue: one interface, SQLite for real, memory as a verified fake."""
