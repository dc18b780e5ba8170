"""All targets, by name."""

from typing import Any

from tests.fuzz import (
    address,
    address_fields,
    client,
    dns,
    framing,
    header,
    oauth,
    proxy,
    rule_files,
    rules,
    sasl,
    scram,
    senders,
    server,
    settings,
    sts,
    users,
)
from tests.fuzz.target import Target

TARGETS: dict[str, Target[Any]] = {
    target.name: target
    for target in (
        server.TARGET,
        client.TARGET,
        address.TARGET,
        address_fields.TARGET,
        header.TARGET,
        settings.TARGET,
        dns.TARGET,
        framing.TARGET,
        oauth.TARGET,
        proxy.TARGET,
        rule_files.TARGET,
        rules.TARGET,
        sasl.TARGET,
        scram.TARGET,
        senders.TARGET,
        sts.TARGET,
        users.TARGET,
    )
}
