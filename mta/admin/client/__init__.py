"""The client of the API, for programs without a reactor."""
