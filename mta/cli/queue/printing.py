"""Prints messages while they are read, so that a long list needs no more memory than a short one."""

import json
from collections.abc import Iterable

import click

from mta.admin.wire.fields import JsonObject


def print_object(one: JsonObject) -> None:
    """Print a JSON object."""
    click.echo(json.dumps(one, indent=1))


def print_array(objects: Iterable[JsonObject]) -> None:
    """Print one JSON array, as `json.dumps` does with an indent of 1."""
    before = "["
    for each in objects:
        text = json.dumps(each, indent=1).replace("\n", "\n ")
        click.echo(f"{before}\n {text}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")
