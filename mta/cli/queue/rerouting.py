"""`smtprelay queue reroute`: sends waiting mail another way once."""

import os

import click

from mta.admin.operators import operator_name
from mta.admin.state import Order
from mta.cli.queue.options import given_conditions, given_way, reroute_options
from mta.cli.queue.orders import give, order_options
from mta.queue.interface import Action
from mta.queue.search.conditions import ANY


@click.command("reroute")
@reroute_options
@order_options
def reroute(recipient: str, yes: bool, dry_run: bool, ids: tuple[str, ...], **options: object) -> None:
    """Send messages another way once, now: by the MX of the recipient's domain, the smarthost, or a host.

    If that attempt fails for now, the next one goes the usual way again.
    """
    way = given_way(options)
    conditions = given_conditions(options)
    if bool(ids) == (conditions != ANY):
        raise click.UsageError("give either message ids or conditions")
    order = Order(Action.REROUTE, None, operator_name(os.environ), recipient, way)
    give(order, ids, conditions, yes=yes, dry_run=dry_run)
