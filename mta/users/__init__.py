"""The users that may log in: their file, the checks of their passwords, and the limits of failed logins."""
