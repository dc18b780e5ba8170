"""Tokens for logins at smarthosts (OAuth 2.0): grants, providers, answers of a token endpoint, and their renewal."""
