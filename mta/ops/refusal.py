"""Why a command could not be done."""

from typing import IO, Any

import click


class Refusal(click.ClickException):
    """Why a command could not be done, in one line or several."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self._lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """Print each line under the program's name."""
        for line in self._lines:
            click.echo(f"smtprelay: {line}", file=file, err=True)
