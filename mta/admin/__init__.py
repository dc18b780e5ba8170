"""The operator's API: questions about the running relay and orders to it, by HTTP, for commands, page and programs."""
