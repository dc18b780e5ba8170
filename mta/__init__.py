"""smtprelay: a mail relay that answers 250 only when the mail is safely on disk."""

__version__ = "0.2.0"
