"""The `smtprelay` command: settings, queue, DKIM keys, users, tokens, health, and the Exim and sendmail commands."""
