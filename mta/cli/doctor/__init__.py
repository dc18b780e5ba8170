"""The commands `smtprelay doctor` and `smtprelay test-mail`."""
