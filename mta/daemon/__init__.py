"""The life of a relay process: its parts put together, its privileges, signals and timers."""
