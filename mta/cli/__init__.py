"""The `smtprelay` command: settings, queue, DKIM keys, health, and the Exim and sendmail commands."""
