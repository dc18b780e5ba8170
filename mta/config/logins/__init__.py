"""The settings of logins: of clients at the relay, and of the relay at a smarthost."""
