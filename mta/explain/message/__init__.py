"""The explanation of one message of the queue or its history: its facts, and the page made of them."""
