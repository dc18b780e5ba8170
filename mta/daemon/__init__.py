"""The life of a relay process: its parts put together, its privileges, signals, timers and control socket."""
