"""The values of the API as JSON objects and as parameters of a URL, and back. `--json` of the commands is the same."""
